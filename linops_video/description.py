"""What one wants to know of an operator before trusting it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from linops_video.normal import NormalSolver
from linops_video.operator import LinearOperator, Shape


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
    condition = float(normal.condition_number()) if normal.exact else None
    return Description(A.in_shape, A.out_shape, norm, condition, normal.method, error)


def _adjoint_error(A: LinearOperator, norm: float, generator: torch.Generator) -> float:
    x = torch.randn(A.in_shape, generator=generator, dtype=torch.float64)
    Ax = A(x)
    errors = []
    for y in (torch.randn(A.out_shape, generator=generator, dtype=torch.float64), Ax):
        gap = (Ax * y).sum() - (x * A.H(y)).sum()
        errors.append(float(gap.abs() / (norm * x.norm() * y.norm())))
    return max(errors)
