"""Resizing of the frames as a Kronecker product of two small matrices, one for the rows and one for the columns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from linops_video.algebra.operator import Identity, LinearOperator
from linops_video.algebra.parameters import Shape, like, replaced, show, tensor_field, whole_numbers
from linops_video.algebra.slabs import along, part_of
from linops_video.errors import ShapeError, SpecError
from linops_video.operators.dense import Dense
from linops_video.operators.kron import separable_gram

Method = Literal["bicubic", "area"]

BLOCK = 64
"""Outputs that are computed in one matrix product, from the inputs near them: 64 is fastest at 1280×720 (one core)."""


@dataclass(frozen=True, eq=False, repr=False)
class Resample(LinearOperator):
    """A band matrix along one axis: y[…, i, …] = Σⱼ M[i, j] x[…, j, …], M[i, j] = 0 off |j − i n/m| > reach.

    What `resize` is made of. Products are with blocks of the band, which at 1280×720 takes a quarter of the time of the
    whole matrix.

    Args:
        matrix: M, shape (m, n).
        axis: the event axis, counted from the first one.
        in_shape: the event shape, n long at `axis`.
        reach: how far from the diagonal an entry may stand, in inputs.
    """

    matrix: Tensor = tensor_field(2)
    axis: int = 0
    in_shape: Shape = ()
    reach: int = 0

    @property
    def out_shape(self) -> Shape:
        return replaced(self.in_shape, self.axis, self.matrix.shape[-2])

    def _blocks(self) -> list[tuple[slice, slice]]:
        """Outputs, and the inputs that they are made of."""
        m, n = self.matrix.shape[-2:]
        starts = range(0, m, BLOCK)
        return [
            (slice(i, i + BLOCK), slice(max(0, i * n // m - self.reach), (i + BLOCK) * n // m + 1 + self.reach))
            for i in starts
        ]

    def _apply(self, x: Tensor) -> Tensor:
        matrix, dim = like(self.matrix, x), self.axis - len(self.in_shape)
        parts = [along(matrix[rows, columns], part_of(x, columns, dim), dim) for rows, columns in self._blocks()]
        return torch.cat(parts, dim)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        matrix, dim = like(self.matrix, y), self.axis - len(self.in_shape)
        x = y.new_zeros(y.shape[: y.ndim - len(self.in_shape)] + self.in_shape)
        for rows, columns in self._blocks():
            part_of(x, columns, dim).add_(along(matrix[rows, columns].mT, part_of(y, rows, dim), dim))
        return x

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        return separable_gram(self, weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return separable_gram(self.H, weight)

    def _factors(self) -> tuple[LinearOperator, ...]:
        m, n = self.matrix.shape[-2:]
        line = Dense(self.matrix, (n,), (m,))
        return tuple(line if i == self.axis else Identity((size,)) for i, size in enumerate(self.in_shape))


def resize(size: tuple[int, int], in_shape: Shape, method: Method = "bicubic") -> LinearOperator:
    """Frames of another size, by antialiased bicubic interpolation or by areas: any ratio, up or down.

    Both are separable, so that the inverse is exact, by two small eigendecompositions.

    "bicubic": pixel centres at i + ½; the weights are Keys' cubic with a = −½, stretched by the ratio where the frame
    shrinks, and divided by their sum, which near an edge runs over the pixels that there are. The same numbers as
    `torch.nn.functional.interpolate(mode="bicubic", antialias=True)` and Pillow; MATLAB's `imresize` differs at the
    edges, which it mirrors.

    "area": the mean over the area that an output pixel covers, pixels at its rim counting as far as they lie within,
    as in OpenCV's `INTER_AREA`. For integer ratios it is `BoxMean`, and torch's "area".

    Source: Keys, IEEE Transactions on Acoustics, Speech, and Signal Processing 29(6), 1981.

    Args:
        size: rows and columns out.
        in_shape: the event shape (…, H, W).

    Raises:
        SpecError: if the method is neither.
        ShapeError: if a size is below 1 or no whole number, or the event has no rows and columns.

    Example:
        >>> resize((48, 100), (8, 3, 72, 128)).out_shape
        (8, 3, 48, 100)
    """
    if method not in get_args(Method):
        raise SpecError(f"resize knows {' and '.join(get_args(Method))}, got {method!r}")
    frame, in_shape = whole_numbers("resize", size=size, in_shape=in_shape)
    if len(frame) != 2 or min(frame) < 1:
        raise ShapeError(f"resize needs rows and columns of 1 or more, got {show(frame)}")
    if len(in_shape) < 2:
        raise ShapeError(f"resize needs an event of shape (…, H, W), got {show(in_shape)}")
    rows = _resized(len(in_shape) - 2, frame[0], in_shape, method)
    return _resized(len(in_shape) - 1, frame[1], rows.out_shape, method) @ rows


def _resized(axis: int, m: int, in_shape: Shape, method: Method) -> LinearOperator:
    n = in_shape[axis]
    if m == n:
        return Identity(in_shape)
    matrix = _bicubic_matrix(n, m) if method == "bicubic" else _area_matrix(n, m)
    return Resample(matrix, axis, in_shape, math.ceil(2 * max(n / m, 1)) + 1)


def _bicubic_matrix(n: int, m: int) -> Tensor:
    """The m×n matrix of antialiased bicubic interpolation, float64; its rows sum to 1."""
    ratio = n / m
    centres = (torch.arange(m, dtype=torch.float64).unsqueeze(1) + 0.5) * ratio - 0.5
    t = ((torch.arange(n, dtype=torch.float64) - centres) / max(ratio, 1.0)).abs()
    near, far = (1.5 * t - 2.5) * t * t + 1, ((2.5 - 0.5 * t) * t - 4) * t + 2
    weights = torch.where(t < 1, near, torch.where(t < 2, far, 0))
    return weights / weights.sum(1, keepdim=True)


def _area_matrix(n: int, m: int) -> Tensor:
    """The m×n matrix of means over areas, float64; its rows sum to 1."""
    ratio = n / m
    start = torch.arange(m, dtype=torch.float64).unsqueeze(1) * ratio
    pixel = torch.arange(n, dtype=torch.float64)
    covered = torch.minimum(pixel + 1, start + ratio) - torch.maximum(pixel, start)
    return covered.clamp(min=0) / ratio
