"""Square roots of weights: weighted least squares is least squares of W^½A."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video.diagonal import Diagonal
from linops_video.errors import SpecError
from linops_video.operator import Identity, LinearOperator, scalar, scale
from linops_video.parameters import Shape
from linops_video.spectral import Spectral, spectral


@dataclass(frozen=True, eq=False, repr=False)
class Root(LinearOperator):
    """W^½ = Q Λ^½ Qᴴ of a positive semidefinite W = Q Λ Qᴴ; made by `root`."""

    weight: LinearOperator
    decomposition: Spectral

    @property
    def in_shape(self) -> Shape:
        return self.weight.in_shape

    @property
    def out_shape(self) -> Shape:
        return self.weight.in_shape

    def _apply(self, x: Tensor) -> Tensor:
        return self.decomposition.function(lambda values, _: values.clamp(min=0).sqrt(), x)

    _apply_adjoint = _apply

    @property
    def H(self) -> LinearOperator:
        return self

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        c = scalar(weight)
        return super().gram(weight) if c is None else scale(c, self.weight)

    outer = gram


def root(W: LinearOperator) -> LinearOperator:
    """W^½ of a self-adjoint, positive semidefinite W.

    Raises:
        SpecError: if W has a negative eigenvalue, or none of its structures gives them.
    """
    c = scalar(W)
    if c is not None:
        return scale(_positive(torch.as_tensor(c, dtype=torch.float64), W).sqrt(), Identity(W.in_shape))
    if isinstance(W, Diagonal):
        return Diagonal(_positive(W.diagonal.real, W).sqrt(), W.in_shape)
    known = spectral(W.detach().to(dtype=torch.float64))
    if known is None:
        raise SpecError(f"the weight {W!r} has no known square root: weight by L @ A instead, with W = LᴴL")
    _positive(known.occurrences()[0], W)
    return Root(W, known if W.dtype is None else known.to(dtype=W.dtype.to_real()))


def _positive(eigenvalues: Tensor, W: LinearOperator) -> Tensor:
    if bool((eigenvalues < -1e-10 * eigenvalues.abs().max()).any()):
        raise SpecError(f"the weight {W!r} has the eigenvalue {float(eigenvalues.min()):.2g}: all must be 0 or more")
    return eigenvalues.clamp(min=0)
