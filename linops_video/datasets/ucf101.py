"""UCF-101 (Soomro, Zamir and Shah, 2012): clips of people's actions, as Milacski et al. (ICML 2020) take them."""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch.nn.functional as F

from linops_video.datasets.archive import load_archive
from linops_video.datasets.cache import cached
from linops_video.datasets.clips import Clips, Cut, OnItem, Stored, check_sizes
from linops_video.datasets.video_set import numbers
from linops_video.errors import FileError
from linops_video.media.video import stream_video, to_pixels

FRAMES, SIDE = 4, 32
LAST_TRAINING_GROUP = 22
"""Of the official training list, groups 8 to 25: 23 to 25 are for validation."""
VIDEOS, LISTS = "UCF101_videos.zip", "UCF101TrainTestSplits-RecognitionTask.zip"
LIST_OF = {"train": "trainlist01.txt", "val": "trainlist01.txt", "test": "testlist01.txt"}
NAME = re.compile(r"(v_\w+?_g(\d\d))_c\d\d")
ARCHIVE = "video32.npz"


def ucf101(split: str, root: Path, on_item: OnItem | None) -> Clips:
    """4 consecutive frames of each clip of the split, from a random first one, bilinear to 32×32 (antialiased).

    `root`: a folder with the clips (anywhere in it, or in `UCF101_videos.zip`) and the official lists of split 1
    (`trainlist01.txt`, `testlist01.txt`, or their zip); or with `video32.npz`, or that file, whose videos of the
    category "ucf" are area means of some clips. Clips that are not there are left out, and the note says so.
    Each is decoded once, to 8 bits, and kept; `on_item` is told how many are ready.
    """
    archive = root if root.suffix.lower() == ".npz" else root / ARCHIVE
    places = _places(root) if root.is_dir() else {}
    if not places and archive.is_file():
        return _from_archive(archive, split)
    if not places:
        raise FileError(
            f"{root} has no clips of UCF-101 (v_…_g01_c01.avi, {VIDEOS} or {ARCHIVE}): give their folder with --root, "
            "or `linops-video data fetch ucf101`"
        )
    listed = _listed(root, split)
    names = [name for name in listed if name.lower() in places]
    if not names:
        raise FileError(f"{root} has none of the {len(listed):,} clips of the split {split}")
    clips = Stored.of(names, lambda name: _decoded(*places[name.lower()]), on_item)
    note = f"UCF-101, {len(names):,} of the {len(listed):,} clips of the {split} split"
    return _cut(split, clips, names, [_scene(name) for name in names], len(names) == len(listed), note)


def _cut(
    split: str, clips: Sequence[np.ndarray], sources: list[str], scenes: list[str], complete: bool, note: str
) -> Clips:
    shape = (FRAMES, 3, SIDE, SIDE)
    lengths = check_sizes(clips, sources, shape)
    random = numbers(split)
    cuts = [Cut(i, int(random.integers(n - FRAMES + 1)), 0, 0, 0, n) for i, n in enumerate(lengths)]
    return Clips("ucf101", split, clips, cuts, shape, sources, scenes, complete, note)


def _from_archive(path: Path, split: str) -> Clips:
    arrays = load_archive(path)
    missing = [name for name in ("split", "category", "source", "scene") if name not in arrays]
    if missing:
        raise FileError(f"{path} has no array {', '.join(missing)}, which tell the videos of UCF-101 and their split")
    keep = (arrays["split"] == split) & (arrays["category"] == "ucf")
    if not keep.any():
        raise FileError(f"{path} has no videos of the category ucf in the split {split}")
    sources, scenes = (arrays[key][keep].tolist() for key in ("source", "scene"))
    classes = len({scene.rpartition("_g")[0] for scene in arrays["scene"][arrays["category"] == "ucf"].tolist()})
    note = (
        f"UCF-101, {int(keep.sum())} windows from {len(set(sources))} clips of {classes} of its 101 classes, area means"
    )
    return _cut(split, list(arrays["video"][keep]), sources, scenes, False, note)


def _places(root: Path) -> dict[str, tuple[Path, str | None]]:
    """Name of a clip in small letters -> its file, or the zip and its name in there; the official names mix both."""
    archive = root / VIDEOS
    if archive.is_file():
        with _opened(archive) as file:
            inside = [name for name in file.namelist() if NAME.fullmatch(_stem(name))]
        return {_stem(name).lower(): (archive, name) for name in inside}
    files = (path for path in root.rglob("v_*_g*_c*") if NAME.fullmatch(path.stem))
    return {path.stem.lower(): (path, None) for path in files}


def _decoded(path: Path, member: str | None) -> Path:
    """The file with the decoded clip, (frames, 32, 32, 3) uint8."""
    if member is None:
        return cached(path, f"bilinear {SIDE}", lambda: _shrunk(path))

    def decode() -> Iterator[np.ndarray]:
        with tempfile.TemporaryDirectory() as folder, _opened(path) as archive:
            yield from _shrunk(Path(archive.extract(member, folder)))

    return cached(path, f"{member} bilinear {SIDE}", decode)


def _shrunk(path: Path) -> Iterator[np.ndarray]:
    for frame in stream_video(path):
        small = F.interpolate(frame[None], (SIDE, SIDE), mode="bilinear", antialias=True)
        yield to_pixels(small[0].expand(3, -1, -1))


def _listed(root: Path, split: str) -> list[str]:
    """The names of the clips of a split, in the order of the official list."""
    name, archive = LIST_OF[split], root / LISTS
    found = sorted(root.rglob(name))
    if found:
        text = found[0].read_text(encoding="utf-8", errors="replace")
    elif archive.is_file():
        with _opened(archive) as file:
            members = [member for member in file.namelist() if member.rpartition("/")[2] == name]
            text = file.read(members[0]).decode("utf-8", "replace") if members else ""
    else:
        raise FileError(f"{root} has no {name}: put the official lists (or {LISTS}) there")
    names = [_stem(line.split()[0]) for line in text.splitlines() if line.strip()]
    chosen = [n for n in names if split == "test" or (_group(n) > LAST_TRAINING_GROUP) == (split == "val")]
    if not chosen:
        raise FileError(f"the list {name} in {root} names no clips of the split {split}")
    return chosen


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise FileError(f"cannot read {path}: {error}") from None


def _stem(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2].rpartition(".")[0]


def _group(name: str) -> int:
    match = NAME.fullmatch(name)
    if match is None:
        raise FileError(f"{name!r} in the official list is no name like v_Archery_g01_c01")
    return int(match[2])


def _scene(name: str) -> str:
    match = NAME.fullmatch(name)
    return match[1] if match else name
