"""What one wants to know of an operator before trusting it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from linops_video.algebra.operator import LinearOperator
from linops_video.algebra.parameters import Shape
from linops_video.inverses.normal import NormalSolver
from linops_video.testing import dot_test


@dataclass(frozen=True)
class Description:
    """Facts about an operator A.

    Attributes:
        in_shape, out_shape: shapes of x and A x.
        norm: the largest singular value ‖A‖.
        condition: the largest over the smallest nonzero singular value; None where the solve is iterative.
        method: how (AᴴA + ρI)⁻¹ is done.
        adjoint_error: |⟨A x, y⟩ − ⟨x, Aᴴy⟩| / (‖A‖ ‖x‖ ‖y‖)
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
    double, generator = A.to(dtype=torch.float64), torch.Generator().manual_seed(seed)
    norm, normal = double.norm(), NormalSolver.of(double)
    dtype = torch.complex128 if A.is_complex() else torch.float64
    x, y = (torch.randn(shape, generator=generator, dtype=dtype) for shape in (A.in_shape, A.out_shape))
    errors = [float(dot_test(double, x, other, norm)) for other in (y, double(x))]
    condition = float(normal.condition_number()) if normal.exact else None
    return Description(A.in_shape, A.out_shape, float(norm), condition, normal.method, max(errors))
