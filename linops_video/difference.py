"""Finite differences."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from linops_video.dense import Dense
from linops_video.kron import separable_gram, separable_outer
from linops_video.operator import Identity, LinearOperator
from linops_video.parameters import Shape


@dataclass(frozen=True, eq=False, repr=False)
class Difference(LinearOperator):
    """Forward differences along one axis: y[i] = x[i + 1] − x[i], one entry less than x.

    Args:
        axis: the event axis, counted from the first one (0 is time for a video).
        in_shape: the event shape.

    Example:
        >>> import torch
        >>> Difference(0, (3,))(torch.tensor([1.0, 4.0, 9.0]))
        tensor([3., 5.])
    """

    axis: int
    in_shape: Shape

    @property
    def out_shape(self) -> Shape:
        return (*self.in_shape[: self.axis], self.in_shape[self.axis] - 1, *self.in_shape[self.axis + 1 :])

    def _apply(self, x: Tensor) -> Tensor:
        return x.diff(dim=self.axis - len(self.in_shape))

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        behind = len(self.in_shape) - self.axis - 1
        return -F.pad(y, (0, 0) * behind + (1, 1)).diff(dim=self.axis - len(self.in_shape))

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        return separable_gram(self, weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return separable_outer(self, weight)

    def _factors(self) -> tuple[LinearOperator, ...]:
        n = self.in_shape[self.axis]
        line = Dense(torch.eye(n, dtype=torch.float64).diff(dim=0), (n,), (n - 1,))
        return tuple(line if i == self.axis else Identity((size,)) for i, size in enumerate(self.in_shape))
