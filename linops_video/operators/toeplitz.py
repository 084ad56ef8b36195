"""Zero-padded convolutions as circulants on a larger grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from linops_video.algebra.operator import Identity, LinearOperator
from linops_video.algebra.parameters import Shape, by_parts, is_complex_number, like, scaled, tensor_field, widened


@dataclass(frozen=True, eq=False, repr=False)
class Toeplitz(LinearOperator):
    """x ↦ Pᵀ F⁻¹(w ⊙ F P x): what a circulant on a larger grid does to frames that are zero on its margin.

    P puts a frame into the top left of the grid. The Gram of a "full" convolution is such an operator on the grid of
    its output, and so is AAᴴ of a "valid" one on the grid of its input: on them, nothing wraps around.

    Args:
        transfer: w ≥ 0 on the half spectrum of the grid, real, shape (*batch, L_h, L_w//2 + 1).
        in_shape: the event shape (…, H, W).
        grid: (L_h, L_w), at least (H, W).
    """

    transfer: Tensor = tensor_field(2)
    in_shape: Shape = ()
    grid: tuple[int, int] = (0, 0)

    @property
    def out_shape(self) -> Shape:
        return self.in_shape

    def _apply(self, x: Tensor) -> Tensor:
        return by_parts(lambda part: self._crop(self._filter(like(self.transfer, part), self._pad(part))), x)

    _apply_adjoint = _apply

    @property
    def H(self) -> LinearOperator:
        return self

    @property
    def margin(self) -> int:
        """The number of grid pixels outside the frame."""
        return math.prod(self.grid) - math.prod(self.in_shape[-2:])

    def _times(self, factor: float | Tensor) -> LinearOperator:
        if is_complex_number(factor):  # half a spectrum is enough for real impulse responses only
            return super()._times(factor)
        return Toeplitz(scaled(factor, self.transfer, 2), self.in_shape, self.grid)

    def _factors(self) -> tuple[LinearOperator, ...]:
        one = Toeplitz(self.transfer, self.in_shape[-2:], self.grid)
        return (*(Identity((n,)) for n in self.in_shape[:-2]), one)

    def _embed(self, before: Shape, behind: Shape) -> LinearOperator | None:
        return None if behind else Toeplitz(self.transfer, (*before, *self.in_shape), self.grid)

    def _pad(self, x: Tensor) -> Tensor:
        height, width = self.in_shape[-2:]
        return F.pad(x, (0, self.grid[1] - width, 0, self.grid[0] - height))

    def _crop(self, x: Tensor) -> Tensor:
        return x[..., : self.in_shape[-2], : self.in_shape[-1]]

    def _filter(self, w: Tensor, x: Tensor) -> Tensor:
        return torch.fft.irfft2(widened(w, len(self.in_shape) - 2) * torch.fft.rfft2(x), s=self.grid)
