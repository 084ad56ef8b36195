"""Operators that mix entries along one short axis alone, however they are put together: a matrix at every place."""

from __future__ import annotations

import math

import torch

from linops_video.algebra.operator import LinearOperator
from linops_video.inverses.axes import along
from linops_video.operators.blocks import ENTRIES_LIMIT, SIDE_LIMIT, Blocks


def mixed_axis(G: LinearOperator) -> int | None:
    """The only event axis along which a square G mixes entries, where its matrices are small enough to be stored.

    Example:
        >>> import torch
        >>> from linops_video import Diagonal, Difference
        >>> mixed_axis(Diagonal(torch.rand(4, 3), (4, 3)) + Difference(0, (4, 3)).gram())
        0
    """
    axes = [axis for axis, each in enumerate(along(G) or ()) if each.mixes]
    if len(axes) != 1:
        return None
    (axis,) = axes
    n = G.in_shape[axis]
    return axis if n <= SIDE_LIMIT and n * math.prod((*G.batch_shape, *G.in_shape)) <= ENTRIES_LIMIT else None


def at_every_place(G: LinearOperator, axis: int) -> Blocks:
    """A self-adjoint G that mixes entries along `axis` alone as matrices, float64: column j is what G makes of ones in
    slice j, at all places at once."""
    n, dim = G.in_shape[axis], axis - len(G.in_shape)
    dtype = torch.complex128 if G.is_complex() else torch.float64
    columns = []
    for j in range(n):
        ones = torch.zeros(G.in_shape, dtype=dtype, device=G.device)
        ones.select(dim, j).fill_(1)
        columns.append(G(ones).movedim(dim, -1))
    matrices = torch.stack(columns, -1)
    return Blocks((matrices + matrices.mH) / 2, axis, G.in_shape)
