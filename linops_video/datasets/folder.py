"""Any videos: a folder of files, or an archive."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from linops_video.datasets.archive import load_archive
from linops_video.datasets.cache import cached
from linops_video.datasets.clips import Clips, Cut, OnItem, Stored, check_sizes
from linops_video.datasets.video_set import HELD_OUT, SPLITS, numbers
from linops_video.errors import FileError
from linops_video.media.video import FILM_SUFFIXES, natural_order, stream_video, to_pixels


def video(split: str, root: Path, frames: int, size: int | None, on_item: OnItem | None) -> Clips:
    """Videos of `frames` frames, whole or crops of `size`×`size` pixels, from a folder of files or a `.npz` archive.

    A folder: its subfolders train, val and test are the splits where there are such; else the files are split, a
    tenth each (at least one) for test and val, in an order that hangs on their names alone. A file gives one video
    after another, without overlap, each cropped at a random place. It is decoded once and kept.

    An archive: "video" (N, T, H, W, C) or packed, and where it has them "split" (without it, it is split by "source"
    like files), "source" and "scene". Each of the N gives one video, its first frames, cropped at a random place.

    `split` may be "all". Raises `FileError` where there are no videos, `ShapeError` where they are too small.
    """
    if root.suffix.lower() == ".npz":
        return _from_archive(root, split, frames, size)
    paths = _files(root, split)
    clips = Stored.of(paths, _decoded, on_item)
    sources = [path.relative_to(root).as_posix() for path in paths]
    shape = _shape(clips[0], frames, size)
    lengths = check_sizes(clips, sources, shape)
    firsts = [(i, first) for i, n in enumerate(lengths) for first in range(0, n - frames + 1, frames)]
    cuts = _cuts(clips, firsts, shape, numbers(_seeded(split)), lengths)
    names = [sources[cut.clip] for cut in cuts]
    note = f"{len(cuts)} videos from {len(paths)} files of {root.name}, split {split}"
    return Clips("video", split, clips, cuts, shape, names, names, True, note)


def _decoded(path: Path) -> Path:
    """The file with the decoded frames, (frames, H, W, C) uint8."""
    return cached(path, "rgb", lambda: map(to_pixels, stream_video(path)))


def _cuts(
    clips: Sequence[np.ndarray],
    firsts: list[tuple[int, int]],
    shape: tuple[int, ...],
    random: np.random.Generator,
    lengths: list[int],
) -> list[Cut]:
    cuts = []
    for i, first in firsts:
        rows, columns = clips[i].shape[1:3]
        top, left = int(random.integers(rows - shape[2] + 1)), int(random.integers(columns - shape[3] + 1))
        cuts.append(Cut(i, first, top, left, 0, lengths[i]))
    return cuts


def _shape(clip: np.ndarray, frames: int, size: int | None) -> tuple[int, int, int, int]:
    _, rows, columns, channels = clip.shape
    return (frames, channels, rows, columns) if size is None else (frames, channels, size, size)


def _from_archive(path: Path, split: str, frames: int, size: int | None) -> Clips:
    arrays = load_archive(path)
    count = len(arrays["video"])
    sources = arrays.get("source", np.array([f"{path.stem}/{i}" for i in range(count)]))
    marks = arrays["split"] if "split" in arrays else _marked(sources.tolist())
    keep = np.ones(count, bool) if split == "all" else np.asarray(marks) == split
    if not keep.any():
        raise FileError(f"{path} has no videos in the split {split!r}")
    clips = list(arrays["video"][keep])
    shape, names = _shape(clips[0], frames, size), sources[keep].tolist()
    lengths = check_sizes(clips, names, shape)
    cuts = _cuts(clips, [(i, 0) for i in range(len(clips))], shape, numbers(_seeded(split)), lengths)
    scenes = arrays["scene"][keep].tolist() if "scene" in arrays else names
    note = f"{len(clips)} videos of {path.name}, split {split}"
    return Clips("video", split, clips, cuts, shape, names, scenes, True, note)


def _files(root: Path, split: str) -> list[Path]:
    """The video files of a split, in natural order."""
    if not root.is_dir():
        raise FileError(f"no such folder or .npz archive: {root}")
    own = [name for name in SPLITS if (root / name).is_dir()]
    if own and split != "all" and split not in own:
        raise FileError(f"{root} has the folders {', '.join(own)} and none for the split {split}")
    top = root / split if own and split != "all" else root
    paths = sorted(
        (p for p in top.rglob("*") if p.suffix.lower() in FILM_SUFFIXES and p.is_file()),
        key=lambda p: (p.parent.as_posix(), natural_order(p)),
    )
    if not own and split != "all":
        marks = _marked([path.relative_to(root).as_posix() for path in paths])
        paths = [path for path, mark in zip(paths, marks, strict=True) if mark == split]
    if not paths:
        raise FileError(f"{root} has no video files ({', '.join(FILM_SUFFIXES)}) for the split {split}")
    return paths


def _marked(sources: Sequence[str]) -> list[str]:
    """The split of each source; those of one name have one split, and which hangs on the names alone."""
    names = sorted(set(sources), key=lambda name: hashlib.sha256(name.encode()).digest())
    held = max(1, round(HELD_OUT * len(names)))
    mark = {name: "test" if i < held else "val" if i < 2 * held else "train" for i, name in enumerate(names)}
    return [mark[source] for source in sources]


def _seeded(split: str) -> str:
    return "test" if split == "all" else split
