"""Spatial downsampling."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import repeat
from torch import Tensor

from linops_video.dense import Dense
from linops_video.diagonal import Diagonal
from linops_video.errors import ShapeError
from linops_video.kron import kron_outer, separable_gram
from linops_video.operator import Identity, LinearOperator, scalar, scale
from linops_video.parameters import Shape, by_parts


@dataclass(frozen=True, eq=False, repr=False)
class BoxMean(LinearOperator):
    """Mean over k×k boxes of the last two axes, ⌊H/k⌋×⌊W/k⌋ out; left-over rows and columns are not observed.

    AAᴴ = I/k², since the boxes do not overlap.

    Args:
        factor: k.
        in_shape: the event shape (…, H, W).

    Raises:
        ShapeError: if H or W is smaller than k.

    Example:
        >>> import torch
        >>> BoxMean(2, (1, 2, 2))(torch.tensor([[[1.0, 2.0], [3.0, 6.0]]]))
        tensor([[[3.]]])
    """

    factor: int
    in_shape: Shape

    def __post_init__(self) -> None:
        if min(self.in_shape[-2:]) < self.factor:
            raise ShapeError(
                f"downsampling by {self.factor} needs frames of at least {self.factor}×{self.factor}, "
                f"got {self.in_shape[-2]}×{self.in_shape[-1]}"
            )

    @property
    def out_shape(self) -> Shape:
        *prefix, height, width = self.in_shape
        return (*prefix, height // self.factor, width // self.factor)

    def _apply(self, x: Tensor) -> Tensor:
        return by_parts(self._pool, x)

    def _pool(self, x: Tensor) -> Tensor:
        frames = x.reshape(-1, 1, *self.in_shape[-2:])
        return F.avg_pool2d(frames, self.factor).reshape(x.shape[:-2] + self.out_shape[-2:])

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        k = self.factor
        spread = repeat(y / k**2, "... h w -> ... (h i) (w j)", i=k, j=k)
        rest = [n - n // k * k for n in self.in_shape[-2:]]
        return F.pad(spread, (0, rest[1], 0, rest[0])) if any(rest) else spread

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        return separable_gram(self, weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        c = scalar(weight)
        if c is not None:
            return scale(c, scale(1 / self.factor**2, Identity(self.out_shape)))
        if isinstance(weight, Diagonal):
            w = weight.diagonal.expand(*weight.diagonal.shape[:-2], *self.in_shape[-2:])
            mean = F.avg_pool2d(w.reshape(-1, 1, *w.shape[-2:]), self.factor).reshape(
                w.shape[:-2] + self.out_shape[-2:]
            )
            return Diagonal(mean / self.factor**2, self.out_shape)
        return kron_outer(self, weight) or super().outer(weight)

    def _factors(self) -> tuple[LinearOperator, ...]:
        *prefix, height, width = self.in_shape
        identities = (Identity((n,)) for n in prefix)
        return (*identities, *(Dense(box_matrix(n, self.factor), (n,), (n // self.factor,)) for n in (height, width)))

    def _known_norm(self) -> Tensor:
        return torch.full((), 1 / self.factor, dtype=torch.float64)


def box_matrix(n: int, factor: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """The ⌊n/k⌋×n matrix of means over k = `factor` neighbours."""
    rows = torch.arange(n // factor).unsqueeze(1)
    return (torch.arange(n) // factor == rows).to(dtype) / factor
