"""Rotated MNIST: digits that turn by 40° a frame, their top-left quarters (Milacski et al., ICML 2020)."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from linops_video.datasets.video_set import Indices, as_array, hold_out, numbers
from linops_video.errors import FileError
from linops_video.media.arrays import load_arrays

FRAMES, STEP_DEGREES, CROP = 9, 40.0, 14
FILES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}
COUNTS = {"train": 60_000, "test": 10_000}
IMAGES_OF_BYTES = b"\x00\x00\x08\x03"
"""Magic number of an idx file of unsigned bytes with three axes."""


@dataclass(frozen=True, eq=False)
class RotatedMnist:
    """Digits (N, 28, 28) uint8 as videos (9, 1, 14, 14): turned by phase + 40° t, t = 0 … 8, and cropped.

    Each frame turns the digit itself about its centre, counter-clockwise, bilinear, zero outside. `phases` are the
    degrees that belong to the digits; `draw` takes new ones, uniform on [0°, 360°).
    """

    split: str
    digits: np.ndarray
    phases: np.ndarray
    sources: Sequence[str]
    complete: bool
    note: str
    name: str = "rotated-mnist"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return FRAMES, 1, CROP, CROP

    @property
    def scenes(self) -> Sequence[str]:
        return self.sources

    def __len__(self) -> int:
        return len(self.digits)

    def videos(self, indices: Indices) -> Tensor:
        chosen = as_array(indices)
        return _turned(self.digits[chosen], torch.from_numpy(self.phases[chosen]))

    def draw(self, indices: Indices, generator: torch.Generator) -> Tensor:
        chosen = as_array(indices)
        return _turned(self.digits[chosen], 360 * torch.rand(len(chosen), generator=generator))

    @staticmethod
    def of(split: str, root: Path) -> RotatedMnist:
        """From a folder with the idx files, gzipped or not, or with mnist.npz (x_train, x_test); or that file."""
        part = "test" if split == "test" else "train"
        digits = _digits(root, part)
        chosen = np.arange(len(digits)) if split == "test" else hold_out(len(digits), split)
        phases = numbers(split).uniform(0, 360, len(digits))[chosen]
        complete = len(digits) == COUNTS[part]
        note = f"Rotated MNIST, {len(chosen):,} of the {COUNTS[part]:,} {part}{'ing' * (part == 'train')} digits"
        sources = [f"{part}/{i}" for i in chosen]
        return RotatedMnist(split, digits[chosen], phases.astype(np.float32), sources, complete, note)


def _turned(digits: np.ndarray, phases: Tensor) -> Tensor:
    """Videos (N, 9, 1, 14, 14) of digits (N, 28, 28) uint8 and their phases in degrees."""
    images = torch.from_numpy(digits).float().div(255).unsqueeze(1)
    return torch.stack([_turn(images, phases + STEP_DEGREES * t) for t in range(FRAMES)], 1)


def _turn(images: Tensor, degrees: Tensor) -> Tensor:
    angle = degrees * (math.pi / 180)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    maps = torch.stack((torch.stack((cos, -sin, zero), -1), torch.stack((sin, cos, zero), -1)), -2)
    grid = F.affine_grid(maps, list(images.shape), align_corners=True)[:, :CROP, :CROP]
    return F.grid_sample(images, grid, mode="bilinear", align_corners=True)


def _digits(root: Path, part: str) -> np.ndarray:
    """The digits of "train" or "test", (N, 28, 28) uint8."""
    archive = root if root.suffix.lower() == ".npz" else root / "mnist.npz"
    for path in (root / f"{FILES[part]}.gz", root / FILES[part]):
        if path.is_file():
            return _read_idx(path)
    if not archive.is_file():
        raise FileError(
            f"{root} has neither {FILES[part]}(.gz) nor mnist.npz: give their folder with --root, "
            "or `linops-video data fetch rotated-mnist`"
        )
    digits = load_arrays(archive).get(f"x_{part}")
    if digits is None or digits.dtype != np.uint8 or digits.shape[1:] != (28, 28):
        raise FileError(f'{archive} needs an array "x_{part}" (N, 28, 28) uint8')
    return digits


def _read_idx(path: Path) -> np.ndarray:
    """The images (N, H, W) uint8 of an idx file, gzipped where its name ends in .gz."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(f"cannot read {path}: {error}") from None
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in (4, 8, 12))
    if data[:4] != IMAGES_OF_BYTES or len(data) != 16 + math.prod(shape):
        raise FileError(f"{path} is no whole idx file of images: its first bytes and its length do not fit")
    return np.frombuffer(data, np.uint8, offset=16).reshape(shape)
