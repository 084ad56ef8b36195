"""Square roots of weights: weighted least squares is least squares of W^½A."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from linops_video.algebra.operator import Identity, LinearOperator, Scaled, scalar, scale
from linops_video.algebra.parameters import Shape, as_tensor, double
from linops_video.errors import DtypeError, SpecError
from linops_video.inverses.spectral import Spectral, spectral
from linops_video.operators.circulant import Circulant
from linops_video.operators.dense import AxisMatrix, Dense
from linops_video.operators.diagonal import Diagonal, number
from linops_video.operators.kron import Kron, kron
from linops_video.operators.multiplier import Multiplier
from linops_video.operators.stack import BlockDiagonal


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
    """W^½ of a self-adjoint, positive semidefinite W, of the same kind as W where that has a root of its kind.

    Within torch.func the numbers of W are not known: it is taken for what it should be.

    Raises:
        DtypeError: if W is not an operator.
        SpecError: if W is not self-adjoint, has a negative eigenvalue, or none of its structures gives them.
    """
    if not isinstance(W, LinearOperator):
        raise DtypeError(f"a weight must be an operator, such as Diagonal(w, A.out_shape), got {type(W).__name__}")
    if not any(map(is_functorch_wrapped_tensor, W.tensors())):
        _check_self_adjoint(W.detach())
    return _root_of(W)


def _check_self_adjoint(W: LinearOperator) -> None:
    """Raise a SpecError if ⟨W x, z⟩ and ⟨x, W z⟩ differ for two random tensors."""
    if W.in_shape != W.out_shape:
        raise SpecError(f"a weight takes measurements to measurements, and {W!r} changes their shape")
    generator = torch.Generator().manual_seed(0)
    shape, event = (2, *(1,) * len(W.batch_shape), *W.in_shape), tuple(range(-len(W.in_shape), 0))
    x, z = torch.randn(shape, generator=generator, dtype=torch.complex128).to(W.device)
    Wx, Wz = W(x), W(z)
    gap = ((Wx.conj() * z).sum(event) - (x.conj() * Wz).sum(event)).abs()
    norm = torch.linalg.vector_norm
    size = norm(Wx, dim=event) * norm(z, dim=event) + norm(x, dim=event) * norm(Wz, dim=event)
    if bool((gap > 1e-6 * size).any()):
        raise SpecError(f"the weight {W!r} is not self-adjoint: ⟨W x, z⟩ is not ⟨x, W z⟩")


def _root_of(W: LinearOperator) -> LinearOperator:
    c = scalar(W)
    if c is not None:
        return scale(_roots(torch.as_tensor(c, dtype=torch.float64), W), Identity(W.in_shape))
    if isinstance(W, Diagonal):
        return replace(W, diagonal=_roots(number(W.diagonal).real, W))
    if isinstance(W, Circulant):
        return replace(W, transfer=_roots(W.transfer.real, W))
    if isinstance(W, Multiplier):
        return replace(W, values=_roots(W.values.real, W))
    if isinstance(W, Dense | AxisMatrix):
        values, vectors = torch.linalg.eigh(double(W.matrix))
        matrix = vectors * _roots(values, W).unsqueeze(-2) @ vectors.mH
        return replace(W, matrix=matrix.to(W.matrix.dtype))
    if isinstance(W, Scaled):
        return scale(_roots(as_tensor(W.factor), W), _root_of(W.operator))
    if isinstance(W, Kron):
        return kron(*(_root_of(f) for f in W.factors))
    if isinstance(W, BlockDiagonal):
        return BlockDiagonal(tuple(_root_of(A) for A in W.operators))
    known = spectral(W.detach().to(dtype=torch.float64))
    if known is None:
        raise SpecError(f"the weight {W!r} has no known square root: weight by L @ A instead, with W = LᴴL")
    _roots(known.occurrences()[0], W)
    return Root(W, known if W.dtype is None else known.to(dtype=W.dtype.to_real()))


def _roots(eigenvalues: Tensor, W: LinearOperator) -> Tensor:
    """The square roots of the eigenvalues of W; a SpecError if one is negative."""
    if not is_functorch_wrapped_tensor(eigenvalues) and bool((eigenvalues < -1e-6 * eigenvalues.abs().max()).any()):
        raise SpecError(f"the weight {W!r} has the eigenvalue {float(eigenvalues.min()):.2g}: all must be 0 or more")
    return eigenvalues.clamp(min=0).sqrt()
