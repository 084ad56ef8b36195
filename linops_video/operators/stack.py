"""Operators side by side: several measurements of one video, and several videos at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from linops_video.algebra.operator import Identity, LinearOperator, add, compose, scalar, scale
from linops_video.algebra.parameters import Shape
from linops_video.algebra.shapes import broadcast
from linops_video.algebra.text import call_on, text_of
from linops_video.errors import ShapeError
from linops_video.operators.blocks import ENTRIES_LIMIT
from linops_video.operators.dense import Dense
from linops_video.operators.diagonal import Diagonal, number

Operators = tuple[LinearOperator, ...]
Join = Callable[[LinearOperator, LinearOperator], LinearOperator]

ROWS_LIMIT = 4096
"""Most rows of a stack whose AAᴴ is made a matrix: as many as an eigendecomposition takes a minute for."""


@dataclass(frozen=True, eq=False, repr=False)
class Stack(LinearOperator):
    """x ↦ [A₁ x; A₂ x; …]: several measurements of one video; the outputs are flattened and joined.

    Raises:
        ShapeError: if the operators do not take the same input, or there is none.

    Example:
        >>> import torch
        >>> from linops_video import Identity, Select
        >>> A = Stack((Select((0,), 0, (3,)), 2.0 * Identity((3,))))
        >>> A.split(A(torch.ones(3)))
        (tensor([1.]), tensor([2., 2., 2.]))
    """

    operators: Operators

    def __post_init__(self) -> None:
        if not self.operators:
            raise ShapeError("Stack needs at least one operator, got none")
        for A in self.operators:
            if A.in_shape != self.operators[0].in_shape:
                raise ShapeError(f"Stack needs operators on one input shape, got {self.operators[0]!r} and {A!r}")
            _ = A.in_size, A.out_size  # a `batch` of several shapes has none, and raises
        _ = self.batch_shape  # raises where those of the parts do not fit
        vars(self)["_text"] = call_on("stack", map(text_of, self.operators))

    @property
    def in_shape(self) -> Shape:
        return self.operators[0].in_shape

    @property
    def out_shape(self) -> Shape:
        return (sum(A.out_size for A in self.operators),)

    def split(self, y: Tensor) -> tuple[Tensor, ...]:
        """The parts of a stacked measurement, each in the `out_shape` of its operator."""
        return split_parts(y, [A.out_shape for A in self.operators])

    def _apply(self, x: Tensor) -> Tensor:
        return join_parts([(A._apply(x), A.out_shape) for A in self.operators])

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        parts = zip(self.operators, self.split(y), strict=True)
        return reduce(torch.add, (A._apply_adjoint(part) for A, part in parts))

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        weights = _parts(weight, "in_shape", [A.out_shape for A in self.operators])
        if weights is None:
            return super().gram(weight)
        return add(*(A.gram(w) for A, w in zip(self.operators, weights, strict=True)))

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        matrix = _small_matrix(self)
        return super().outer(weight) if matrix is None else matrix.outer(weight)

    def _before(self, other: LinearOperator) -> LinearOperator | None:
        parts = _parts(other, "in_shape", [A.out_shape for A in self.operators])
        return None if parts is None else Stack(tuple(map(compose, parts, self.operators)))


@dataclass(frozen=True, eq=False, repr=False)
class BlockDiagonal(LinearOperator):
    """[x₁; x₂; …] ↦ [A₁ x₁; A₂ x₂; …], inputs and outputs flattened and joined.

    Raises:
        ShapeError: if there is no operator.

    Example:
        >>> import torch
        >>> from linops_video import Identity
        >>> BlockDiagonal((Identity((2,)), 3.0 * Identity((1,))))(torch.ones(3))
        tensor([1., 1., 3.])
    """

    operators: Operators

    def __post_init__(self) -> None:
        if not self.operators:
            raise ShapeError("BlockDiagonal needs at least one operator, got none")
        _ = self.batch_shape, self.in_shape, self.out_shape  # each raises where the parts have none

    @property
    def in_shape(self) -> Shape:
        return (sum(A.in_size for A in self.operators),)

    @property
    def out_shape(self) -> Shape:
        return (sum(A.out_size for A in self.operators),)

    def _apply(self, x: Tensor) -> Tensor:
        parts = zip(self.operators, split_parts(x, [A.in_shape for A in self.operators]), strict=True)
        return join_parts([(A._apply(part), A.out_shape) for A, part in parts])

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return self.H._apply(y)

    @property
    def H(self) -> LinearOperator:
        return BlockDiagonal(tuple(A.H for A in self.operators))

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        square = _by_blocks(lambda A, W: A.gram(W), self, "out_shape", weight, "in_shape")
        return square or super().gram(weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return self.H.gram(weight)

    def _after(self, other: LinearOperator) -> LinearOperator | None:
        return _by_blocks(compose, self, "in_shape", other, "out_shape")

    def _before(self, other: LinearOperator) -> LinearOperator | None:
        return _by_blocks(lambda A, B: compose(B, A), self, "out_shape", other, "in_shape")

    def _plus(self, other: LinearOperator) -> LinearOperator | None:
        return _sum(self, other)

    def _times(self, factor: float | Tensor) -> LinearOperator:
        return BlockDiagonal(tuple(scale(factor, A) for A in self.operators))

    def _known_norm(self) -> Tensor:
        return torch.stack(torch.broadcast_tensors(*(A.norm() for A in self.operators))).amax(0)


def _by_blocks(
    join: Join, A: BlockDiagonal, side: str, other: LinearOperator | None, other_side: str
) -> LinearOperator | None:
    """Each block of A joined with what `other` does to the same part; None where the parts are not the same."""
    parts = _parts(other, other_side, [getattr(block, side) for block in A.operators])
    return None if parts is None else BlockDiagonal(tuple(map(join, A.operators, parts)))


def _sum(A: BlockDiagonal, other: LinearOperator) -> LinearOperator | None:
    parts = _parts(other, "in_shape", [block.in_shape for block in A.operators])
    if parts is None or [part.out_shape for part in parts] != [block.out_shape for block in A.operators]:
        return None
    return BlockDiagonal(tuple(map(add, A.operators, parts)))


def _small_matrix(A: Stack) -> Dense | None:
    """A as one matrix, where a part is a matrix already and the whole is small; a matrix and a structure beside it
    have no structure together."""
    small = A.out_size <= ROWS_LIMIT and A.out_size * A.in_size <= ENTRIES_LIMIT
    if not small or not any(isinstance(part, Dense) for part in A.operators):
        return None
    return Dense(A.H.to_dense().mH, A.in_shape, A.out_shape)


def split_parts(y: Tensor, shapes: list[Shape]) -> tuple[Tensor, ...]:
    """The parts of a joined tensor (*batch, n), each in its shape."""
    parts = y.split([math.prod(shape) for shape in shapes], dim=-1)
    return tuple(part.reshape(*part.shape[:-1], *shape) for part, shape in zip(parts, shapes, strict=True))


def join_parts(parts: list[tuple[Tensor, Shape]]) -> Tensor:
    """Tensors with their event shapes, flattened and joined."""
    flat = [part.reshape(*part.shape[: part.ndim - len(shape)], math.prod(shape)) for part, shape in parts]
    batch = broadcast(*(part.shape[:-1] for part in flat))
    return torch.cat([part.expand(*batch, part.shape[-1]) for part in flat], dim=-1)


def _parts(A: LinearOperator | None, side: str, shapes: list[Shape]) -> list[LinearOperator] | None:
    """What A (I for None) does to each part of a joined vector, where it leaves the parts apart, and these are the
    shapes of its `side`; else None."""
    c = scalar(A)
    if isinstance(A, Diagonal) and A.diagonal.shape[-1] == 1:
        c = number(A.diagonal).squeeze(-1)
    if c is not None:
        return [scale(c, Identity(shape)) for shape in shapes]
    if isinstance(A, Diagonal):
        return [Diagonal(part, shape) for part, shape in zip(split_parts(A.diagonal, shapes), shapes, strict=True)]
    if isinstance(A, BlockDiagonal) and [getattr(part, side) for part in A.operators] == shapes:
        return list(A.operators)
    return None
