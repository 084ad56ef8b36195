"""Pointwise operators: masks and other diagonals."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video.algebra.operator import Adjoint, Identity, LinearOperator, compose, scalar, scale
from linops_video.algebra.parameters import (
    Shape,
    added,
    as_tensor,
    double,
    like,
    multiplied,
    per_sample,
    scaled,
    show,
    tensor_field,
)
from linops_video.errors import DtypeError, ShapeError


@dataclass(frozen=True, eq=False, repr=False)
class Diagonal(LinearOperator):
    """x ↦ d ⊙ x: a mask where d is 0 or 1, a weighting in general.

    Args:
        diagonal: d, shape (*batch, *in_shape), 1 along axes on which d is constant; others raise a ShapeError.
        in_shape: the event shape.

    Example:
        >>> import torch
        >>> Diagonal(torch.tensor([1.0, 0.0, 2.0]), (3,))(torch.ones(3))
        tensor([1., 0., 2.])
    """

    diagonal: Tensor = tensor_field(None)
    in_shape: Shape = ()

    def __post_init__(self) -> None:
        check_values(f"a Diagonal on {show(self.in_shape)}", self.diagonal, self.in_shape)

    @property
    def out_shape(self) -> Shape:
        return self.in_shape

    def _apply(self, x: Tensor) -> Tensor:
        return like(self.diagonal, x) * x

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return like(self.diagonal.conj(), y) * y

    @property
    def H(self) -> Diagonal:
        return Diagonal(self.diagonal.conj(), self.in_shape) if self.diagonal.is_complex() else self

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        return _gram(self, weight) or super().gram(weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return self.H.gram(weight)

    def _after(self, other: LinearOperator) -> LinearOperator | None:
        return _product(self, other) if isinstance(other, Diagonal) else None

    def _plus(self, other: LinearOperator) -> LinearOperator | None:
        return _sum(self, other)

    def _times(self, factor: float | Tensor) -> LinearOperator:
        return Diagonal(scaled(factor, number(self.diagonal), len(self.in_shape)), self.in_shape)

    def _factors(self) -> tuple[LinearOperator, ...]:
        return _factors(self)

    def _diagonal_in(self, transform: LinearOperator) -> Tensor | None:
        return _values_in(self, transform)

    def _embed(self, before: Shape, behind: Shape) -> LinearOperator:
        sizes = (1,) * len(before) + _sizes(self) + (1,) * len(behind)
        return Diagonal(self.diagonal.reshape(self.batch_shape + sizes), (*before, *self.in_shape, *behind))

    def _known_norm(self) -> Tensor:
        return number(self.diagonal).abs().double().flatten(self.diagonal.ndim - len(self.in_shape)).amax(-1)


def check_values(operator: str, values: Tensor, shape: Shape) -> None:
    """Raise a ShapeError if a factor for every entry has not an axis for each of the event's, of its size or 1, and a
    DtypeError if factors are integers, whose products overflow."""
    if not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool):
        raise DtypeError(f"{operator} needs bool, real or complex factors, got {values.dtype}: use .float()")
    sizes, n = tuple(values.shape), len(shape)
    if len(sizes) < n or any(d not in (1, size) for d, size in zip(sizes[len(sizes) - n :], shape, strict=True)):
        raise ShapeError(
            f"{operator} needs factors of that shape, with 1 where they are constant along an axis, got {show(sizes)}"
        )


def _product(A: Diagonal, B: Diagonal) -> Diagonal:
    return Diagonal(multiplied(A.diagonal, B.diagonal), A.in_shape)


def _sum(A: Diagonal, other: LinearOperator) -> Diagonal | None:
    """A + other where that is pointwise too, else None."""
    c = scalar(other)
    if c is not None:
        return Diagonal(added(number(A.diagonal), as_tensor(per_sample(c, len(A.in_shape)))), A.in_shape)
    if not isinstance(other, Diagonal):
        return None
    return Diagonal(added(number(A.diagonal), number(other.diagonal)), A.in_shape)


def number(values: Tensor) -> Tensor:
    """Bool masks as numbers: they are added up, where bool ones would be joined by "or"."""
    return values.double() if values.dtype == torch.bool else values


def _sizes(A: Diagonal) -> Shape:
    """The event axes of d, each of full size or 1."""
    return tuple(A.diagonal.shape[A.diagonal.ndim - len(A.in_shape) :])


def _values_in(A: Diagonal, transform: LinearOperator) -> Tensor | None:
    """d where it is constant along the axes that the transform acts on, and so commutes with it."""
    axes = (transform.operator if isinstance(transform, Adjoint) else transform)._separable_axes()
    return number(A.diagonal) if axes and all(_sizes(A)[axis] == 1 for axis in axes) else None


def _gram(A: Diagonal, weight: LinearOperator | None) -> LinearOperator | None:
    """AᴴWA for W that is pointwise, or knows it, else None."""
    d = A.diagonal
    square = Diagonal(d if d.dtype == torch.bool else d.abs() ** 2 if d.is_complex() else d**2, A.in_shape)
    if weight is None:
        return square
    return weight._weighted(d) if pointwise(weight, len(A.in_shape)) is None else compose(square, weight)


def _factors(A: Diagonal) -> tuple[LinearOperator, ...]:
    """The diagonal on the axes between the first and the last one along which it varies, identities on the others."""
    long = [axis for axis, n in enumerate(_sizes(A)) if n > 1]
    first, last = (long[0], long[-1]) if long else (0, 0)
    own = A.diagonal.reshape(A.batch_shape + _sizes(A)[first : last + 1])
    identities = [Identity((n,)) for n in A.in_shape]
    return (*identities[:first], Diagonal(own, A.in_shape[first : last + 1]), *identities[last + 1 :])


def pointwise(A: LinearOperator | None, event_ndim: int) -> Tensor | None:
    """d where A is x ↦ d ⊙ x, a Diagonal or c·I (I for None), with an axis for each of the event's; None for others."""
    if isinstance(A, Diagonal):
        return A.diagonal
    c = scalar(A)
    if c is None:
        return None
    c = double(as_tensor(c))
    return c.reshape(*c.shape, *(1,) * event_ndim)


def kept_outer(A: LinearOperator, weight: LinearOperator | None, axes: int) -> LinearOperator | None:
    """AWAᴴ of an A that keeps entries, each no more than once, among the last `axes` of its input, for a W that is c·I
    or diagonal; None for others."""
    c = scalar(weight)
    if c is not None:
        return scale(c, Identity(A.out_shape))
    if not isinstance(weight, Diagonal):
        return None
    d, first = weight.diagonal, len(A.in_shape) - axes
    return Diagonal(A._apply(d.expand(*d.shape[: d.ndim - axes], *A.in_shape[first:])), A.out_shape)
