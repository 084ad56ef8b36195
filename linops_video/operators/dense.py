"""Operators given by a stored matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video.algebra.operator import Identity, LinearOperator, scalar, scale
from linops_video.algebra.parameters import (
    Shape,
    added,
    beside,
    common,
    double,
    from_first,
    multiplied,
    per_sample,
    replaced,
    scaled,
    show,
    tensor_field,
    together,
    widened,
)
from linops_video.errors import DtypeError, ShapeError
from linops_video.operators.blocks import ENTRIES_LIMIT, SIDE_LIMIT, Blocks, blocks_of, fits, matmul
from linops_video.operators.diagonal import Diagonal, number
from linops_video.operators.kron import kron_gram


@dataclass(frozen=True, eq=False, repr=False)
class Dense(LinearOperator):
    """x ↦ M vec(x), reshaped to `out_shape`.

    Args:
        matrix: M, shape (*batch, prod(out_shape), prod(in_shape)).
        in_shape, out_shape: event shapes; a ShapeError if M is not of these.

    Example:
        >>> import torch
        >>> Dense(torch.ones(2, 6), (2, 3), (2,))(torch.ones(2, 3))
        tensor([6., 6.])
    """

    matrix: Tensor = tensor_field(2)
    in_shape: Shape = ()
    out_shape: Shape = ()

    def __post_init__(self) -> None:
        _check_matrix(self)

    def _apply(self, x: Tensor) -> Tensor:
        flat = x.reshape(x.shape[: x.ndim - len(self.in_shape)] + (math.prod(self.in_shape),))
        out = _multiply(*common(self.matrix, flat))
        return out.reshape(out.shape[:-1] + self.out_shape)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return self.H._apply(y)

    @property
    def H(self) -> Dense:
        return Dense(self.matrix.mH, self.out_shape, self.in_shape)

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        return _gram(self, weight) or super().gram(weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return _gram(self.H, weight) or super().outer(weight)

    def _after(self, other: LinearOperator) -> LinearOperator | None:
        return _product(self, other) if isinstance(other, Dense) else None

    def _plus(self, other: LinearOperator) -> LinearOperator | None:
        return _sum(self, other)

    def _weighted(self, diagonal: Tensor) -> LinearOperator | None:
        return _between(self, diagonal)

    def _times(self, factor: float | Tensor) -> LinearOperator:
        return Dense(scaled(factor, self.matrix, 2), self.in_shape, self.out_shape)

    def _embed(self, before: Shape, behind: Shape) -> LinearOperator | None:
        if len(self.in_shape) == len(self.out_shape) == 1:
            return AxisMatrix(self.matrix, len(before), (*before, *self.in_shape, *behind))
        return None

    def _known_norm(self) -> Tensor:
        wide = double(self.matrix if self.matrix.shape[-2] <= self.matrix.shape[-1] else self.matrix.mH)
        return torch.linalg.eigvalsh(wide @ wide.mH)[..., -1].clamp(min=0).sqrt()


def _check_numbers(A: Dense | AxisMatrix) -> None:
    """Raise a DtypeError for a matrix of integers, whose products overflow, or of bool."""
    if not (A.matrix.is_floating_point() or A.matrix.is_complex()):
        got = f"{A.matrix.dtype}: use .float()"
        raise DtypeError(f"{type(A).__name__} needs a matrix of real or complex numbers, got {got}")


def _check_matrix(A: Dense) -> None:
    """Raise a ShapeError unless M has a row for each entry of the output, and a column for each one of the input."""
    _check_numbers(A)
    needed = (A.out_size, A.in_size)
    if tuple(A.matrix.shape[-2:]) != needed:
        raise ShapeError(
            f"a Dense from {show(A.in_shape)} to {show(A.out_shape)} needs a matrix of {show(needed)}, got "
            f"{show(A.matrix.shape)}: give its in_shape and out_shape"
        )


def _gram(A: Dense, weight: LinearOperator | None) -> LinearOperator | None:
    """MᴴWM: of low rank for a wide M and W = I, a matrix for a tall one, else None."""
    rows, columns = A.matrix.shape[-2:]
    if weight is None and 2 * rows <= columns:
        return DenseGram(A.matrix, A.in_shape)
    if weight is not None and rows < columns:
        return None
    return Dense(matmul(_columns(A.H, weight), A.matrix), A.in_shape, A.in_shape)


def _sum(A: Dense, other: LinearOperator) -> Dense | None:
    """A + other where that is a matrix, or pointwise and the sum small enough, else None."""
    if isinstance(other, Dense):
        return Dense(added(A.matrix, other.matrix), A.in_shape, A.out_shape)
    c, n = scalar(other), len(A.in_shape)
    d = other.diagonal if isinstance(other, Diagonal) else None
    d = d if c is None else per_sample(c, n) * A.matrix.new_ones((1,) * n)
    line = None if d is None else _line_of(number(d), A)
    return None if line is None else Dense(added(A.matrix, torch.diag_embed(line)), A.in_shape, A.out_shape)


def _between(A: Dense, diagonal: Tensor) -> Dense | None:
    """DᴴAD, where that is small enough."""
    d = _line_of(diagonal, A)
    if d is None:
        return None
    return Dense(multiplied(multiplied(d.conj().unsqueeze(-1), A.matrix), d.unsqueeze(-2)), A.in_shape, A.out_shape)


def _line_of(d: Tensor, A: Dense) -> Tensor | None:
    """The entries of a `Diagonal` as vectors; None where a matrix for each batch axis of theirs would be large."""
    batch = d.shape[: d.ndim - len(A.in_shape)]
    if math.prod(torch.broadcast_shapes(batch, A.batch_shape)) * A.in_size**2 > ENTRIES_LIMIT:
        return None
    return d.expand(*batch, *A.in_shape).reshape(*batch, A.in_size)


def _product(A: Dense, B: Dense) -> LinearOperator:
    """A B; for Bᴴ B its Gram, which may be of low rank."""
    if A.out_shape == B.in_shape and _one_tensor(A.matrix.mH, B.matrix):
        return B.gram()
    return Dense(matmul(A.matrix, B.matrix), B.in_shape, A.out_shape)


def _one_tensor(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are views of the same entries in the same order."""
    views = [(t.data_ptr(), t.shape, t.stride(), t.is_conj(), t.dtype, t.device) for t in (a, b)]
    return views[0] == views[1] and a.device.type != "meta"


def _multiply(matrix: Tensor, x: Tensor) -> Tensor:
    """M x for vectors along the last axis of x; batch axes that M lacks become columns, so that M is not copied."""
    if matrix.ndim == 2:
        return x @ matrix.mT
    batch = max(matrix.ndim - 2, x.ndim - 1)
    matrix = matrix.reshape((1,) * (batch + 2 - matrix.ndim) + matrix.shape)
    x = x.reshape((1,) * (batch + 1 - x.ndim) + x.shape)
    shared = [d for d in range(batch) if matrix.shape[d] > 1]
    free = [d for d in range(batch) if matrix.shape[d] == 1]
    columns = x.permute(*shared, batch, *free)
    product = matrix.squeeze(tuple(free)) @ columns.flatten(len(shared) + 1) if free else matrix @ columns.unsqueeze(-1)
    product = product.reshape(*product.shape[: len(shared) + 1], *(x.shape[d] for d in free))
    order = [*shared, batch, *free]
    return product.permute(*(order.index(d) for d in range(batch + 1)))


def _columns(A: Dense, weight: LinearOperator | None) -> Tensor:
    """M W as a matrix, for a self-adjoint W: each row of M is a tensor that W is applied to."""
    if weight is None:
        return A.matrix
    rows = beside(A.matrix, weight).conj().reshape(A.matrix.shape[:-1] + A.in_shape)
    weighted = weight._apply_within(rows, 1)
    return weighted.flatten(weighted.ndim - len(A.in_shape)).conj()


@dataclass(frozen=True, eq=False, repr=False)
class DenseGram(LinearOperator):
    """x ↦ Mᴴ M x for a wide matrix M: the Gram of a `Dense`, of low rank, never formed.

    Args:
        matrix: M, shape (*batch, m, prod(in_shape)) with m < prod(in_shape).
    """

    matrix: Tensor = tensor_field(2)
    in_shape: Shape = ()

    @property
    def out_shape(self) -> Shape:
        return self.in_shape

    @property
    def dense(self) -> Dense:
        """The same with MᴴM formed."""
        return Dense(matmul(self.matrix.mH, self.matrix), self.in_shape, self.in_shape)

    @property
    def root(self) -> Dense:
        """The Dense M whose Gram this is."""
        return Dense(self.matrix, self.in_shape, (self.matrix.shape[-2],))

    def _apply(self, x: Tensor) -> Tensor:
        return self.root._apply_adjoint(self.root._apply(x))

    _apply_adjoint = _apply

    @property
    def H(self) -> LinearOperator:
        return self

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        """(MᴴM)² = KᴴK with K = (MMᴴ)^½ M, of the same low rank."""
        if weight is not None:
            return super().gram(weight)
        M = double(self.matrix)
        values, U = torch.linalg.eigh(M @ M.mH)
        root = (U * values.clamp(min=0).sqrt().unsqueeze(-2)) @ U.mH
        return DenseGram((root @ M).to(self.matrix.dtype), self.in_shape)

    def _known_norm(self) -> Tensor:
        return self.root._known_norm() ** 2


def _check_axis(A: AxisMatrix) -> None:
    """Count the axis from the first one, and raise a ShapeError unless it is as long as M has columns."""
    _check_numbers(A)
    (vars(A)["axis"],) = from_first((A.axis,), A.in_shape)
    if A.matrix.ndim < 2 or A.matrix.shape[-1] != A.in_shape[A.axis]:
        raise ShapeError(
            f"a matrix along axis {A.axis} of {show(A.in_shape)} needs as many columns as that axis has entries, got "
            f"one of {show(A.matrix.shape)}"
        )


@dataclass(frozen=True, eq=False, repr=False)
class AxisMatrix(LinearOperator):
    """A matrix along one axis: y[…, i, …] = Σⱼ M[i, j] x[…, j, …] (luma, temporal blur, frame differences).

    Args:
        matrix: M, shape (*batch, m, n).
        axis: the event axis it acts on, a negative one counted from the last one.
        in_shape: the event shape, n long at `axis`, else a ShapeError.

    Example:
        >>> import torch
        >>> AxisMatrix(torch.full((1, 3), 1 / 3), 1, (2, 3, 4, 4)).out_shape
        (2, 1, 4, 4)
    """

    matrix: Tensor = tensor_field(2)
    axis: int = 0
    in_shape: Shape = ()

    __post_init__ = _check_axis

    @property
    def out_shape(self) -> Shape:
        return replaced(self.in_shape, self.axis, self.matrix.shape[-2])

    def _apply(self, x: Tensor) -> Tensor:
        return _along_axis(self, *common(self.matrix, x))

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return self.H._apply(y)

    @property
    def H(self) -> AxisMatrix:
        return AxisMatrix(self.matrix.mH, self.axis, self.out_shape)

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        return self.H.outer(weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return _axis_outer(self, weight) or super().outer(weight)

    def _plus(self, other: LinearOperator) -> LinearOperator | None:
        return _axis_sum(self, other)

    def _times(self, factor: float | Tensor) -> LinearOperator:
        return AxisMatrix(scaled(factor, self.matrix, 2), self.axis, self.in_shape)

    def _after(self, other: LinearOperator) -> LinearOperator | None:
        if isinstance(other, AxisMatrix) and other.axis == self.axis:
            return AxisMatrix(matmul(self.matrix, other.matrix), self.axis, other.in_shape)
        return None

    def _factors(self) -> tuple[LinearOperator, ...]:
        return replaced(tuple(Identity((n,)) for n in self.in_shape), self.axis, _line(self))

    def _embed(self, before: Shape, behind: Shape) -> LinearOperator:
        return AxisMatrix(self.matrix, len(before) + self.axis, (*before, *self.in_shape, *behind))

    def _known_norm(self) -> Tensor:
        return _line(self)._known_norm()


def _along_axis(A: AxisMatrix, matrix: Tensor, x: Tensor) -> Tensor:
    before, behind = A.in_shape[: A.axis], A.in_shape[A.axis + 1 :]
    batch = x.shape[: x.ndim - len(A.in_shape)]
    columns = x.reshape(*batch, math.prod(before), matrix.shape[-1], math.prod(behind))
    if not behind:  # one product of matrices, not one of a matrix and a vector for every place
        y = columns.squeeze(-1) @ matrix.mT
        return y.reshape(*y.shape[:-2], *A.out_shape)
    y = matrix.unsqueeze(-3) @ columns
    return y.reshape(*y.shape[:-3], *A.out_shape)


def _line(A: AxisMatrix) -> Dense:
    """The matrix on its axis alone."""
    m, n = A.matrix.shape[-2:]
    return Dense(A.matrix, (n,), (m,))


def _at_every_place(A: AxisMatrix) -> Tensor:
    """The matrix with an axis of size 1 for each of the other axes: the `matrices` of a `Blocks`."""
    return widened(A.matrix, len(A.in_shape) - 1)


def _axis_outer(A: AxisMatrix, weight: LinearOperator | None) -> LinearOperator | None:
    """MWMᴴ: on the axis for W = c·I and products, M B Mᴴ at every place for what mixes nothing but along the axis."""
    c = scalar(weight)
    if c is not None:
        product = A.matrix @ A.matrix.mH
        if product.shape[-2:] == (1, 1):
            return scale(c, scale(product[..., 0, 0].real, Identity(A.out_shape)))
        return scale(c, AxisMatrix(product, A.axis, A.out_shape))
    known = kron_gram(A.H, weight)
    if known is not None:
        return known
    return _outer_of_diagonal(A, weight) if isinstance(weight, Diagonal) else _outer_of_blocks(A, weight)


def _outer_of_blocks(A: AxisMatrix, weight: LinearOperator | None) -> LinearOperator | None:
    blocks, size = blocks_of(weight, A.axis), A.matrix.shape[-2]
    if blocks is None or not fits(blocks, size):
        return None
    matrix = _at_every_place(A)
    product = matmul(matrix, blocks, matrix.mH)
    if size == 1:
        return Diagonal(product[..., 0].real.movedim(-1, A.axis - len(A.in_shape)), A.out_shape)
    return Blocks(product, A.axis, A.out_shape)


def _outer_of_diagonal(A: AxisMatrix, weight: Diagonal) -> LinearOperator | None:
    """M diag(w) Mᴴ at every place of the other axes: Σⱼ M[i, j] conj(M[k, j]) wⱼ, a matrix of pairs (i, k) times w."""
    (m, n), dim = A.matrix.shape[-2:], A.axis - len(A.in_shape)
    matrix, w = together(A.matrix, weight.diagonal.expand(replaced(weight.diagonal.shape, dim, n)))
    if m > 1 and (m > SIDE_LIMIT or w.numel() // n * m * m > ENTRIES_LIMIT):
        return None
    pairs = (matrix.unsqueeze(-2) * matrix.conj().unsqueeze(-3)).flatten(-3, -2)
    dtype = torch.promote_types(pairs.dtype, w.dtype)
    product = AxisMatrix(pairs.to(dtype), A.axis, tuple(w.shape[w.ndim - len(A.in_shape) :]))._apply(w.to(dtype))
    if m == 1:
        return Diagonal(product.real, A.out_shape)
    return Blocks(product.movedim(dim, -1).unflatten(-1, (m, m)), A.axis, A.out_shape)


def _axis_sum(A: AxisMatrix, other: LinearOperator) -> LinearOperator | None:
    """A + other where the other one acts on the same axis, or at every place, or is c·I."""
    c = scalar(other)
    if c is not None:
        eye = torch.eye(A.matrix.shape[-1], dtype=A.matrix.dtype, device=A.matrix.device)
        return AxisMatrix(A.matrix + per_sample(c, 2) * eye, A.axis, A.in_shape)
    if isinstance(other, AxisMatrix):
        return AxisMatrix(added(A.matrix, other.matrix), A.axis, A.in_shape) if other.axis == A.axis else None
    blocks = blocks_of(other, A.axis) if A.in_shape == A.out_shape else None
    return None if blocks is None else Blocks(added(_at_every_place(A), blocks), A.axis, A.in_shape)
