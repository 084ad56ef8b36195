"""Operators that keep, or reorder, entries along axes: frame selection, decimation, flips."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video.dense import AxisMatrix, Dense
from linops_video.diagonal import Diagonal
from linops_video.errors import SpecError
from linops_video.kron import kron_gram, kron_outer
from linops_video.operator import Identity, LinearOperator, scalar, scale
from linops_video.parameters import Shape


@dataclass(frozen=True, eq=False, repr=False)
class Select(LinearOperator):
    """Keep the entries `indices` along one axis: y[…, i, …] = x[…, indices[i], …] (kept frames, decimation).

    Args:
        indices: positions along the axis, each at most once.
        axis: the event axis, counted from the first one.
        in_shape: the event shape.

    Raises:
        SpecError: if an index is out of range or repeated.

    Example:
        >>> import torch
        >>> Select((0, 2), 0, (4,))(torch.arange(4.0))
        tensor([0., 2.])
    """

    indices: tuple[int, ...]
    axis: int
    in_shape: Shape

    def __post_init__(self) -> None:
        n = self.in_shape[self.axis]
        distinct = len(set(self.indices)) == len(self.indices) > 0
        if not distinct or not all(0 <= i < n for i in self.indices):
            raise SpecError(f"Select needs distinct indices in 0 … {n - 1}, got {self.indices}")

    @property
    def out_shape(self) -> Shape:
        return (*self.in_shape[: self.axis], len(self.indices), *self.in_shape[self.axis + 1 :])

    def _apply(self, x: Tensor) -> Tensor:
        return self._view(x).clone(memory_format=torch.contiguous_format)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        x = y.new_zeros(y.shape[: y.ndim - len(self.in_shape)] + self.in_shape)
        return x.index_copy(self._dim, torch.tensor(self.indices, device=y.device, dtype=torch.long), y)

    @property
    def _dim(self) -> int:
        return self.axis - len(self.in_shape)

    def _view(self, x: Tensor) -> Tensor:
        """The kept entries; a strided view where the indices are evenly spaced, which is faster than a gather."""
        first, last = self.indices[0], self.indices[-1]
        step = self.indices[1] - first if len(self.indices) > 1 else 1
        if step > 0 and self.indices == tuple(range(first, last + 1, step)):
            return x[(..., slice(first, last + 1, step), *(slice(None),) * (-1 - self._dim))]
        return x.index_select(self._dim, torch.tensor(self.indices, device=x.device))

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        if isinstance(weight, Diagonal):
            w = weight.diagonal
            if w.shape[self._dim] == 1:
                return Diagonal(w * self._kept(w), self.in_shape)
            full = w.expand(*w.shape[: self._dim], len(self.indices), *w.shape[w.ndim + self._dim + 1 :])
            zeros = w.new_zeros(
                *full.shape[: self._dim], self.in_shape[self.axis], *full.shape[full.ndim + self._dim + 1 :]
            )
            return Diagonal(
                zeros.index_copy(self._dim, torch.tensor(self.indices, device=w.device), full), self.in_shape
            )
        c = scalar(weight)
        if c is not None:
            return scale(c, Diagonal(self._kept(torch.ones((), dtype=torch.float64)), self.in_shape))
        return kron_gram(self, weight) or super().gram(weight)

    def _kept(self, like: Tensor) -> Tensor:
        line = like.new_zeros(self.in_shape[self.axis])
        line[list(self.indices)] = 1
        return line.reshape(*(1,) * self.axis, -1, *(1,) * (-1 - self._dim))

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        c = scalar(weight)
        if c is not None:
            return scale(c, Identity(self.out_shape))
        if isinstance(weight, Diagonal):
            d = weight.diagonal
            return Diagonal(d if d.shape[self._dim] == 1 else self._view(d), self.out_shape)
        if isinstance(weight, Dense) and len(self.in_shape) == 1:
            kept = list(self.indices)
            return Dense(weight.matrix[..., kept, :][..., kept], self.out_shape, self.out_shape)
        if isinstance(weight, AxisMatrix) and weight.axis == self.axis:
            kept = list(self.indices)
            return AxisMatrix(weight.matrix[..., kept, :][..., kept], self.axis, self.out_shape)
        return kron_outer(self, weight) or super().outer(weight)

    def _factors(self) -> tuple[LinearOperator, ...]:
        line = Select(self.indices, 0, (self.in_shape[self.axis],))
        return tuple(line if i == self.axis else Identity((n,)) for i, n in enumerate(self.in_shape))

    def _known_norm(self) -> Tensor:
        return torch.ones((), dtype=torch.float64)


@dataclass(frozen=True, eq=False, repr=False)
class Flip(LinearOperator):
    """Reverse the order of the entries along `axes`: its own adjoint and inverse.

    Example:
        >>> import torch
        >>> Flip((0,), (3,))(torch.arange(3.0))
        tensor([2., 1., 0.])
    """

    axes: tuple[int, ...]
    in_shape: Shape

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
        c = scalar(weight)
        if c is not None:
            return scale(c, Identity(self.in_shape))
        return (
            Diagonal(self._apply(weight.diagonal), self.in_shape)
            if isinstance(weight, Diagonal)
            else super().gram(weight)
        )

    outer = gram

    def _known_norm(self) -> Tensor:
        return torch.ones((), dtype=torch.float64)
