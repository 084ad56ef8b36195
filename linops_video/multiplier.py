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
        found = _in_one_transform(self, other)
        return found and Multiplier(found[0], found[1] * found[2])

    _before = _after

    def _plus(self, other: LinearOperator) -> LinearOperator | None:
        w = diagonal_in(other, self.transform)
        # over separate axes, the terms of a sum tell more than the sum
        return None if w is None or _long(w) - self._used() else Multiplier(self.transform, self.values + w)

    def _times(self, factor: float | Tensor) -> LinearOperator:
        return Multiplier(self.transform, per_sample(factor, len(self.transform.out_shape)) * self.values)

    def _diagonal_in(self, transform: LinearOperator) -> Tensor | None:
        if same(transform, self.transform):
            return self.values
        wider = _joined(transform, self.transform) and _axes(transform) >= _axes(self.transform)
        constant = not _long(self.values) & {
            axis - len(self.in_shape) for axis in _axes(transform) - _axes(self.transform)
        }
        return self.values if wider and constant else None

    def _used(self) -> set[int]:
        """The axes, counted from the last one, along which this is not the identity for each entry."""
        return {axis - len(self.in_shape) for axis in _axes(self.transform)} | _long(self.values)

    def _embed(self, before: Shape, behind: Shape) -> LinearOperator | None:
        transform = self.transform._embed(before, behind)
        batch = self.values.ndim - len(self.transform.out_shape)
        sizes = (1,) * len(before) + self.values.shape[batch:] + (1,) * len(behind)
        return transform and Multiplier(transform, self.values.reshape(self.values.shape[:batch] + sizes))

    def _factors(self) -> tuple[LinearOperator, ...] | None:
        transform: Any = self.transform
        n, used = len(self.in_shape), self._used()
        first, end = n + min(used, default=0), n + max(used, default=0) + 1
        if not _axes(transform) or end - first == n:
            return None
        inner = dataclasses.replace(
            transform, axes=tuple(axis - first for axis in transform.axes), in_shape=self.in_shape[first:end]
        )
        batch = self.values.ndim - n
        sizes = self.values.shape[batch:][first:end]
        identities = [Identity((size,)) for size in self.in_shape]
        values = self.values.reshape(self.values.shape[:batch] + sizes)
        return (*identities[:first], Multiplier(inner, values), *identities[end:])

    def _known_norm(self) -> Tensor:
        return self.values.abs().double().flatten(self.values.ndim - len(self.transform.out_shape)).amax(-1)


def diagonal_in(A: LinearOperator, transform: LinearOperator) -> Tensor | None:
    """w with A x = Uᴴ(w ⊙ U x), to be broadcast over U's output, where A is known to be of that form, else None."""
    c = scalar(A)
    if c is None:
        return A._diagonal_in(transform)
    factor = torch.as_tensor(c)
    return factor.reshape(factor.shape + (1,) * len(transform.out_shape))


def _long(values: Tensor) -> set[int]:
    """The axes, counted from the last one, along which this is longer than 1."""
    return {axis - values.ndim for axis, n in enumerate(values.shape) if n > 1}


def _axes(transform: LinearOperator) -> set[int]:
    """The axes of a transform that acts on each of some axes by itself (`axes` of `Cosine`, `Fourier`)."""
    return set(getattr(transform, "axes", ()))


def _joined(U: LinearOperator, V: LinearOperator) -> LinearOperator | None:
    """The transform over the axes of U and of V, if both are of one kind, axis by axis."""
    if type(U) is not type(V) or U.in_shape != V.in_shape or not (_axes(U) and _axes(V)):
        return None
    together: Any = U
    return dataclasses.replace(together, axes=tuple(sorted(_axes(U) | _axes(V))))


def _in_one_transform(A: Multiplier, other: LinearOperator) -> tuple[LinearOperator, Tensor, Tensor] | None:
    """A transform in which both are diagonal, and their values there."""
    joined = _joined(A.transform, other.transform) if isinstance(other, Multiplier) else None
    for transform in (A.transform, joined) if joined else (A.transform,):
        v, w = A._diagonal_in(transform), diagonal_in(other, transform)
        if v is not None and w is not None:
            return transform, v, w
    return None


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


def unitary_gram(U: LinearOperator, weight: LinearOperator | None = None) -> LinearOperator:
    """UᴴWU of a unitary U: c·I is kept, a Diagonal becomes a `Multiplier`, and what U undoes a Diagonal.

    A Diagonal that is constant along the axes on which U acts commutes with U.
    """
    c = scalar(weight)
    if weight is None or c is not None:
        return scale(1.0 if c is None else c, Identity(U.in_shape))
    if isinstance(weight, Diagonal):
        return weight if weight._diagonal_in(U) is not None else Multiplier(U, weight.diagonal)
    w = diagonal_in(weight, U.H)
    if w is not None:
        return Diagonal(w, U.in_shape)
    return kron_gram(U, weight) or LinearOperator.gram(U, weight)


def transform_name(U: LinearOperator) -> str:
    """What `NormalSolver.method` calls a solve that is pointwise after U."""
    inner = U.operator if isinstance(U, Adjoint) else U
    return getattr(inner, "method_name", type(inner).__name__)
