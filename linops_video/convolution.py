"""Convolution over the last two axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from linops_video.circulant import Circulant, circulant
from linops_video.dense import Dense
from linops_video.errors import ShapeError, SpecError
from linops_video.kron import kron
from linops_video.multiplier import Multiplier, diagonal_in
from linops_video.operator import Identity, LinearOperator, scalar, scale
from linops_video.parameters import Shape, by_parts, common, double, like, per_sample, tensor_field
from linops_video.toeplitz import Toeplitz

Boundary = Literal["full", "same", "valid", "circular"]

EIGH_LIMIT = 2048
"""Largest matrix that is diagonalised: 2048 takes some seconds and 32 MB in float64; cost grows with its cube."""


@dataclass(frozen=True, eq=False, repr=False)
class Convolution(LinearOperator):
    """2-D convolution of every frame: y[i, j] = Σ h[a, b] x[i − a + oₕ, j − b + o_w], the same for all leading axes.

    Args:
        kernel: h, shape (*batch, kh, kw).
        in_shape: the event shape (…, H, W).
        boundary: "full" (zeros outside, output (H + kh − 1)×(W + kw − 1), o = 0), "same" (zeros outside, the centre of
            "full", o = (k − 1) // 2 per axis), "valid" (where the kernel lies inside), "circular" (periodic, centred as
            "same").

    Raises:
        SpecError: if the boundary is none of these.
        ShapeError: if the kernel is larger than the frame ("valid", "circular").

    Example:
        >>> import torch
        >>> Convolution(torch.full((3, 3), 1 / 9), (8, 1, 16, 16), "valid").out_shape
        (8, 1, 14, 14)
    """

    kernel: Tensor = tensor_field(2)
    in_shape: Shape = ()
    boundary: Boundary = "full"

    def __post_init__(self) -> None:
        if self.boundary not in get_args(Boundary):
            raise SpecError(f"boundary must be one of {', '.join(get_args(Boundary))}, got {self.boundary!r}")
        (kh, kw), (height, width) = self.kernel.shape[-2:], self.in_shape[-2:]
        if self.boundary in ("valid", "circular") and (kh > height or kw > width):
            raise ShapeError(
                f"a {self.boundary!r} convolution needs a kernel no larger than the frame, got a {kh}×{kw} kernel "
                f"and {height}×{width} frames"
            )

    @property
    def out_shape(self) -> Shape:
        *prefix, height, width = self.in_shape
        kh, kw = self.kernel.shape[-2:]
        grow = {"full": 1, "same": 0, "valid": -1, "circular": 0}[self.boundary]
        return (*prefix, height + grow * (kh - 1), width + grow * (kw - 1))

    @property
    def _padding(self) -> tuple[int, int, int, int]:
        """Rows and columns put around the frame (left, right, top, bottom) before a 'valid' correlation."""
        (kh, kw), boundary = self.kernel.shape[-2:], self.boundary
        if boundary == "valid":
            return 0, 0, 0, 0
        if boundary == "full":
            return kw - 1, kw - 1, kh - 1, kh - 1
        return kw // 2, (kw - 1) // 2, kh // 2, (kh - 1) // 2

    def _weights(self, x: Tensor, batch: Shape) -> Tensor:
        """One flipped kernel a plane, shape (planes, 1, kh, kw)."""
        kernel = like(self.kernel, x).flip(-2, -1)
        planes = math.prod(self.in_shape[:-2])
        kernel = kernel.unsqueeze(-3).expand(*batch, planes, *kernel.shape[-2:])
        return kernel.reshape(-1, 1, *kernel.shape[-2:])

    def _apply(self, x: Tensor) -> Tensor:
        return self._correlate(common(self.kernel, x)[1]) if self.kernel.is_complex() else by_parts(self._correlate, x)

    def _correlate(self, x: Tensor) -> Tensor:
        batch = torch.broadcast_shapes(x.shape[: x.ndim - len(self.in_shape)], self.kernel.shape[:-2])
        # planes as groups of one sample: one kernel a plane, 40 times faster on a CPU than planes as a batch
        planes = x.expand(*batch, *self.in_shape).reshape(1, -1, *self.in_shape[-2:])
        padded = F.pad(planes, self._padding, mode="circular" if self.boundary == "circular" else "constant")
        return F.conv2d(padded, self._weights(x, batch), groups=planes.shape[1]).reshape(*batch, *self.out_shape)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return self._spread(common(self.kernel, y)[1]) if self.kernel.is_complex() else by_parts(self._spread, y)

    def _spread(self, y: Tensor) -> Tensor:
        batch = torch.broadcast_shapes(y.shape[: y.ndim - len(self.in_shape)], self.kernel.shape[:-2])
        planes = y.expand(*batch, *self.out_shape).reshape(1, -1, *self.out_shape[-2:])
        padded = F.conv_transpose2d(planes, self._weights(y, batch).conj(), groups=planes.shape[1])
        left, right, top, bottom = self._padding
        height, width = self.in_shape[-2:]
        x = padded
        if self.boundary == "circular":
            x = _wrap(_wrap(x, -2, top, bottom), -1, left, right)
        else:
            x = x[..., top : top + height, left : left + width]
        return x.reshape(*batch, *self.in_shape)

    @property
    def _circulant(self) -> Circulant | Multiplier:
        """The circular convolution with this kernel, centred as "same"."""
        (kh, kw), (height, width) = self.kernel.shape[-2:], self.in_shape[-2:]
        kernel = F.pad(double(self.kernel), (0, -kw % width, 0, -kh % height))
        kernel = kernel.unflatten(-1, (-1, width)).sum(-2).unflatten(-2, (-1, height)).sum(-3)
        return circulant(kernel.roll((-((kh - 1) // 2), -((kw - 1) // 2)), (-2, -1)), self.in_shape)

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        c = scalar(weight)
        if self.boundary == "circular" and (c is not None or isinstance(weight, (Circulant, Multiplier))):
            return self._circulant.gram(weight)
        if self.boundary == "full" and c is not None and not self.kernel.is_complex():
            return scale(c, self._toeplitz(self.in_shape, self.out_shape))
        if self.boundary == "same" and c is not None and math.prod(self.in_shape[-2:]) <= EIGH_LIMIT:
            matrix = Convolution(double(self.kernel), self.in_shape[-2:], "same").to_dense()
            frame = Dense(matrix.mH @ matrix, self.in_shape[-2:], self.in_shape[-2:])
            return scale(c, kron(Identity(self.in_shape[:-2]), frame))
        return super().gram(weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        c = scalar(weight)
        if self.boundary == "circular" and (c is not None or isinstance(weight, (Circulant, Multiplier))):
            return self._circulant.outer(weight)
        if self.boundary == "valid" and c is not None and not self.kernel.is_complex():
            return scale(c, self._toeplitz(self.out_shape, self.in_shape))
        return super().outer(weight)

    def _toeplitz(self, shape: Shape, grid: Shape) -> Toeplitz:
        """|ĥ|² on a grid so large that it does not wrap around within frames of the given shape."""
        transfer = torch.fft.rfft2(self.kernel.to(torch.float64), s=grid[-2:]).abs() ** 2
        return Toeplitz(transfer, shape, (grid[-2], grid[-1]))

    def _plus(self, other: LinearOperator) -> LinearOperator | None:
        if isinstance(other, Convolution) and self.boundary == other.boundary == "circular":
            return self._circulant._plus(other._circulant)
        return None

    def _times(self, factor: float | Tensor) -> LinearOperator:
        return Convolution(per_sample(factor, 2) * self.kernel, self.in_shape, self.boundary)

    def approximate_gram(self) -> LinearOperator:
        """The Gram of the circular convolution: equal to AᴴA away from the frame's edges."""
        return self._circulant.gram()

    def _diagonal_in(self, transform: LinearOperator) -> Tensor | None:
        return diagonal_in(self._circulant, transform) if self.boundary == "circular" else None

    def _known_norm(self) -> Tensor | None:
        if self.boundary == "circular":
            return self._circulant._known_norm()
        # every frame has the norm of one
        one = Convolution(self.kernel, self.in_shape[-2:], self.boundary)
        return one.norm() if len(self.in_shape) > 2 else None


def _wrap(x: Tensor, dim: int, before: int, behind: int) -> Tensor:
    """The adjoint of circular padding along `dim`: the padded margins are added onto the other side."""
    n = x.shape[dim] - before - behind
    middle = x.narrow(dim, before, n).clone()
    if before:
        middle.narrow(dim, n - before, before).add_(x.narrow(dim, 0, before))
    if behind:
        middle.narrow(dim, 0, behind).add_(x.narrow(dim, before + n, behind))
    return middle
