"""Operators that keep entries along axes: frame selection, decimation, cropping; their adjoints fill in zeros."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video.algebra.operator import Identity, LinearOperator, compose, scalar, scale
from linops_video.algebra.parameters import Shape, from_first, replaced, show, whole_number, whole_numbers
from linops_video.algebra.slabs import part_of
from linops_video.errors import ShapeError, SpecError
from linops_video.operators.circulant import Circulant, decimated
from linops_video.operators.dense import AxisMatrix, Dense
from linops_video.operators.diagonal import Diagonal, pointwise
from linops_video.operators.kron import kron_gram


@dataclass(frozen=True, eq=False, repr=False)
class Select(LinearOperator):
    """Keep the entries `indices` along one axis: y[…, i, …] = x[…, indices[i], …] (kept frames, decimation).

    Args:
        indices: positions along the axis, each at most once.
        axis: the event axis, a negative one counted from the last one.
        in_shape: the event shape.

    Raises:
        SpecError: if an index is out of range or repeated, or there is no such axis.

    Example:
        >>> import torch
        >>> Select((0, 2), 0, (4,))(torch.arange(4.0))
        tensor([0., 2.])
    """

    indices: tuple[int, ...]
    axis: int
    in_shape: Shape

    def __post_init__(self) -> None:
        (vars(self)["axis"],) = from_first((self.axis,), self.in_shape)
        n = self.in_shape[self.axis]
        distinct = len(set(self.indices)) == len(self.indices) > 0
        if not distinct or not all(0 <= i < n for i in self.indices):
            raise SpecError(f"Select needs distinct indices in 0 … {n - 1}, got {self.indices}")

    @property
    def out_shape(self) -> Shape:
        return replaced(self.in_shape, self.axis, len(self.indices))

    def _apply(self, x: Tensor) -> Tensor:
        return _keep(self.indices, x, self.axis - len(self.in_shape))

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return _put(self.indices, y, self.axis - len(self.in_shape), self.in_shape[self.axis])

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        return _gram(self, weight) or kron_gram(self, weight) or super().gram(weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return _outer(self, weight) or kron_gram(self.H, weight) or super().outer(weight)

    def _factors(self) -> tuple[LinearOperator, ...]:
        line = Select(self.indices, 0, (self.in_shape[self.axis],))
        return tuple(line if i == self.axis else Identity((n,)) for i, n in enumerate(self.in_shape))

    def _embed(self, before: Shape, behind: Shape) -> LinearOperator:
        return Select(self.indices, self.axis + len(before), (*before, *self.in_shape, *behind))

    def _known_norm(self) -> Tensor:
        return torch.ones((), dtype=torch.float64)


def _keep(indices: tuple[int, ...], x: Tensor, dim: int) -> Tensor:
    """The entries `indices` of x along a negative `dim`, copied."""
    entries = evenly_spaced(indices)
    if entries is None:
        return x.index_select(dim, torch.tensor(indices, device=x.device))
    return part_of(x, entries, dim).clone(memory_format=torch.contiguous_format)


def _put(indices: tuple[int, ...], y: Tensor, dim: int, n: int) -> Tensor:
    """y at the entries `indices` along a negative `dim` of n entries, zero elsewhere."""
    x = y.new_zeros(replaced(y.shape, dim, n))
    entries = evenly_spaced(indices)
    if entries is None:
        return x.index_copy(dim, torch.tensor(indices, device=y.device), y)
    part_of(x, entries, dim).copy_(y)
    return x


def evenly_spaced(indices: tuple[int, ...]) -> slice | None:
    """The indices as a slice, if they are evenly spaced: a strided view is twice as fast as a gather."""
    first, last = min(indices), max(indices)
    step = indices[1] - first if len(indices) > 1 else 1
    if step <= 0 or indices != tuple(range(first, last + 1, step)):
        return None
    return slice(first, last + 1, step)


def _gram(A: Select, weight: LinearOperator | None) -> Diagonal | None:
    """SᵀWS of a W that is diagonal or c·I: W's entries in their places, zeros between them; None for other weights."""
    dim, kept, w = A.axis - len(A.in_shape), len(A.indices), pointwise(weight, len(A.in_shape))
    if w is None:
        return None
    return Diagonal(_put(A.indices, w.expand(replaced(w.shape, dim, kept)), dim, A.in_shape[A.axis]), A.in_shape)


def _outer(A: Select, weight: LinearOperator | None) -> LinearOperator | None:
    """SWSᵀ: what is kept of a diagonal or a matrix, a circulant with its aliases folded; None for other weights."""
    c, dim, kept = scalar(weight), A.axis - len(A.in_shape), list(A.indices)
    if c is not None:
        return scale(c, Identity(A.out_shape))
    if isinstance(weight, Diagonal):
        d = weight.diagonal
        return Diagonal(d if d.shape[dim] == 1 else _keep(A.indices, d, dim), A.out_shape)
    if isinstance(weight, Dense) and len(A.in_shape) == 1:
        return Dense(weight.matrix[..., kept, :][..., kept], A.out_shape, A.out_shape)
    if isinstance(weight, AxisMatrix) and weight.axis == A.axis:
        return AxisMatrix(weight.matrix[..., kept, :][..., kept], A.axis, A.out_shape)
    if isinstance(weight, Circulant) and A.axis >= len(A.in_shape) - 2:
        n, step = A.in_shape[A.axis], A.in_shape[A.axis] // len(kept)
        every = step * len(kept) == n and kept == list(range(kept[0], n, step))
        return decimated(weight, A.axis, step) if every else None
    return None


@dataclass(frozen=True, eq=False, repr=False)
class Slice(LinearOperator):
    """Keep evenly spaced entries along every axis, y = x[slices]: crops and decimation, in one strided copy.

    AAᵀ = I. The adjoint puts entries in their places and zeros around them: `crop(…).H` is zero padding.

    Args:
        slices: one `slice` an event axis, with a positive step, as numpy reads it.
        in_shape: the event shape.

    Raises:
        SpecError: if nothing is kept, a step is not positive, or there is not one slice an axis.

    Example:
        >>> import torch
        >>> Slice((slice(1, None, 2),), (5,))(torch.arange(5.0))
        tensor([1., 3.])
    """

    slices: tuple[slice, ...]
    in_shape: Shape

    def __post_init__(self) -> None:
        given = self.slices if isinstance(self.slices, tuple) else ()
        fine = all(isinstance(s, slice) and (s.step is None or s.step > 0) for s in given)
        if not fine or len(given) != len(self.in_shape):
            raise SpecError(f"Slice needs {len(self.in_shape)} slices of positive steps, got {self.slices}")
        if 0 in self.out_shape:
            raise SpecError(f"Slice keeps nothing of {show(self.in_shape)} with {self.slices}")

    @property
    def out_shape(self) -> Shape:
        return tuple(len(range(n)[s]) for s, n in zip(self.slices, self.in_shape, strict=True))

    def _apply(self, x: Tensor) -> Tensor:
        return x[(..., *self.slices)].clone(memory_format=torch.contiguous_format)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        x = y.new_zeros(y.shape[: y.ndim - len(self.in_shape)] + self.in_shape)
        x[(..., *self.slices)] = y
        return x

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        return _selects(self).gram(weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return _selects(self).outer(weight)

    def _factors(self) -> tuple[LinearOperator, ...]:
        axes = zip(self.slices, self.in_shape, strict=True)
        return tuple(Identity((n,)) if range(n)[s] == range(n) else Slice((s,), (n,)) for s, n in axes)

    def _embed(self, before: Shape, behind: Shape) -> LinearOperator:
        whole = slice(None)
        slices = (*(whole,) * len(before), *self.slices, *(whole,) * len(behind))
        return Slice(slices, (*before, *self.in_shape, *behind))

    def _known_norm(self) -> Tensor:
        return torch.ones((), dtype=torch.float64)


def _selects(A: Slice) -> LinearOperator:
    """A as a composition, with one `Select` for every axis that loses entries."""
    selects: LinearOperator = Identity(A.in_shape)
    for axis, (kept, n) in enumerate(zip(A.slices, A.in_shape, strict=True)):
        indices = tuple(range(n)[kept])
        if len(indices) < n:
            selects = compose(Select(indices, axis, selects.out_shape), selects)
    return selects


def decimate(factor: int, in_shape: Shape, offset: int = 0) -> Slice:
    """Keep every k-th row and column, from `offset` on: y[…, i, j] = x[…, o + i k, o + j k], k = `factor`.

    Raises `SpecError` unless the factor is a whole number of 1 or more and 0 ≤ offset < factor.

    Example:
        >>> decimate(2, (8, 3, 64, 65)).out_shape
        (8, 3, 32, 33)
    """
    factor, offset = whole_number("decimate", "factor", factor), whole_number("decimate", "offset", offset)
    (in_shape,) = whole_numbers("decimate", in_shape=in_shape)
    if factor < 1:
        raise SpecError(f"decimate needs a factor of 1 or more, got {factor}")
    if not 0 <= offset < factor:
        raise SpecError(f"decimate needs an offset in 0 … {factor - 1}, got {offset}")
    whole = (slice(None),) * (len(in_shape) - 2)
    return Slice((*whole, *(slice(offset, None, factor),) * 2), in_shape)


def crop(corner: tuple[int, ...], size: tuple[int, ...], in_shape: Shape) -> Slice:
    """The part of the last axes that starts at `corner` and is `size` large (rows and columns, or frames too …).

    Its adjoint pads with zeros.

    Raises `ShapeError` if that part is not inside.

    Example:
        >>> crop((8, 0), (16, 32), (4, 3, 64, 64)).out_shape
        (4, 3, 16, 32)
    """
    corner, size, in_shape = whole_numbers("crop", corner=corner, size=size, in_shape=in_shape)
    last = in_shape[len(in_shape) - len(corner) :]
    inside = len(corner) == len(size) <= len(in_shape) and all(
        0 <= start < start + length <= n for start, length, n in zip(corner, size, last, strict=True)
    )
    if not inside:
        raise ShapeError(f"a crop of {show(size)} at {corner} does not lie inside {show(in_shape)}")
    whole = (slice(None),) * (len(in_shape) - len(corner))
    return Slice((*whole, *(slice(a, a + n) for a, n in zip(corner, size, strict=True))), in_shape)


def zero_pad(before: tuple[int, ...], behind: tuple[int, ...], in_shape: Shape) -> LinearOperator:
    """Zeros before and behind the entries of the last axes: the adjoint of a `crop`.

    Raises `ShapeError` unless as many widths are given before as behind, none negative, for axes that there are.

    Example:
        >>> zero_pad((1, 2), (1, 2), (3, 8, 8)).out_shape
        (3, 10, 12)
    """
    before, behind, in_shape = whole_numbers("zero_pad", before=before, behind=behind, in_shape=in_shape)
    if not len(before) == len(behind) <= len(in_shape) or min((*before, *behind), default=0) < 0:
        raise ShapeError(
            f"zero_pad needs as many widths before as behind, none negative, for no more axes than {show(in_shape)} "
            f"has, got {before} and {behind}"
        )
    rest, last = in_shape[: len(in_shape) - len(before)], in_shape[len(in_shape) - len(before) :]
    grown = (*rest, *(a + n + b for a, n, b in zip(before, last, behind, strict=True)))
    return crop(before, last, grown).H
