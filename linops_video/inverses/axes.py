"""What an operator does along every axis of an event, however it is put together."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from linops_video.algebra.operator import Adjoint, Compose, Identity, LinearOperator, Scaled, Sum
from linops_video.operators.blocks import Blocks
from linops_video.operators.circulant import Circulant
from linops_video.operators.dense import Dense, DenseGram
from linops_video.operators.diagonal import Diagonal
from linops_video.operators.fourier import Fourier
from linops_video.operators.imaging import Bayer
from linops_video.operators.multiplier import Multiplier

LINE_LIMIT = 4096
"""Longest axis along which a matrix is looked at for a step."""


class Along(NamedTuple):
    """What A does along an axis of n entries, of which A x has m.

    Attributes:
        mixes: whether entries of A x depend on several ones of x along the axis.
        step: a shift of x by so many entries, round the end, is one of A x by m/n times as many. It divides n, and is n
            where no smaller one is known.
    """

    mixes: bool
    step: int


ALIKE = Along(False, 1)
"""Along an axis whose entries are treated alike, each alone."""

Axes = list[Along]


def along(A: LinearOperator) -> Axes | None:
    """What A does along each event axis; None where that is not known, or A renames axes.

    Example:
        >>> from linops_video import BoxMean, Difference
        >>> [tuple(axis) for axis in along(BoxMean(2, (3, 8, 6)) @ Difference(0, (4, 8, 6)))]
        [(True, 4), (True, 2), (True, 2)]
    """
    n = len(A.in_shape)
    if len(A.out_shape) != n:
        return None
    if isinstance(A, Identity):
        return [ALIKE] * n
    if isinstance(A, Scaled):
        return along(A.operator)
    if isinstance(A, Adjoint):
        inner = along(A.operator)
        return inner and [
            Along(a.mixes, a.step * k // m) for a, k, m in zip(inner, A.in_shape, A.out_shape, strict=True)
        ]
    if isinstance(A, Sum):
        parts = [along(term) for term in A.terms]
        known = [part for part in parts if part is not None]
        return [_both(*axes) for axes in zip(*known, strict=True)] if len(known) == len(parts) else None
    if isinstance(A, Compose):
        first, second = along(A.right), along(A.left)
        if first is None or second is None:
            return None
        return [_in_turn(*axis) for axis in zip(first, second, A.in_shape, A.left.in_shape, strict=True)]
    if isinstance(A, Diagonal):
        return _alone(A.diagonal, n)
    if isinstance(A, Blocks):
        axes = _alone(A.matrices.flatten(-2).movedim(-1, A.axis - n), n)
        axes[A.axis] = Along(True, A.in_shape[A.axis])
        return axes
    if isinstance(A, Multiplier) and (own := A.transform._separable_axes()):
        axes = _alone(A.values, n)
        for axis in (axis for axis in own if A.values.shape[axis - n] > 1):  # UᴴU = I along the others
            axes[axis] = Along(True, 1 if isinstance(A.transform, Fourier) else A.in_shape[axis])
        return axes
    if isinstance(A, Circulant):
        return [*[ALIKE] * (n - 2), Along(True, 1), Along(True, 1)]
    if isinstance(A, Bayer):
        frame = [Along(False, size if size % 2 else 2) for size in A.in_shape[-2:]]
        return [*[ALIKE] * (n - 3), Along(True, 3), *frame]
    if n == 1:  # others are not looked into: they may compute in less precision than a matrix is wanted in
        return _line(A) if A._factors() else None
    return _by_factors(A)


def _line(A: LinearOperator) -> Axes | None:
    return [Along(True, _step_of_line(A))] if len(A.in_shape) == len(A.out_shape) == 1 else None


def _by_factors(A: LinearOperator) -> Axes | None:
    """That of each factor of a Kronecker product, or of an operator in its other form."""
    factors = A._factors() or ()
    if len(factors) < 2 and not (factors and type(factors[0]) is not type(A)):
        return None
    parts = [along(factor) or _line(factor) for factor in factors]
    return None if None in parts else [axis for part in parts for axis in part or ()]


def _both(*axes: Along) -> Along:
    """What a sum does along an axis."""
    return Along(any(axis.mixes for axis in axes), math.lcm(*(axis.step for axis in axes)))


def _in_turn(first: Along, second: Along, n: int, between: int) -> Along:
    """What a composition does along an axis of n entries, of which the operator that acts first leaves some."""
    shift = math.lcm(first.step * between // n, second.step)
    return Along(first.mixes or second.mixes, shift * n // between)


def _alone(values: Tensor, ndim: int) -> Axes:
    """What a factor for every entry does, with the last axes of an event, 1 where it is constant."""

    def repeats(dim: int, step: int) -> bool:
        rest = values.shape[dim] - step
        return torch.equal(values.narrow(dim, 0, rest), values.narrow(dim, step, rest))

    hidden = is_functorch_wrapped_tensor(values)
    sizes = [(dim, values.shape[dim]) for dim in range(-ndim, 0)]
    return [Along(False, n if hidden else _least(n, lambda step, dim=dim: repeats(dim, step))) for dim, n in sizes]


def _step_of_line(A: LinearOperator) -> int:
    """The step of what acts on one axis, by its matrix, up to rounding."""
    m, n = A.out_size, A.in_size
    if max(m, n) > LINE_LIMIT or any(map(is_functorch_wrapped_tensor, A.tensors())):
        return n
    matrix = A.matrix if isinstance(A, Dense | DenseGram) else A.to_dense()  # that of MᴴM is one of M
    m, rounding = matrix.shape[-2], 1e-15 * matrix.abs().max()

    def repeats(step: int) -> bool:
        down = step * m // n
        if step * m % n or bool(((matrix[..., 0].roll(down, -1) - matrix[..., step]).abs() > rounding).any()):
            return False  # seen in one column, without all the others
        return bool(((matrix.roll((down, step), (-2, -1)) - matrix).abs() <= rounding).all())

    return _least(n, repeats)


def _least(n: int, repeats: Callable[[int], bool]) -> int:
    """The smallest divisor of n that is a step, as n is."""
    return next(step for step in range(1, n + 1) if step == n or (n % step == 0 and repeats(step)))
