"""What one wants to know of an operator before trusting it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from linops_video.normal import NormalSolver
from linops_video.operator import LinearOperator, Shape
from linops_video.spectral import ZERO, Spectral


@dataclass(frozen=True)
class Description:
    """Facts about an operator A.

    Attributes:
        in_shape, out_shape: shapes of x and A x.
        norm: the largest singular value ‖A‖.
        condition: the largest over the smallest nonzero singular value; None where the solve is iterative.
        method: how (AᵀA + ρI)⁻¹ is done.
        adjoint_error: |⟨A x, y⟩ − ⟨x, Aᵀy⟩| / (‖A‖ ‖x‖ ‖y‖)
            for a random x, the larger of y random and y = A x.
    """

    in_shape: Shape
    out_shape: Shape
    norm: float
    condition: float | None
    method: str
    adjoint_error: float


def describe(A: LinearOperator, seed: int = 0) -> Description:
    """Describe A (no batch axes), computed in float64.

    Example:
        >>> from linops_video import BoxMean
        >>> describe(BoxMean(2, (1, 1, 4, 4))).norm
        0.5
    """
    double = A.to(dtype=torch.float64)
    norm = float(double.norm())
    normal = NormalSolver.of(double)
    error = _adjoint_error(double, norm, torch.Generator().manual_seed(seed))
    condition = None if normal.side == "cg" else norm / _smallest(normal, norm, torch.Generator().manual_seed(seed))
    return Description(A.in_shape, A.out_shape, norm, condition, normal.method, error)


def _smallest(normal: NormalSolver, norm: float, generator: torch.Generator) -> float:
    """The smallest nonzero singular value: from the eigenvalues, or where there are none by inverse iteration."""
    decomposition = normal.decomposition
    if isinstance(decomposition, Spectral):
        return math.sqrt(min(_nonzero(part, norm) for part in _parts(decomposition)))
    assert decomposition is not None
    shape = normal.operator.in_shape if normal.side == "gram" else normal.operator.out_shape
    rho = ZERO**1.25 * norm**2
    b = torch.randn(shape, generator=generator, dtype=torch.float64)
    before, length = 0.0, 1.0
    for _ in range(500):
        b = decomposition.solve(rho, b / b.norm())
        before, length = length, float(b.norm())
        if abs(length - before) < 1e-6 * length:
            break
    return math.sqrt(max(1 / length - rho, 0.0))


def _parts(decomposition: Spectral | None) -> Iterator[Spectral]:
    while decomposition is not None:
        yield decomposition
        decomposition = decomposition.rest


def _nonzero(part: Spectral, norm: float) -> float:
    kept = part.eigenvalues[part.eigenvalues > ZERO * norm**2]
    return float(kept.min()) if kept.numel() else math.inf


def _adjoint_error(A: LinearOperator, norm: float, generator: torch.Generator) -> float:
    x = torch.randn(A.in_shape, generator=generator, dtype=torch.float64)
    Ax = A(x)
    errors = []
    for y in (torch.randn(A.out_shape, generator=generator, dtype=torch.float64), Ax):
        gap = (Ax * y).sum() - (x * A.H(y)).sum()
        errors.append(float(gap.abs() / (norm * x.norm() * y.norm())))
    return max(errors)
