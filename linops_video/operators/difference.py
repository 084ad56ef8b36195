"""Finite differences, and the gradient of a video in time and space."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from linops_video.algebra.operator import Identity, LinearOperator, scalar, scale
from linops_video.algebra.parameters import Shape, from_first, replaced, show
from linops_video.errors import ShapeError, SpecError
from linops_video.operators.circulant import Circulant, circulant
from linops_video.operators.cosine import Cosine
from linops_video.operators.dense import Dense
from linops_video.operators.kron import kron, separable_gram
from linops_video.operators.multiplier import Multiplier
from linops_video.operators.stack import Stack

Scheme = Literal["forward", "centred"]
Ends = Literal["free", "periodic"]


@dataclass(frozen=True, eq=False, repr=False)
class Difference(LinearOperator):
    """Finite differences along one axis: y[i] = x[i + 1] − x[i], or (x[i + 2] − x[i])/2 if centred.

    Args:
        axis: the event axis (0 is time for a video), a negative one counted from the last one.
        in_shape: the event shape.
        scheme: "forward" or "centred".
        ends: "free" (nothing is said of what lies outside: n − 1 or n − 2 differences of n entries) or "periodic" (the
            first entry follows the last one: n differences).

    Raises:
        SpecError, ShapeError: if scheme or ends are none of these, or the axis is too short for a difference.

    Example:
        >>> import torch
        >>> Difference(0, (3,))(torch.tensor([1.0, 4.0, 9.0]))
        tensor([3., 5.])
    """

    axis: int
    in_shape: Shape
    scheme: Scheme = "forward"
    ends: Ends = "free"

    def __post_init__(self) -> None:
        _check(self)

    @property
    def out_shape(self) -> Shape:
        lost = 0 if self.ends == "periodic" else _span(self)
        return replaced(self.in_shape, self.axis, self.in_shape[self.axis] - lost)

    def _apply(self, x: Tensor) -> Tensor:
        return _difference(x, self.axis - len(self.in_shape), _span(self), self.ends)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return _difference_adjoint(y, self.axis - len(self.in_shape), _span(self), self.ends)

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        return _structured_gram(self, weight) or separable_gram(self, weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return separable_gram(self.H, weight)

    def _factors(self) -> tuple[LinearOperator, ...]:
        line = _line(self)
        return tuple(line if i == self.axis else Identity((n,)) for i, n in enumerate(self.in_shape))


def _span(D: Difference) -> int:
    """How many places apart the entries of one difference are."""
    return 2 if D.scheme == "centred" else 1


def _check(D: Difference) -> None:
    if D.scheme not in get_args(Scheme) or D.ends not in get_args(Ends):
        raise SpecError(
            f"a Difference is {' or '.join(get_args(Scheme))}, with ends {' or '.join(get_args(Ends))}, "
            f"got {D.scheme!r} and {D.ends!r}"
        )
    (vars(D)["axis"],) = from_first((D.axis,), D.in_shape)
    if D.in_shape[D.axis] <= _span(D):
        raise ShapeError(
            f"{D.scheme} differences need an axis of {_span(D) + 1} entries or more, got axis {D.axis} of "
            f"{show(D.in_shape)}"
        )


def _difference(x: Tensor, dim: int, step: int, ends: str) -> Tensor:
    if ends == "periodic":
        y = x.roll(-1, dim) - (x if step == 1 else x.roll(1, dim))
    else:
        n = x.shape[dim] - step
        y = x.narrow(dim, step, n) - x.narrow(dim, 0, n)
    return y if step == 1 else y / 2


def _difference_adjoint(y: Tensor, dim: int, step: int, ends: str) -> Tensor:
    y = y if step == 1 else y / 2
    if ends == "periodic":
        return y.roll(1, dim) - (y if step == 1 else y.roll(-1, dim))
    n = y.shape[dim]
    x = y.new_zeros(replaced(y.shape, dim, n + step))
    x.narrow(dim, step, n).copy_(y)  # half the time of padding y and taking differences
    x.narrow(dim, 0, n).sub_(y)
    return x


def _line(D: Difference) -> Dense:
    """The matrix along the axis."""
    n, m = D.in_shape[D.axis], D.out_shape[D.axis]
    matrix = _difference(torch.eye(n, dtype=torch.float64), -2, _span(D), D.ends)
    return Dense(matrix, (n,), (m,))


def _structured_gram(D: Difference, weight: LinearOperator | None) -> LinearOperator | None:
    """DᴴWD where it is more than a product of matrices along axes: in the cosine transform, or circulant."""
    c, n = scalar(weight), D.in_shape[D.axis]
    if c is not None and (D.scheme, D.ends) == ("forward", "free"):
        eigenvalues = 2 - 2 * torch.cos(math.pi / n * torch.arange(n, dtype=torch.float64))
        line = Multiplier(Cosine((0,), (n,)), eigenvalues)
        return scale(c, kron(Identity(D.in_shape[: D.axis]), line, Identity(D.in_shape[D.axis + 1 :])))
    in_frame = 2 <= len(D.in_shape) <= D.axis + 2
    if D.ends == "periodic" and in_frame and (c is not None or isinstance(weight, Circulant)):
        frame = Difference(D.axis - len(D.in_shape) + 2, D.in_shape[-2:], D.scheme, D.ends)
        pixel = torch.zeros(frame.in_shape, dtype=torch.float64)
        pixel[0, 0] = 1
        return circulant(frame._apply(pixel), D.in_shape).gram(weight)
    return _line(D).gram(weight) if len(D.in_shape) == 1 else None


def gradient(in_shape: Shape, weights: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Stack:
    """The gradient of a video: forward differences in time, rows and columns, each times its weight, stacked.

    (∇ᴴ∇ + ρI)⁻¹, the solution of a screened Poisson equation with free (Neumann) ends, is pointwise in the DCT-II.

    Args:
        in_shape: (T, …, H, W), or (H, W) for a frame, which has no differences in time.
        weights: of the differences along T, H and W; an axis with the weight 0 is left out.

    Raises:
        SpecError: if all weights are 0.
        ShapeError: if there are no rows and columns, or an axis with a weight has one entry only.

    Example:
        >>> from linops_video import NormalSolver
        >>> NormalSolver.of(gradient((8, 3, 32, 32), (0.5, 1.0, 1.0))).method
        'exact: DCT, from the Gram'
    """
    n = len(in_shape)
    if n < 2:
        raise ShapeError(f"a gradient needs rows and columns, (…, H, W), got {show(in_shape)}: take a Difference")
    axes = list(zip(weights, (0, n - 2, n - 1), strict=True))
    parts = [w * Difference(axis, in_shape) for w, axis in (axes if n > 2 else axes[1:]) if w]
    if not parts:
        raise SpecError("a gradient needs a weight that is not 0")
    return Stack(tuple(parts))
