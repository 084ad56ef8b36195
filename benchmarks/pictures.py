"""Photographs as clips of one frame, to learn colours from: `pictures.py FOLDER OUT.npz`.

All files below the folder that are `--size` pixels high and wide, marked "train". Weights carry the terms of the
photographs that they were trained on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.image import imread
from rich.progress import track

from linops_video.media.files import replacing

SUFFIXES = (".jpg", ".jpeg", ".png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with photographs (.jpg, .png), at any depth")
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=32)
    args = parser.parse_args()
    files = sorted(path for path in args.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    read = [_frame(path, args.size) for path in track(files, "pictures")]
    frames = [frame for frame in read if frame is not None]
    if not frames:
        parser.error(f"{args.folder} has no pictures of {args.size}×{args.size}")
    with replacing(args.out) as temporary:
        np.savez(temporary, video=np.stack(frames)[:, None], split=np.full(len(frames), "train"))
    print(f"{len(frames)} pictures, {len(read) - len(frames)} left out")


def _frame(path: Path, size: int) -> np.ndarray | None:
    """(H, W, 3), or none of another size, or which cannot be read."""
    try:
        picture = imread(path)
    except OSError:
        return None
    if picture.dtype != np.uint8:  # of PNG
        picture = np.round(255 * picture).astype(np.uint8)
    if picture.ndim == 2:  # gray
        picture = np.repeat(picture[..., None], 3, -1)
    return picture[..., :3] if picture.shape[:2] == (size, size) else None


if __name__ == "__main__":
    main()
