"""Operators whose Gram commutes with shifts by k rows and m columns: a small matrix per frequency of every k-th row
and m-th column. Stacked decimations of circular convolutions are such operators (multi-frame super resolution)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from linops_video.algebra.operator import Adjoint, Compose, LinearOperator, Scaled, Sum
from linops_video.algebra.parameters import Shape
from linops_video.inverses.spectral import Plan, Spectral
from linops_video.operators.blocks import ENTRIES_LIMIT, SIDE_LIMIT
from linops_video.operators.convolution import Convolution
from linops_video.operators.difference import Difference
from linops_video.operators.fourier import Fourier, PhaseFourier, split_phases
from linops_video.operators.geometry import Roll
from linops_video.operators.multiplier import diagonal_in
from linops_video.operators.sampling import BoxMean
from linops_video.operators.select import Select, Slice
from linops_video.operators.stack import BlockDiagonal, Stack

Steps = tuple[int, int]
Part = tuple[Steps, Shape]
"""A part of A x with its shape: a shift of every frame of x by k rows and m columns is one of the part by 1 and 1."""


def plan_phases(A: LinearOperator) -> Plan | None:
    """How AᴴA is diagonalised where it treats all frames alike, each alone, and commutes with shifts of them by k rows
    and m columns, k·m at most 64: as one k·m × k·m matrix per frequency of the phases x[…, a::k, b::m]; else None.

    Example:
        >>> from linops_video import BoxMean, Roll, Stack
        >>> A = Stack((BoxMean(2, (3, 8, 8)), BoxMean(2, (3, 8, 8)) @ Roll((1,), (2,), (3, 8, 8))))
        >>> plan_phases(A).name
        'FFT, then eigh of 4×4 per frequency'
    """
    parts = _parts(A) if len(A.in_shape) >= 2 and not A.is_complex() else []
    if not parts:
        return None
    steps = math.lcm(*(k for (k, _), _ in parts)), math.lcm(*(m for (_, m), _ in parts))
    n, entries = math.prod(steps), math.prod((*A.batch_shape, *A.in_shape[-2:]))
    if n > SIDE_LIMIT or n * entries > ENTRIES_LIMIT:
        return None
    return Plan(10.0 * n**2 * entries, f"FFT, then eigh of {n}×{n} per frequency", lambda: _decomposed(A, steps))


def _decomposed(A: LinearOperator, steps: Steps) -> Spectral:
    """From the transformed responses of AᴴA to an impulse in each phase, as many at once as there are frames."""
    places = [(a, b) for a in range(steps[0]) for b in range(steps[1])]
    frames, columns = math.prod(A.in_shape[:-2]), []
    for some in (places[i : i + frames] for i in range(0, len(places), frames)):
        impulses = torch.zeros(frames, *A.in_shape[-2:], dtype=torch.float64, device=A.device)
        for frame, place in enumerate(some):
            impulses[(frame, *place)] = 1
        responses = A.H(A(impulses.reshape(A.in_shape))).reshape(*A.batch_shape, *impulses.shape)
        columns.append(torch.fft.rfft2(split_phases(responses[..., : len(some), :, :], steps)))
    values, vectors = torch.linalg.eigh(torch.cat(columns, -4).movedim((-3, -4), (-2, -1)))
    values = values.movedim(-1, -3).unflatten(-3, ((1,) * (len(A.in_shape) - 2) + (len(places),)))
    basis = PhaseFourier(vectors.movedim((-2, -1), (-4, -3)).contiguous(), steps, A.in_shape)
    return Spectral(basis, values.unsqueeze(-1).repeat_interleave(2, -1))  # stored for both parts, as a Circulant's


def _parts(A: LinearOperator) -> list[Part]:
    """The parts of A x, more than one of a `Stack`; [] where one is not known to follow shifts of the frames."""
    if isinstance(A, Scaled):
        return _parts(A.operator)
    if isinstance(A, Stack):
        return _joined([_parts(B) for B in A.operators])
    if isinstance(A, Sum):
        parts = [_parts(term) for term in A.terms]
        return parts[0] if all(part == parts[0] for part in parts) else []
    if isinstance(A, Compose):
        before = _parts(A.right)
        blocks = A.left.operators if isinstance(A.left, BlockDiagonal) else (A.left,)
        if [shape for _, shape in before] != [B.in_shape for B in blocks]:
            return []
        pairs = zip(before, blocks, strict=True)
        return _joined([[((k * p, m * q), shape) for (p, q), shape in _parts(B)] for ((k, m), _), B in pairs])
    steps = sampling_steps(A) if isinstance(A, BoxMean | Slice | Select) else (1, 1) if _is_circular(A) else None
    return [] if steps is None else [(steps, A.out_shape)]


def _joined(several: list[list[Part]]) -> list[Part]:
    return [part for parts in several for part in parts] if all(several) else []


def sampling_steps(A: BoxMean | Slice | Select) -> Steps | None:
    """k and m where A keeps every k-th row and m-th column of each frame, or means of as many, none left over."""
    steps = [n // few for n, few in zip(A.in_shape, A.out_shape, strict=True)]
    whole = all(step * few == n for step, few, n in zip(steps, A.out_shape, A.in_shape, strict=True))
    if not whole or len(steps) < 2 or any(step > 1 for step in steps[:-2]):
        return None
    if isinstance(A, BoxMean):
        even = all(step in (1, A.factor) for step in steps)
    else:
        rows = zip(_kept(A), A.in_shape, steps, strict=True)
        even = all(tuple(kept) == tuple(range(kept[0], n, step)) for kept, n, step in rows)
    return (steps[-2], steps[-1]) if even else None


def _kept(A: Slice | Select) -> list[Sequence[int]]:
    """The indices that are kept of every axis."""
    whole = [range(n) for n in A.in_shape]
    if isinstance(A, Slice):
        return [line[kept] for line, kept in zip(whole, A.slices, strict=True)]
    return [A.indices if axis == A.axis else line for axis, line in enumerate(whole)]


def _is_circular(A: LinearOperator) -> bool:
    """Whether A is a circular convolution over the last two axes, the same for all others."""
    A, n = A.operator if isinstance(A, Adjoint) else A, len(A.in_shape)
    if isinstance(A, Roll):
        return set(A.axes) <= {n - 2, n - 1}
    if isinstance(A, Difference):
        return A.ends == "periodic" and A.axis >= n - 2
    if isinstance(A, Convolution):
        return A.boundary == "circular"
    values = diagonal_in(A, Fourier((n - 2, n - 1), A.in_shape))
    return values is not None and all(size == 1 for size in values.shape[values.ndim - n : -2])
