"""Scanned CIFAR-10: four windows of an image, one after another (Milacski et al., ICML 2020)."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from linops_video.datasets.cache import cached
from linops_video.datasets.video_set import Indices, as_array, hold_out
from linops_video.errors import FileError
from linops_video.media.arrays import load_arrays

SIDE = 16
CORNERS = ((0, 0), (1, 0), (1, 1), (0, 1))
"""Row and column of the window of each frame, in windows."""
GRID = ((0, 3), (1, 2))
"""The frames as they lie side by side in the image."""
SHIFT = 4
"""Most pixels by which `draw` moves an image, mirrored at its edges."""
COUNTS = {"train": 50_000, "test": 10_000}
ARCHIVE, FOLDER = "cifar-10-python.tar.gz", "cifar-10-batches-py"
BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}


@dataclass(frozen=True, eq=False)
class ScannedCifar10:
    """Images (N, 32, 32, 3) uint8 as videos (4, 3, 16, 16): windows top-left, bottom-left, bottom-right, top-right.

    `draw` mirrors every second image, and moves every second one by up to 4 pixels down or up and across: what comes
    in is mirrored at the edge.
    """

    split: str
    images: np.ndarray
    sources: Sequence[str]
    complete: bool
    note: str
    name: str = "scanned-cifar10"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(CORNERS), 3, SIDE, SIDE

    @property
    def scenes(self) -> Sequence[str]:
        return self.sources

    def __len__(self) -> int:
        return len(self.images)

    def videos(self, indices: Indices) -> Tensor:
        return _scanned(self.images[as_array(indices)])

    def draw(self, indices: Indices, generator: torch.Generator) -> Tensor:
        chosen = as_array(indices)
        uniform = torch.rand(4, len(chosen), generator=generator, dtype=torch.float64).numpy()
        images = np.where(uniform[0, :, None, None, None] < 0.5, self.images[chosen], self.images[chosen][:, :, ::-1])
        corners = np.where(uniform[1] < 0.5, np.floor(uniform[2:] * (2 * SHIFT + 1)), SHIFT).astype(np.int64)
        margin = (SHIFT, SHIFT)
        wider = np.pad(images, ((0, 0), margin, margin, (0, 0)), mode="symmetric")
        rows, columns = corners[:, :, None] + np.arange(2 * SIDE)
        return _scanned(wider[np.arange(len(chosen))[:, None, None], rows[:, :, None], columns[:, None]])

    @staticmethod
    def of(split: str, root: Path) -> ScannedCifar10:
        """From a folder with the Python archive, packed or not, or with cifar10.npz; or from one of those files.

        The archive in `.npz` has x_train and x_test (N, 32, 32, 3) and, for a part of the set, index_train and
        index_test, the places of its images in the official order: what is held out is the same for every part.
        """
        part = "test" if split == "test" else "train"
        images, places = _images(root, part)
        official = np.arange(COUNTS[part]) if split == "test" else hold_out(COUNTS[part], split)
        if part == "train":
            keep = np.isin(places, official)
            images, places = images[keep], places[keep]
        complete = len(images) == len(official)
        note = f"Scanned CIFAR-10, {len(images):,} of the {COUNTS[part]:,} {part}{'ing' * (part == 'train')} images"
        return ScannedCifar10(split, images, [f"{part}/{i}" for i in places], complete, note)


def _scanned(images: np.ndarray) -> Tensor:
    """Videos (N, 4, 3, 16, 16) of images (N, 32, 32, 3) uint8."""
    windows = [images[:, SIDE * i : SIDE * (i + 1), SIDE * j : SIDE * (j + 1)] for i, j in CORNERS]
    return torch.from_numpy(np.stack(windows, 1)).permute(0, 1, 4, 2, 3).float().div(255)


def _images(root: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 32, 32, 3) of "train" or "test", and their places in the official order."""
    archive = root if root.name.endswith(".tar.gz") else root / ARCHIVE
    folder = root if root.name == FOLDER else root / FOLDER
    arrays = root if root.suffix.lower() == ".npz" else root / "cifar10.npz"
    if all((folder / name).is_file() for name in BATCHES[part]):
        images = np.concatenate([_batch((folder / name).read_bytes(), folder / name) for name in BATCHES[part]])
    elif archive.is_file():
        images = np.load(cached(archive, part, lambda: _from_archive(archive, part)), mmap_mode="r")
    elif arrays.is_file():
        return _from_arrays(arrays, part)
    else:
        raise FileError(
            f"{root} has none of {ARCHIVE}, {FOLDER} and cifar10.npz: give their folder with --root, "
            "or `linops-video data fetch scanned-cifar10`"
        )
    return images, np.arange(len(images))


def _from_arrays(path: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    arrays = load_arrays(path)
    images = arrays.get(f"x_{part}")
    if images is None or images.dtype != np.uint8 or images.shape[1:] != (32, 32, 3):
        raise FileError(f'{path} needs an array "x_{part}" (N, 32, 32, 3) uint8')
    return images, arrays.get(f"index_{part}", np.arange(len(images)))


def _from_archive(path: Path, part: str) -> np.ndarray:
    batches = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                file = archive.extractfile(member) if name in BATCHES[part] else None
                if file is not None:
                    batches[name] = _batch(file.read(), path)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise FileError(f"cannot read {path}: {error}; fetch it again") from None
    missing = [name for name in BATCHES[part] if name not in batches]
    if missing:
        raise FileError(f"{path} has no {', '.join(missing)} in it")
    return np.concatenate([batches[name] for name in BATCHES[part]])


def _batch(data: bytes, path: Path) -> np.ndarray:
    """The images (N, 32, 32, 3) of a pickled batch: rows of 3,072 bytes, all red ones first."""
    try:
        batch = _Arrays(io.BytesIO(data), encoding="bytes").load()
        return np.ascontiguousarray(batch[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FileError(f"{path} is no batch of CIFAR-10: {error}") from None


class _Arrays(pickle.Unpickler):
    """Unpickles plain values and NumPy arrays and nothing else: a pickle may name any function, to be called."""

    KNOWN: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch does")
        return self.KNOWN[module, name]
