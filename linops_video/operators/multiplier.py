"""Operators that are diagonal in an orthonormal transform: filters in the Fourier, cosine or wavelet domain."""

from __future__ import annotations

import dataclasses
from dataclasses import Field, dataclass
from typing import Any

from torch import Tensor

from linops_video.algebra.operator import Adjoint, Identity, LinearOperator, scalar, scale
from linops_video.algebra.parameters import (
    Shape,
    added,
    as_tensor,
    like,
    multiplied,
    per_sample,
    scaled,
    show,
    tensor_field,
)
from linops_video.operators.diagonal import Diagonal, check_values, number
from linops_video.operators.kron import kron_gram


def diagonal_in(A: LinearOperator, transform: LinearOperator) -> Tensor | None:
    """w with A x = Uᴴ(w ⊙ U x), to be broadcast over U's output, where A is known to be of that form, else None."""
    c = scalar(A)
    return A._diagonal_in(transform) if c is None else as_tensor(per_sample(c, len(transform.out_shape)))


def _long(values: Tensor) -> set[int]:
    """The axes, counted from the last one, along which this is longer than 1."""
    return {axis - values.ndim for axis, n in enumerate(values.shape) if n > 1}


def _axes(transform: LinearOperator) -> set[int]:
    return set(transform._separable_axes())


def _joined(U: LinearOperator, V: LinearOperator) -> LinearOperator | None:
    """The transform over the axes of U and of V, if both are of one kind, axis by axis."""
    if type(U) is not type(V) or U.in_shape != V.in_shape or not (_axes(U) and _axes(V)):
        return None
    either: Any = U
    return dataclasses.replace(either, axes=tuple(sorted(_axes(U) | _axes(V))))


def _used(A: Multiplier) -> set[int]:
    """The axes, counted from the last one, along which A mixes entries, or treats them differently."""
    n = len(A.in_shape)
    return {axis - n for axis in _axes(A.transform)} | {axis for axis in _long(A.values) if axis >= -n}


def _values_in(self: Multiplier, transform: LinearOperator) -> Tensor | None:
    if same(transform, self.transform):
        return number(self.values)
    further = {axis - len(self.in_shape) for axis in _axes(transform) - _axes(self.transform)}
    wider = _joined(transform, self.transform) and _axes(transform) >= _axes(self.transform)
    return number(self.values) if wider and not _long(self.values) & further else None


def _check(self: Multiplier) -> None:
    shape = self.transform.out_shape
    check_values(f"a multiplier on {show(shape)}", self.values, shape)


def _product(self: Multiplier, other: LinearOperator) -> Multiplier | None:
    joined = _joined(self.transform, other.transform) if isinstance(other, Multiplier) else None
    for transform in (self.transform, joined) if joined else (self.transform,):
        v, w = self._diagonal_in(transform), diagonal_in(other, transform)
        if v is not None and w is not None:
            return Multiplier(transform, multiplied(v, w))
    return None


def _sum(self: Multiplier, other: LinearOperator) -> Multiplier | None:
    """The sum, unless they act along separate axes: there the terms of the sum tell more than their sum."""
    w = diagonal_in(other, self.transform)
    if w is None or {axis for axis in _long(w) if axis >= -len(self.in_shape)} - _used(self):
        return None  # axes of a batch separate nothing
    return Multiplier(self.transform, added(number(self.values), w))


def _embedded(self: Multiplier, before: Shape, behind: Shape) -> Multiplier | None:
    transform = self.transform._embed(before, behind)
    batch = self.values.ndim - len(self.transform.out_shape)
    sizes = (1,) * len(before) + self.values.shape[batch:] + (1,) * len(behind)
    return transform and Multiplier(transform, self.values.reshape(self.values.shape[:batch] + sizes))


def _separated(self: Multiplier) -> tuple[LinearOperator, ...] | None:
    """This on the group of axes along which it does anything, and identities on the others."""
    transform: Any = self.transform
    n, used = len(self.in_shape), _used(self)
    first, end = n + min(used, default=0), n + max(used, default=0) + 1
    if not _axes(transform) or end - first == n:
        return None
    axes = tuple(axis - first for axis in transform._separable_axes())
    inner = dataclasses.replace(transform, axes=axes, in_shape=self.in_shape[first:end])
    batch = self.values.ndim - n
    values = self.values.reshape(self.values.shape[:batch] + self.values.shape[batch:][first:end])
    identities = [Identity((size,)) for size in self.in_shape]
    return (*identities[:first], Multiplier(inner, values), *identities[end:])


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


@dataclass(frozen=True, eq=False, repr=False)
class Multiplier(LinearOperator):
    """x ↦ Uᴴ(w ⊙ U x): the operator with the eigenvectors Uᴴ of a unitary transform U, and eigenvalues w.

    Args:
        transform: U, with UᴴU = UUᴴ = I, which is not checked.
        values: w, shape (*batch, *event) with the axes of U's `out_shape`, each of full size or 1, else a ShapeError.

    Example:
        >>> import torch
        >>> from linops_video import Cosine
        >>> mean = Multiplier(Cosine((0,), (4,)), torch.tensor([1.0, 0.0, 0.0, 0.0]))
        >>> torch.allclose(mean(torch.tensor([0.0, 4.0, 0.0, 0.0])), torch.ones(4))
        True
    """

    transform: LinearOperator
    values: Tensor = tensor_field(None)

    __post_init__ = _check

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
        square = Multiplier(self.transform, number(self.values).abs() ** 2)
        return square if weight is None else square._after(weight) or super().gram(weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return self.H.gram(weight)

    _after = _before = _product
    _plus = _sum
    _diagonal_in = _values_in
    _embed = _embedded
    _factors = _separated

    def _times(self, factor: float | Tensor) -> LinearOperator:
        return Multiplier(self.transform, scaled(factor, number(self.values), len(self.transform.out_shape)))

    def _known_norm(self) -> Tensor:
        return number(self.values).abs().double().flatten(self.values.ndim - len(self.transform.out_shape)).amax(-1)


def unitary_gram(self: LinearOperator, weight: LinearOperator | None = None) -> LinearOperator:
    """UᴴWU of the unitary U = `self`: c·I is kept, a Diagonal becomes a `Multiplier`, and what U undoes a Diagonal.

    A Diagonal that is constant along the axes on which U acts commutes with U.
    """
    c = scalar(weight)
    if weight is None or c is not None:
        return scale(1.0 if c is None else c, Identity(self.in_shape))
    if isinstance(weight, Diagonal):
        return weight if weight._diagonal_in(self) is not None else Multiplier(self, number(weight.diagonal))
    w = diagonal_in(weight, self.H)
    if w is not None:
        return Diagonal(w, self.in_shape)
    return kron_gram(self, weight) or LinearOperator.gram(self, weight)


def unitary_outer(self: LinearOperator, weight: LinearOperator | None = None) -> LinearOperator:
    """UWUᴴ of the unitary U = `self`."""
    return unitary_gram(self.H, weight)


def undone(self: LinearOperator, other: LinearOperator) -> LinearOperator | None:
    """I where `other` is the adjoint of the unitary U = `self`, so that either undoes the other, else None."""
    return Identity(self.in_shape) if isinstance(other, Adjoint) and same(other.operator, self) else None


def transform_name(U: LinearOperator) -> str:
    """What `NormalSolver.method` calls a solve that is pointwise after U."""
    inner = U.operator if isinstance(U, Adjoint) else U
    return inner.method_name or type(inner).__name__
