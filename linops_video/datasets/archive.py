"""Arrays and videos in `.npz` archives."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np

from linops_video.datasets.cache import cached
from linops_video.errors import FileError
from linops_video.media.arrays import load_arrays, open_arrays

ABOUT = ("split", "source", "scene", "category")
"""Arrays that tell something of each video."""


def holds_videos(path: Path) -> bool:
    """Whether a file is a `.npz` archive for `load_archive`, by the names of its arrays."""
    if path.suffix.lower() != ".npz" or not path.is_file():
        return False
    try:
        with open_arrays(path) as arrays:
            return bool({"video", "delta_xz"} & set(arrays))
    except FileError:
        return False  # who reads it says what is wrong with it


def load_archive(path: Path) -> dict[str, np.ndarray]:
    """A `.npz` archive of videos: "video" (N, T, H, W, C) uint8 and what it tells of each ("split", "source", …).

    The videos may be packed: "delta_xz" are the xz-compressed differences to the frame before (modulo 256), and "shape"
    their shape. They are unpacked once and kept. Raises `FileError` if there are no videos, or other arrays do not fit.
    """
    arrays = load_arrays(path)
    if "" in arrays:
        raise FileError(f"cannot read {path}: it is one array, not a .npz archive of several")
    if "delta_xz" in arrays and "shape" in arrays:
        packed, shape = arrays.pop("delta_xz"), tuple(arrays.pop("shape").tolist())
        arrays["video"] = np.load(cached(path, "unpacked", lambda: _unpacked(path, packed, shape)), mmap_mode="r")
    if "video" not in arrays:
        raise FileError(f'{path} needs an array "video" (N, T, H, W, C), or "delta_xz" and "shape"; has {list(arrays)}')
    videos = arrays["video"]
    if videos.ndim != 5 or videos.dtype != np.uint8 or 0 in videos.shape:
        raise FileError(f"the videos of {path} must be uint8 (N, T, H, W, C), not {videos.dtype} {videos.shape}")
    for name in ABOUT:
        if name in arrays and arrays[name].shape != videos.shape[:1]:
            raise FileError(f'{path} has {len(videos)} videos, but an array "{name}" of shape {arrays[name].shape}')
    return arrays


def _unpacked(path: Path, packed: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    try:
        return np.cumsum(np.frombuffer(lzma.decompress(packed.tobytes()), np.uint8).reshape(shape), 1, dtype=np.uint8)
    except (lzma.LZMAError, ValueError) as error:
        raise FileError(f"cannot unpack the videos of {path}: {error}") from None
