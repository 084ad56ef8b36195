"""Self-adjoint operators that commute with shifts by k rows and m columns: a small matrix per frequency of every k-th
row and m-th column. Such are the Grams of stacked decimations of circular convolutions (multi-frame super resolution),
and of masks that repeat themselves, such as colour filter arrays, behind circular convolutions."""

from __future__ import annotations

import math
from itertools import product

import torch

from linops_video.algebra.operator import LinearOperator
from linops_video.inverses.axes import ALIKE, along
from linops_video.inverses.spectral import Plan, Spectral
from linops_video.operators.blocks import ENTRIES_LIMIT, SIDE_LIMIT
from linops_video.operators.fourier import PhaseFourier, joined_phases, split_phases


def plan_phases(A: LinearOperator) -> Plan | None:
    """How AᴴA is diagonalised where it commutes with shifts of the frames by k rows and m columns: as a matrix
    per frequency of the phases x[…, a::k, b::m], k·m of them times the entries of those other axes along which it mixes
    entries, at most 64 in all; one for a whole axis whose entries it treats alike. Else None.

    Example:
        >>> import torch
        >>> from linops_video import Bayer, Convolution
        >>> A = Bayer("rggb", (3, 8, 8)) @ Convolution(torch.ones(3, 3), (3, 8, 8), "circular")
        >>> plan_phases(A).name
        'FFT, then eigh of 4×4 per frequency'
    """
    axes = along(A.gram()) if len(A.in_shape) >= 2 and not A.is_complex() else None
    if axes is None or any(1 < n == axis.step for n, axis in zip(A.in_shape[-2:], axes[-2:], strict=True)):
        return None
    others = zip(A.in_shape, axes[:-2], strict=False)
    steps = (*(n if axis.mixes else 1 for n, axis in others), *(axis.step for axis in axes[-2:]))
    alike = tuple(i for i, axis in enumerate(axes[:-2]) if axis == ALIKE)
    n, several = math.prod(steps), math.prod(size for i, size in enumerate(A.in_shape) if i not in alike)
    entries = math.prod(A.batch_shape) * several
    if n > SIDE_LIMIT or n * entries > ENTRIES_LIMIT:
        return None
    name = f"FFT, then eigh of {n}×{n} per frequency"
    return Plan(10.0 * n**2 * entries, name, lambda: _decomposed(A, steps, alike))


def _decomposed(A: LinearOperator, steps: tuple[int, ...], alike: tuple[int, ...]) -> Spectral:
    """From the transformed responses of AᴴA to an impulse in each phase, another at each place of the axes `alike`."""
    n, *frame = math.prod(steps), A.in_shape[-2] // steps[-2], A.in_shape[-1] // steps[-1]
    others = [size // step for size, step in zip(A.in_shape[:-2], steps, strict=False)]
    whole, columns = [slice(None)], []
    cells = list(product(*([*map(_only, range(size))] if i in alike else whole for i, size in enumerate(others))))
    for first in range(0, n, len(cells)):
        some = list(zip(range(first, n), cells, strict=False))
        impulses = torch.zeros(*others, n, *frame, dtype=torch.float64, device=A.device)
        for phase, cell in some:
            impulses[(*cell, phase, 0, 0)] = 1
        spectra = torch.fft.rfft2(split_phases(A.H(A(joined_phases(impulses, steps))), steps))
        columns += [spectra[(..., *cell, *whole * 3)] for _, cell in some]
    matrices = torch.stack(columns, -3).movedim((-4, -3), (-2, -1))
    values, vectors = torch.linalg.eigh((matrices + matrices.mH) / 2)
    basis = PhaseFourier(vectors.movedim((-2, -1), (-4, -3)).contiguous(), steps, A.in_shape)
    values = values.movedim(-1, -3).unsqueeze(-1)
    return Spectral(basis, values.repeat_interleave(2, -1))  # stored for both parts, as a Circulant's


def _only(i: int) -> slice:
    return slice(i, i + 1)
