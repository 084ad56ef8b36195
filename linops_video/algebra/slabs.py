"""Large tensors in parts that stay in the cache where several passes are taken; parts of and products along an axis."""

from __future__ import annotations

from torch import Tensor

CACHED = 2**18
"""Entries that are worked on at once: 1 MB in float32."""


def slabs(x: Tensor, axis: int = -4, multiple: int = 1) -> list[tuple[int, int]]:
    """First index and end, along an axis, of parts of some `CACHED` entries; the default is the frames of a video.

    Each part but the last has a `multiple` of indices.

    Example:
        >>> import torch
        >>> slabs(torch.zeros(3, 1, 512, 256))
        [(0, 2), (2, 3)]
    """
    n = x.shape[axis]
    count = max(1, CACHED * n // max(1, x.numel()) // multiple) * multiple
    return [(first, min(first + count, n)) for first in range(0, n, count)]


def part_of(x: Tensor, entries: slice, dim: int) -> Tensor:
    """The view of these entries of x along a negative `dim`."""
    return x[(..., entries, *(slice(None),) * (-1 - dim))]


def along(matrix: Tensor, x: Tensor, dim: int) -> Tensor:
    """matrix · x along one axis of x: y[…, i, …] = Σⱼ M[i, j] x[…, j, …].

    Example:
        >>> import torch
        >>> along(torch.ones(1, 3), torch.ones(2, 3, 4), 1).shape
        torch.Size([2, 1, 4])
    """
    dim = dim % x.ndim - x.ndim
    if dim == -1:
        return x @ matrix.mT
    return (matrix @ x.flatten(dim + 1)).unflatten(-1, x.shape[dim + 1 :])
