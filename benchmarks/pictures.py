"""Photographs as clips of one frame, to learn colours from: `pictures.py FOLDER OUT.npz`.

All files below the folder that are `--size` pixels high and wide, or a whole multiple of that, and then the means over
boxes of them, marked "train". Weights carry the terms of the photographs that they were trained on. For each picture
that ARCHIVE (`--without`) has under "val" the nearest one is left out: the same one from another file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from einops import reduce
from matplotlib.image import imread
from rich.progress import track

from linops_video.datasets.archive import load_archive
from linops_video.media.files import replacing

SUFFIXES = (".jpg", ".jpeg", ".png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with photographs (.jpg, .png), at any depth")
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--without", type=Path, metavar="ARCHIVE", help=".npz with clips of one frame, and `split`")
    args = parser.parse_args()
    files = sorted(path for path in args.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    read = [_frame(path, args.size) for path in track(files, "pictures")]
    frames = [frame for frame in read if frame is not None]
    if not frames:
        parser.error(f"{args.folder} has no pictures of {args.size}×{args.size}")
    video = np.stack(frames)
    if args.without:
        archive = load_archive(args.without)
        video = np.delete(video, _nearest(video, archive["video"][archive["split"] == "val"][:, 0]), axis=0)
    with replacing(args.out) as temporary:
        np.savez(temporary, video=video[:, None], split=np.full(len(video), "train"))
    print(f"{len(video)} pictures, {len(read) - len(video)} left out")


def _frame(path: Path, size: int) -> np.ndarray | None:
    """(size, size, 3), or none of another shape or a size in between, or which cannot be read."""
    try:
        picture = imread(path)
    except OSError:
        return None
    if picture.dtype != np.uint8:  # of PNG
        picture = np.round(255 * picture).astype(np.uint8)
    if picture.ndim == 2:  # gray
        picture = np.repeat(picture[..., None], 3, -1)
    times = len(picture) // size
    if times == 0 or picture.shape[:2] != (times * size, times * size):
        return None
    boxes = reduce(picture[..., :3].astype(np.float32), "(h a) (w b) c -> h w c", "mean", a=times, b=times)
    return boxes.round().astype(np.uint8)


def _nearest(frames: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of each other frame, the number of the one whose means over 4×4 pixels are nearest to its own."""
    a, b = (reduce(v.astype(np.float32), "n (h 4) (w 4) c -> n (h w c)", "mean") for v in (frames, others))
    return (np.square(a).sum(1) - 2 * b @ a.T).argmin(1)


if __name__ == "__main__":
    main()
