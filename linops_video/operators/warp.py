"""Motion: frames moved along an optical flow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video.algebra.operator import LinearOperator
from linops_video.algebra.parameters import Shape, beside, like, show, tensor_field
from linops_video.algebra.shapes import broadcast
from linops_video.errors import ShapeError


@dataclass(frozen=True, eq=False, repr=False)
class Warp(LinearOperator):
    """Every frame seen along its flow, by bilinear interpolation: y[t, c, i, j] = x[t, c, i + v, j + u].

    With (u, v) = flow[t, :, i, j], in pixels to the right and down: backward warping. Where the source lies outside the
    frame, x counts as 0. The adjoint spreads y onto the pixels that it was read from, with the same weights.

    Args:
        flow: u and v of every pixel, shape (*batch, T, 2, H, W); T = 1 moves all frames alike.
        in_shape: the event shape (T, C, H, W).

    Raises:
        ShapeError: if the flow does not fit the video.

    Example:
        >>> import torch
        >>> right = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1).expand(1, 2, 1, 3)
        >>> Warp(right, (1, 1, 1, 3))(torch.tensor([[[[1.0, 2.0, 3.0]]]]))
        tensor([[[[2., 3., 0.]]]])
    """

    flow: Tensor = tensor_field(4)
    in_shape: Shape = ()

    def __post_init__(self) -> None:
        if len(self.in_shape) != 4:
            raise ShapeError(f"Warp needs a video shape (T, C, H, W), got {show(self.in_shape)}")
        frames, _, height, width = self.in_shape
        flow = self.flow.shape
        if len(flow) < 4 or tuple(flow[-3:]) != (2, height, width) or flow[-4] not in (1, frames):
            raise ShapeError(
                f"warping a video of shape {show(self.in_shape)} needs a flow of shape "
                f"{show((frames, 2, height, width))}, got {show(flow)}"
            )

    @property
    def out_shape(self) -> Shape:
        return self.in_shape

    def _apply(self, x: Tensor) -> Tensor:
        pixels, y = x.flatten(-2), None
        for places, weights in _corners(self.flow, x):
            batch = broadcast(places.shape[:-1], pixels.shape[:-1])
            part = weights * pixels.expand(*batch, -1).gather(-1, places.expand(*batch, -1))
            y = part if y is None else y + part
        return y.unflatten(-1, self.in_shape[-2:])  # type: ignore[union-attr]

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        pixels, x = y.flatten(-2), None
        for places, weights in _corners(self.flow, y):
            part = weights * pixels
            x = torch.zeros_like(part) if x is None else x
            x = x.scatter_add(-1, places.expand(part.shape), part)
        return x.unflatten(-1, self.in_shape[-2:])  # type: ignore[union-attr]


def _corners(flow: Tensor, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The four pixels around every source: their places in the flattened frame, and their weights in x's precision,
    0 outside the frame; both of shape (*batch, T, 1, pixels)."""
    height, width = flow.shape[-2:]
    # places are computed in the flow's own precision, and float32 at least: bfloat16 counts pixels up to 256 only
    flow = beside(flow.float() if flow.dtype.itemsize < 4 else flow, x)
    columns = _neighbours(flow[..., 0, :, :] + torch.arange(width, device=flow.device), width)
    rows = _neighbours(flow[..., 1, :, :] + torch.arange(height, device=flow.device).unsqueeze(1), height)
    for row, row_weight in rows:
        for column, column_weight in columns:
            place, weight = row * width + column, like(row_weight * column_weight, x)
            yield place.flatten(-2).unsqueeze(-2), weight.flatten(-2).unsqueeze(-2)


def _neighbours(position: Tensor, n: int) -> list[tuple[Tensor, Tensor]]:
    """The two entries around each position on an axis of n, and their weights: 0 for one outside, given as entry 0."""
    before = position.floor()
    found = []
    for entry in (before, before + 1):
        inside = (entry >= 0) & (entry < n)
        found.append((torch.where(inside, entry, 0).long(), torch.where(inside, 1 - (position - entry).abs(), 0)))
    return found
