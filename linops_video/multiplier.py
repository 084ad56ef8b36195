"""Operators that are diagonal in an orthonormal transform: filters in the Fourier, cosine or wavelet domain."""

from __future__ import annotations

import dataclasses
from dataclasses import Field, dataclass
from typing import Any

import torch
from torch import Tensor

from linops_video.diagonal import Diagonal
from linops_video.kron import kron_gram
from linops_video.operator import Adjoint, Identity, LinearOperator, scalar, scale
from linops_video.parameters import Shape, like, per_sample, tensor_field


@dataclass(frozen=True, eq=False, repr=False)
class Multiplier(LinearOperator):
    """x ↦ Uᴴ(w ⊙ U x) for a unitary transform U: the operator with eigenvectors Uᴴ and eigenvalues w.

    Sums, products, multiples and inverses of such operators on one U are such operators.

    Args:
        transform: U, with UᴴU = UUᴴ = I, which is not checked.
        values: w, shape (*batch, *event) with the axes of U's `out_shape`, each of full size or 1.

    Example:
        >>> import torch
        >>> from linops_video import Cosine
        >>> mean = Multiplier(Cosine((0,), (4,)), torch.tensor([1.0, 0.0, 0.0, 0.0]))
        >>> torch.allclose(mean(torch.tensor([0.0, 4.0, 0.0, 0.0])), torch.ones(4))
        True
    """

    transform: LinearOperator
    values: Tensor = tensor_field(None)

    @property
    def in_shape(self) -> Shape:
        return self.transform.in_shape

    @property
    def out_shape(self) -> Shape:
        return self.transform.in_shape

    def _event_ndim(self, f: Field) -> int:
        return len(self.transform.out_shape)

    def _apply(self, x: Tensor) -> Tensor:
        coefficients = self.transform._apply(x)
        return self.transform._apply_adjoint(like(self.values, coefficients) * coefficients)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return self.H._apply(y)

    @property
    def H(self) -> Multiplier:
        return Multiplier(self.transform, self.values.conj()) if self.values.is_complex() else self

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        square = Multiplier(self.transform, self.values.abs() ** 2)
        if weight is None:
            return square
        return square._after(weight) or super().gram(weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return self.H.gram(weight)

    def _after(self, other: LinearOperator) -> LinearOperator | None:
        w = diagonal_in(other, self.transform)
        return None if w is None else Multiplier(self.transform, self.values * w)

    _before = _after

    def _plus(self, other: LinearOperator) -> LinearOperator | None:
        w = diagonal_in(other, self.transform)
        return None if w is None else Multiplier(self.transform, self.values + w)

    def _times(self, factor: float | Tensor) -> LinearOperator:
        return Multiplier(self.transform, per_sample(factor, len(self.transform.out_shape)) * self.values)

    def _diagonal_in(self, transform: LinearOperator) -> Tensor | None:
        return self.values if same(transform, self.transform) else None

    def _known_norm(self) -> Tensor:
        return self.values.abs().double().flatten(self.values.ndim - len(self.transform.out_shape)).amax(-1)


def diagonal_in(A: LinearOperator, transform: LinearOperator) -> Tensor | None:
    """w with A x = Uᴴ(w ⊙ U x), to be broadcast over U's output, where A is known to be of that form, else None."""
    c = scalar(A)
    if c is None:
        return A._diagonal_in(transform)
    factor = torch.as_tensor(c)
    return factor.reshape(factor.shape + (1,) * len(transform.out_shape))


def same(A: Any, B: Any) -> bool:
    """Whether two operators are one by construction: types and plain fields are equal, and tensors identical."""
    if A is B:
        return True
    if type(A) is not type(B) or isinstance(A, Tensor):
        return False
    if isinstance(A, tuple):
        return len(A) == len(B) and all(same(a, b) for a, b in zip(A, B, strict=True))
    if isinstance(A, LinearOperator):
        me: Any = A
        return all(same(getattr(A, f.name), getattr(B, f.name)) for f in dataclasses.fields(me))
    return A == B


def unitary_gram(
    U: LinearOperator, weight: LinearOperator | None = None, axes: tuple[int, ...] | None = None
) -> LinearOperator:
    """UᴴWU of a unitary U: c·I is kept, a Diagonal becomes a `Multiplier`, and what U undoes a Diagonal.

    A diagonal that is constant along `axes`, those on which U acts (None: all), commutes with U.
    """
    c = scalar(weight)
    if weight is None or c is not None:
        return scale(1.0 if c is None else c, Identity(U.in_shape))
    if isinstance(weight, Diagonal):
        sizes = weight.diagonal.shape[weight.diagonal.ndim - len(weight.in_shape) :]
        constant = all(sizes[axis] == 1 for axis in (range(len(sizes)) if axes is None else axes))
        return Diagonal(weight.diagonal, U.in_shape) if constant else Multiplier(U, weight.diagonal)
    w = diagonal_in(weight, U.H)
    if w is not None:
        return Diagonal(w, U.in_shape)
    return kron_gram(U, weight) or LinearOperator.gram(U, weight)


def transform_name(U: LinearOperator) -> str:
    """What `NormalSolver.method` calls a solve that is pointwise after U."""
    inner = U.operator if isinstance(U, Adjoint) else U
    return getattr(inner, "method_name", type(inner).__name__)
