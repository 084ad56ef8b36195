"""Patches of the frames, overlapping or not, and the same matrix on every tile."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from linops_video.algebra.operator import Identity, LinearOperator
from linops_video.algebra.parameters import Shape, by_parts, check_tensor, show
from linops_video.errors import ShapeError, SpecError
from linops_video.operators.dense import Dense
from linops_video.operators.diagonal import Diagonal, kept_outer, number, pointwise
from linops_video.operators.kron import kron, kron_gram


@dataclass(frozen=True, eq=False, repr=False)
class Patches(LinearOperator):
    """All k×k patches of the frames, one every s rows and columns: (…, H, W) → (…, n_h, n_w, k, k).

    n_h = ⌊(H − k)/s⌋ + 1, n_w likewise; rows and columns behind the last patch are not observed. The adjoint adds the
    patches up where they overlap, so that AᵀA is diagonal: in how many patches a pixel is.

    Args:
        size, stride: k and s; with s = k, patches are tiles.
        in_shape: the event shape (…, H, W).

    Raises:
        SpecError, ShapeError: if size or stride is below 1, or a frame smaller than a patch.

    Example:
        >>> Patches(8, 4, (3, 64, 32)).out_shape
        (3, 15, 7, 8, 8)
    """

    size: int
    stride: int
    in_shape: Shape

    def __post_init__(self) -> None:
        if min(self.size, self.stride) < 1:
            raise SpecError(f"Patches needs a size and a stride of 1 or more, got {self.size} and {self.stride}")
        if len(frame := self.in_shape[-2:]) < 2 or min(frame) < self.size:
            raise ShapeError(f"{self.size}×{self.size} patches need frames as large as that, got {show(frame)}")

    @property
    def out_shape(self) -> Shape:
        *prefix, height, width = self.in_shape
        count = ((n - self.size) // self.stride + 1 for n in (height, width))
        return (*prefix, *count, self.size, self.size)

    def _apply(self, x: Tensor) -> Tensor:
        return _windows(self, x).clone(memory_format=torch.contiguous_format)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return by_parts(lambda part: _add_up(self, part), y)

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        w = pointwise(weight, len(self.out_shape))
        if w is None:
            return kron_gram(self, weight) or super().gram(weight)
        return Diagonal(_add_up(self, w.expand(*w.shape[:-4], *self.out_shape[-4:])), self.in_shape)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        apart = kept_outer(self, weight, 2) if self.stride >= self.size else None
        return apart or kron_gram(self.H, weight) or super().outer(weight)

    def _factors(self) -> tuple[LinearOperator, ...]:
        frame = Patches(self.size, self.stride, self.in_shape[-2:])
        return (*(Identity((n,)) for n in self.in_shape[:-2]), frame)


def _windows(A: Patches, x: Tensor) -> Tensor:
    return x.unfold(-2, A.size, A.stride).unfold(-2, A.size, A.stride)


def _add_up(A: Patches, y: Tensor) -> Tensor:
    """The frames that the patches y sum to; `y` may have other leading axes than A's output."""
    y, (height, width) = number(y), A.in_shape[-2:]
    if A.stride >= A.size:
        x = y.new_zeros(*y.shape[:-4], height, width)
        _windows(A, x).copy_(y)
        return x
    columns = rearrange(y.reshape(-1, *y.shape[-4:]), "n a b i j -> n (i j) (a b)")
    return F.fold(columns, (height, width), A.size, stride=A.stride).reshape(*y.shape[:-4], height, width)


def block_sensing(matrix: Tensor, in_shape: Shape) -> LinearOperator:
    """Block compressive sensing: the same matrix G on every k×k tile, (…, H, W) → (…, H/k, W/k, m).

    AAᵀ is GGᵀ on every tile, so that its inverse takes one m×m eigendecomposition at any frame size. For a part of the
    frame that tiles fill, compose with `crop`.

    Source: Gan, "Block compressed sensing of natural images", DSP 2007.

    Args:
        matrix: G, shape (*batch, m, k²).
        in_shape: the event shape (…, H, W).

    Raises:
        SpecError: if the number of columns is no square.
        ShapeError: if k does not divide H and W, or the matrix or the event has fewer than two axes.

    Example:
        >>> import torch
        >>> block_sensing(torch.randn(16, 64), (8, 3, 48, 64)).out_shape
        (8, 3, 6, 8, 16)
    """
    check_tensor(matrix, "block sensing needs a matrix as a torch tensor")
    if matrix.ndim < 2 or len(in_shape) < 2:
        raise ShapeError(
            "block sensing needs a matrix of shape (*batch, m, k²) and an event of shape (…, H, W), got "
            f"{show(matrix.shape)} and {show(in_shape)}"
        )
    m, columns = matrix.shape[-2:]
    k, (height, width) = math.isqrt(columns), in_shape[-2:]
    if k * k != columns:
        raise SpecError(f"block sensing needs a matrix with k² columns for k×k tiles, got {columns}")
    if height % k or width % k:
        raise ShapeError(
            f"{k}×{k} tiles do not fill {height}×{width} frames: crop to {height // k * k}×{width // k * k} first, "
            "or pad with zeros"
        )
    tiles = Patches(k, k, in_shape)
    return kron(Identity(tiles.out_shape[:-2]), Dense(matrix, (k, k), (m,))) @ tiles
