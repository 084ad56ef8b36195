"""Small matrices, one for every place: what a matrix along one axis makes of a mask."""

from __future__ import annotations

import math
from dataclasses import Field, dataclass
from functools import reduce

import torch
from torch import Tensor

from linops_video.algebra.operator import LinearOperator, scalar
from linops_video.algebra.parameters import Shape, added, common, double, scaled, tensor_field, together
from linops_video.operators.diagonal import Diagonal

SIDE_LIMIT, ENTRIES_LIMIT = 64, 2**26
"""Largest side of a block, and most entries of all blocks together: 512 MB in float64."""


@dataclass(frozen=True, eq=False, repr=False)
class Blocks(LinearOperator):
    """One small square matrix along `axis` for every place on the other axes: y[…, i, …] = Σⱼ B[…, i, j] x[…, j, …].

    Args:
        matrices: B, shape (*batch, *others, n, n); `others` are the event axes without `axis`, of full size or 1.
        axis: the event axis, n long, counted from the first one.
        in_shape: the event shape.
    """

    matrices: Tensor = tensor_field(None)
    axis: int = 0
    in_shape: Shape = ()

    @property
    def out_shape(self) -> Shape:
        return self.in_shape

    def _event_ndim(self, f: Field) -> int:
        return len(self.in_shape) + 1

    def _apply(self, x: Tensor) -> Tensor:
        dim = self.axis - len(self.in_shape)
        matrices, x = common(self.matrices, x)
        return (matrices @ x.movedim(dim, -1).unsqueeze(-1)).squeeze(-1).movedim(-1, dim)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return self.H._apply(y)

    @property
    def H(self) -> Blocks:
        return Blocks(self.matrices.mH, self.axis, self.in_shape)

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        inner = _inner(self, weight)
        product = None if inner is None else matmul(self.matrices.mH, inner, self.matrices)
        return super().gram(weight) if product is None else Blocks(product, self.axis, self.in_shape)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return self.H.gram(weight)

    def _after(self, other: LinearOperator) -> LinearOperator | None:
        inner = _inner(self, other)
        return None if inner is None else Blocks(matmul(self.matrices, inner), self.axis, self.in_shape)

    def _before(self, other: LinearOperator) -> LinearOperator | None:
        inner = _inner(self, other)
        return None if inner is None else Blocks(matmul(inner, self.matrices), self.axis, self.in_shape)

    def _plus(self, other: LinearOperator) -> LinearOperator | None:
        inner = _inner(self, other)
        return None if inner is None else Blocks(added(self.matrices, inner), self.axis, self.in_shape)

    def _times(self, factor: float | Tensor) -> LinearOperator:
        return Blocks(scaled(factor, self.matrices, len(self.in_shape) + 1), self.axis, self.in_shape)

    def _known_norm(self) -> Tensor:
        norms = torch.linalg.matrix_norm(double(self.matrices), 2)
        return norms.flatten(norms.ndim - len(self.in_shape) + 1).amax(-1) if len(self.in_shape) > 1 else norms


def _inner(A: Blocks, other: LinearOperator | None) -> Tensor | None:
    """The matrices along A's axis of an operator that mixes nothing else; None where there are none."""
    c = scalar(other)
    if c is None:
        return blocks_of(other, A.axis)
    eye = torch.eye(A.in_shape[A.axis], dtype=A.matrices.dtype, device=A.matrices.device)
    return scaled(c, eye, len(A.in_shape) + 1)


def blocks_of(A: LinearOperator | None, axis: int) -> Tensor | None:
    """The matrices along `axis` of a `Blocks` or a `Diagonal`, shape (*batch, *others, n, n), else None."""
    if isinstance(A, Blocks) and A.axis == axis:
        return A.matrices
    if not isinstance(A, Diagonal) or not fits(A.diagonal, A.in_shape[axis]):
        return None
    line = A.diagonal.movedim(axis - len(A.in_shape), -1)
    return torch.diag_embed(line.expand(*line.shape[:-1], A.in_shape[axis]))


def fits(others: Tensor, size: int) -> bool:
    """Whether matrices of this size, one for each entry of `others`, are small enough to be stored."""
    return size <= SIDE_LIMIT and math.prod(others.shape) * size <= ENTRIES_LIMIT


def matmul(*matrices: Tensor) -> Tensor:
    """The product of stored matrices, in the best of their precisions."""
    dtype = reduce(torch.promote_types, (m.dtype for m in matrices))
    return reduce(torch.matmul, (m.to(dtype) for m in together(*matrices)))
