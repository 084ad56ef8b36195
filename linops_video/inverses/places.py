"""Operators that mix entries along one short axis alone, however they are put together: a matrix at every place."""

from __future__ import annotations

import math
from itertools import accumulate

import torch

from linops_video.algebra.operator import Adjoint, Compose, Identity, LinearOperator, Scaled, Sum
from linops_video.operators.blocks import ENTRIES_LIMIT, SIDE_LIMIT, Blocks
from linops_video.operators.diagonal import Diagonal
from linops_video.operators.multiplier import Multiplier


def mixed_axis(G: LinearOperator) -> int | None:
    """The only event axis along which a square G mixes entries, where its matrices are small enough to be stored.

    Example:
        >>> import torch
        >>> from linops_video import Diagonal, Difference
        >>> mixed_axis(Diagonal(torch.rand(4, 3), (4, 3)) + Difference(0, (4, 3)).gram())
        0
    """
    axes = _mixed(G)
    if axes is None or len(axes) != 1:
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


def _mixed(A: LinearOperator) -> set[int] | None:
    """The event axes along which A mixes entries; None where they are not known, or A renames axes."""
    if isinstance(A, (Identity, Diagonal)):
        return set()
    if isinstance(A, (Scaled, Adjoint)):
        return _mixed(A.operator)
    if isinstance(A, (Sum, Compose)):
        return _united([_mixed(part) for part in (A.terms if isinstance(A, Sum) else (A.left, A.right))])
    if isinstance(A, Blocks):
        return {A.axis}
    if isinstance(A, Multiplier) and (own := A.transform._separable_axes()):
        return {axis for axis in own if A.values.shape[axis - len(A.in_shape)] > 1}  # UᴴU = I along the others
    factors = A._factors() or ()
    if len(factors) == 1:
        return {0} if _is_line(A) else None
    axes: list[set[int] | None] = []
    for F, start in zip(factors, accumulate((len(F.in_shape) for F in factors), initial=0), strict=False):
        mixed = {0} if _is_line(F) and not isinstance(F, (Identity, Diagonal)) else _mixed(F)
        lost = mixed is None or len(F.in_shape) != len(F.out_shape)
        axes.append(None if lost else {start + axis for axis in mixed or ()})
    return _united(axes) if axes else None


def _united(axes: list[set[int] | None]) -> set[int] | None:
    known = [some for some in axes if some is not None]
    return set().union(*known) if len(known) == len(axes) else None


def _is_line(A: LinearOperator) -> bool:
    return len(A.in_shape) == len(A.out_shape) == 1
