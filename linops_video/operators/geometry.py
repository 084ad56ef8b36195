"""Operators that reorder entries: flips, rolls, transpositions of axes, frames laid out side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from einops import rearrange
from torch import Tensor

from linops_video.algebra.operator import Adjoint, Identity, LinearOperator, Scaled, Sum, add, scalar, scale
from linops_video.algebra.parameters import Shape, from_first, show
from linops_video.errors import ShapeError, SpecError
from linops_video.operators.circulant import Circulant, circulant
from linops_video.operators.cosine import Cosine
from linops_video.operators.dense import Dense
from linops_video.operators.diagonal import Diagonal
from linops_video.operators.fourier import Fourier
from linops_video.operators.kron import along_later_axes, axis_by_axis, kron, kron_gram, split_identities
from linops_video.operators.multiplier import Multiplier
from linops_video.operators.toeplitz import Toeplitz


@dataclass(frozen=True, eq=False, repr=False)
class Flip(LinearOperator):
    """Reverse the order of the entries along `axes`: its own adjoint and inverse.

    Args:
        axes: event axes, negative ones counted from the last one.
        in_shape: the event shape.

    Raises:
        SpecError: if an axis is repeated, or there is no such axis.

    Example:
        >>> import torch
        >>> Flip((0,), (3,))(torch.arange(3.0))
        tensor([2., 1., 0.])
    """

    axes: tuple[int, ...]
    in_shape: Shape

    def __post_init__(self) -> None:
        vars(self)["axes"] = from_first(self.axes, self.in_shape)

    @property
    def out_shape(self) -> Shape:
        return self.in_shape

    def _apply(self, x: Tensor) -> Tensor:
        return x.flip([axis - len(self.in_shape) for axis in self.axes])

    _apply_adjoint = _apply

    @property
    def H(self) -> LinearOperator:
        return self

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        moved = _permuted(self, weight) or _flipped_spectrum(self.axes, weight)
        return moved or kron_gram(self, weight) or super().gram(weight)

    outer = gram

    _factors, _embed = axis_by_axis, along_later_axes


@dataclass(frozen=True, eq=False, repr=False)
class Roll(LinearOperator):
    """Move the entries along `axes` by `shifts` places, those that leave at one end coming in at the other.

    A unitary operator: its adjoint, which rolls back, is its inverse.

    Args:
        shifts: one for each axis; negative ones move towards the first entry.
        axes: event axes, negative ones counted from the last one.
        in_shape: the event shape.

    Raises:
        SpecError: if an axis is repeated, there is no such axis, or the shifts are not as many as the axes.

    Example:
        >>> import torch
        >>> Roll((1,), (0,), (3,))(torch.arange(3.0))
        tensor([2., 0., 1.])
    """

    shifts: tuple[int, ...]
    axes: tuple[int, ...]
    in_shape: Shape

    def __post_init__(self) -> None:
        vars(self)["axes"] = from_first(self.axes, self.in_shape)
        if len(self.shifts) != len(self.axes):
            raise SpecError(f"Roll needs one shift an axis, got shifts {self.shifts} and axes {self.axes}")

    @property
    def out_shape(self) -> Shape:
        return self.in_shape

    def _apply(self, x: Tensor) -> Tensor:
        return x.roll(self.shifts, [axis - len(self.in_shape) for axis in self.axes])

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return self.H._apply(y)

    @property
    def H(self) -> LinearOperator:
        return Roll(tuple(-shift for shift in self.shifts), self.axes, self.in_shape)

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        moved = _permuted(self, weight) or _rolled_spectrum(self, weight)
        return moved or kron_gram(self, weight) or super().gram(weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return self.H.gram(weight)

    def _factors(self) -> tuple[LinearOperator, ...]:
        by_axis = dict(zip(self.axes, self.shifts, strict=True))
        return tuple(
            Roll((by_axis[i],), (0,), (n,)) if i in by_axis else Identity((n,)) for i, n in enumerate(self.in_shape)
        )

    _embed = along_later_axes


@dataclass(frozen=True, eq=False, repr=False)
class Transpose(LinearOperator):
    """Put the axes in another order: axis i of y is axis `axes[i]` of x.

    A unitary operator: its adjoint, which puts them back, is its inverse.

    Args:
        axes: all event axes in their new order, negative ones counted from the last one.
        in_shape: the event shape.

    Raises:
        SpecError: if the axes are not all there, each once.

    Example:
        >>> Transpose((1, 0, 3, 2), (8, 3, 64, 48)).out_shape
        (3, 8, 48, 64)
    """

    axes: tuple[int, ...]
    in_shape: Shape

    def __post_init__(self) -> None:
        vars(self)["axes"] = from_first(self.axes, self.in_shape)
        if len(self.axes) != len(self.in_shape):
            raise SpecError(f"Transpose needs all {len(self.in_shape)} axes, got {self.axes}")

    @property
    def out_shape(self) -> Shape:
        return tuple(self.in_shape[axis] for axis in self.axes)

    def _apply(self, x: Tensor) -> Tensor:
        batch = x.ndim - len(self.in_shape)
        return x.permute(*range(batch), *(batch + axis for axis in self.axes)).contiguous()

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return self.H._apply(y)

    @property
    def H(self) -> LinearOperator:
        return Transpose(tuple(self.axes.index(i) for i in range(len(self.axes))), self.out_shape)

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        moved = _permuted(self, weight) or _transposed_spectrum(self, weight) or _transposed_factors(self, weight)
        return moved or super().gram(weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return self.H.gram(weight)

    def _embed(self, before: Shape, behind: Shape) -> LinearOperator:
        first, last = len(before), len(before) + len(self.axes)
        axes = (*range(first), *(first + axis for axis in self.axes), *range(last, last + len(behind)))
        return Transpose(axes, (*before, *self.in_shape, *behind))


@dataclass(frozen=True, eq=False, repr=False)
class Mosaic(LinearOperator):
    """Lay the frames of a scan side by side, as one large frame: (T, C, H, W) → (1, C, rows·H, columns·W).

    A unitary operator: its adjoint, which cuts the large frame into those of the video, is its inverse.

    Args:
        grid: the rows of the large frame, as numbers of frames; each frame is in it once.
        in_shape: the event shape (T, C, H, W).

    Raises:
        ShapeError: if the event has not four axes.
        SpecError: if the grid has rows of unequal length, or not each of the T frames once.

    Example:
        >>> Mosaic(((0, 3), (1, 2)), (4, 3, 16, 16)).out_shape
        (1, 3, 32, 32)
    """

    grid: tuple[tuple[int, ...], ...]
    in_shape: Shape

    def __post_init__(self) -> None:
        if len(self.in_shape) != 4:
            raise ShapeError(f"Mosaic needs a video shape (T, C, H, W), got {show(self.in_shape)}")
        rows = self.grid if isinstance(self.grid, tuple) else ()
        rows = rows if all(isinstance(row, tuple) for row in rows) else ()
        frames = [i for row in rows for i in row]
        if len({len(row) for row in rows}) != 1 or sorted(frames) != list(range(self.in_shape[0])):
            raise SpecError(
                f"Mosaic needs rows of one length with each of the {self.in_shape[0]} frames once, got {self.grid}"
            )

    @property
    def out_shape(self) -> Shape:
        _, channels, height, width = self.in_shape
        return 1, channels, len(self.grid) * height, len(self.grid[0]) * width

    def _apply(self, x: Tensor) -> Tensor:
        order = torch.tensor(self.grid, device=x.device).flatten()
        return rearrange(x[..., order, :, :, :], "... (i j) c h w -> ... 1 c (i h) (j w)", i=len(self.grid))

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        sides = {"i": len(self.grid), "j": len(self.grid[0])}
        frames = rearrange(y, "... 1 c (i h) (j w) -> ... (i j) c h w", **sides)
        return frames[..., torch.tensor(self.grid, device=y.device).flatten().argsort(), :, :, :]

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        return _permuted(self, weight) or super().gram(weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return _permuted(self.H, weight) or super().outer(weight)


def _permuted(P: LinearOperator, weight: LinearOperator | None) -> LinearOperator | None:
    """PᴴWP of a permutation P of the entries for a W that is c·I, diagonal, dense, or a sum or multiple, else None."""
    c = scalar(weight)
    if c is not None:
        return scale(c, Identity(P.in_shape))
    if isinstance(weight, Scaled):
        return scale(weight.factor, P.gram(weight.operator))
    if isinstance(weight, Sum):
        return add(*(P.gram(term) for term in weight.terms))
    if isinstance(weight, Diagonal):
        d = weight.diagonal
        if isinstance(P, (Mosaic, Adjoint)):  # not axis by axis
            d = d.expand(*d.shape[: -len(P.out_shape)], *P.out_shape)
        return Diagonal(P._apply_adjoint(d), P.in_shape)
    if isinstance(weight, Dense):
        matrix = weight.matrix
        for _ in range(2):  # the columns, then the rows
            moved = P._apply_adjoint(matrix.reshape(*matrix.shape[:-1], *P.out_shape))
            matrix = moved.flatten(-len(P.in_shape)).mT
        return Dense(matrix, P.in_shape, P.in_shape)
    return None


def _flipped_spectrum(axes: tuple[int, ...], weight: LinearOperator | None) -> LinearOperator | None:
    """A convolution seen through a flip: with the flipped kernel, w[−k]; one with an even kernel is as it was."""
    dims = [axis - len(weight.in_shape) for axis in axes if axis >= len(weight.in_shape) - 2] if weight else []
    if isinstance(weight, (Circulant, Toeplitz)) and not dims:
        return weight
    if isinstance(weight, Circulant):
        return circulant(weight.impulse_response.flip(dims).roll([1] * len(dims), dims), weight.in_shape)
    if isinstance(weight, Toeplitz):
        kernel = torch.fft.irfft2(weight.transfer, s=weight.grid).flip(dims).roll([1] * len(dims), dims)
        return Toeplitz(torch.fft.rfft2(kernel).real, weight.in_shape, weight.grid)
    if not isinstance(weight, Multiplier) or not isinstance(weight.transform, (Cosine, Fourier)):
        return None
    n, fourier = len(weight.in_shape), isinstance(weight.transform, Fourier)
    inside = [axis - n for axis in axes if axis in weight.transform.axes]
    outside = [axis - n for axis in axes if axis not in weight.transform.axes]
    values = weight.values.flip(outside + inside if fourier else outside)
    return Multiplier(weight.transform, values.roll([1] * len(inside), inside) if fourier and inside else values)


def _rolled_spectrum(P: Roll, weight: LinearOperator | None) -> LinearOperator | None:
    """A periodic convolution is the same everywhere: rolled along, it is as it was."""
    if isinstance(weight, Circulant):
        return weight
    if not isinstance(weight, Multiplier) or not isinstance(weight.transform, (Cosine, Fourier)):
        return None
    inside = [axis for axis in P.axes if axis in weight.transform.axes]
    if inside and not isinstance(weight.transform, Fourier):
        return None
    kept = [(s, axis - len(P.in_shape)) for s, axis in zip(P.shifts, P.axes, strict=True) if axis not in inside]
    values = weight.values.roll([-s for s, _ in kept], [dim for _, dim in kept]) if kept else weight.values
    return Multiplier(weight.transform, values)


def _transposed_spectrum(P: Transpose, weight: LinearOperator | None) -> LinearOperator | None:
    """A convolution over some axes is one over the axes that these are in x."""
    n = len(P.in_shape)
    if isinstance(weight, (Circulant, Toeplitz)):
        if set(P.axes[-2:]) != {n - 2, n - 1}:
            return None
        if P.axes[-1] == n - 1:
            return replace(weight, in_shape=P.in_shape)
        if isinstance(weight, Circulant):
            return circulant(weight.impulse_response.mT, P.in_shape)
        kernel = torch.fft.irfft2(weight.transfer, s=weight.grid).mT
        return Toeplitz(torch.fft.rfft2(kernel).real, P.in_shape, (weight.grid[1], weight.grid[0]))
    if not isinstance(weight, Multiplier) or not isinstance(weight.transform, (Cosine, Fourier)):
        return None
    axes = tuple(P.axes[axis] for axis in weight.transform.axes)
    return Multiplier(type(weight.transform)(axes, P.in_shape), P._apply_adjoint(weight.values))


def _transposed_factors(P: Transpose, weight: LinearOperator | None) -> LinearOperator | None:
    """PᴴWP of a Kronecker product W whose groups of axes stay together."""
    factors = split_identities(weight._factors() or ()) if weight else ()
    if len(factors) < 2:
        return None
    placed, position = [], 0
    for f in factors:
        axes = P.axes[position : position + len(f.in_shape)]
        position += len(axes)
        if not axes:  # a factor on no axis
            return None
        first = min(axes)
        order = tuple(axis - first for axis in axes)
        if max(order) >= len(order):
            return None
        shape = P.in_shape[first : first + len(order)]
        placed.append((first, f if order == tuple(range(len(order))) else Transpose(order, shape).gram(f)))
    return kron(*(f for _, f in sorted(placed, key=lambda entry: entry[0])))
