"""What every data set is to those who use it: videos by their index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

SPLITS = ("train", "val", "test")

HELD_OUT = 0.1
"""Share of the training items that are the validation split, where the data have none of their own."""

SEED = 0
"""Of what a data set draws: splits, places, angles; the same for all who use it."""

Indices = Sequence[int] | Tensor


class VideoSet(Protocol):
    """One split of a data set: videos by their index."""

    @property
    def name(self) -> str:
        """The name in `DATASETS`."""
        ...

    @property
    def split(self) -> str:
        """ "train", "val", "test" or "all"."""
        ...

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, C, H, W) of every video."""
        ...

    @property
    def sources(self) -> Sequence[str]:
        """Where each video comes from: an index, a file."""
        ...

    @property
    def scenes(self) -> Sequence[str]:
        """What videos share that are not independent of each other."""
        ...

    @property
    def complete(self) -> bool:
        """Whether these are all videos of the published split, prepared as published."""
        ...

    @property
    def note(self) -> str:
        """What the videos are, to be printed with results."""
        ...

    def __len__(self) -> int: ...

    def videos(self, indices: Indices) -> Tensor:
        """The videos of these indices, float32 (N, T, C, H, W) in [0, 1]: always the same."""
        ...

    def draw(self, indices: Indices, generator: torch.Generator) -> Tensor:
        """The same items with all that is random in them (phase, first frame, window, mirror) drawn anew."""
        ...


def spread(count: int, limit: int | None) -> Tensor:
    """Indices of at most `limit` items out of `count`, at equal distances, so that all parts of a set are in it.

    Example:
        >>> spread(10, 4).tolist(), spread(3, None).tolist()
        ([0, 3, 6, 9], [0, 1, 2])
    """
    number = count if limit is None else min(limit, count)
    return torch.linspace(0, count - 1, number, dtype=torch.float64).round().long()


def as_array(indices: Indices) -> np.ndarray:
    """The indices as a NumPy array."""
    return np.asarray(indices, dtype=np.int64)


def numbers(split: str) -> np.random.Generator:
    """Random numbers of a split, independent of those of the others."""
    return np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=(SPLITS.index(split),)))


def hold_out(count: int, split: str) -> np.ndarray:
    """Sorted indices of the "train" or "val" part of `count` items: a tenth of them, drawn at random, is "val"."""
    order = np.random.default_rng(np.random.SeedSequence(SEED)).permutation(count)
    held = round(HELD_OUT * count)
    return np.sort(order[:held] if split == "val" else order[held:])
