"""Where the entries of a frame are in another one, by optical flow, and frames that are moved along it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

RADIUS = 3
"""Of the windows (7×7 pixels) in which a displacement is the same, then smoothed; `window_mean` is for 3."""

LEVELS, LEAST = 3, 16
"""Scales of the pyramid, as long as frames have `LEAST` rows and columns."""

UPDATES = 2
"""Steps of Gauss and Newton at each scale: more follow the errors of the video, and gain less."""

BETWEEN_LEVELS, BETWEEN_UPDATES = 5, 4
"""The same for `flow_between`: its frames are further apart, and of fewer errors that steps could follow."""

FLATNESS = 3e-4
"""Squared gray values, added to those of the gradients: places without structure stay where the coarser scale is."""


def optical_flow(frame: Tensor, other: Tensor) -> Tensor:
    """The displacement d(x) with other(x + d) ≈ frame(x): shape (N, 2, H, W), columns and rows, in pixels.

    The method of Lucas and Kanade (IJCAI 1981), from coarse to fine, with the gradient of `frame`, so that its normal
    matrices are made once for each scale.

    Args:
        frame, other: gray frames (N, 1, H, W).

    Example:
        >>> frame = torch.linspace(0, 1, 32).sin().expand(1, 1, 32, 32)
        >>> optical_flow(frame, frame).abs().max().item()
        0.0
    """
    flow = None
    for a, b in _pyramid(frame, other, LEVELS):
        flow = _at_scale(flow, a)
        slopes = Slopes(a)
        for _ in range(UPDATES):
            flow = flow + slopes.newton_step(a - moved(b, places(flow), "bilinear"))
        flow = window_mean(flow)
    assert flow is not None
    return flow


def flow_between(first: Tensor, second: Tensor, ahead: Tensor, behind: Tensor) -> Tensor:
    """The displacement v(x) with first(x + ahead·v) ≈ second(x + behind·v), behind = ahead + 1.

    From the first frame to the second, on the grid of one between them (ahead from −1 to 0) or beyond; as
    `optical_flow`, but in every step both frames are moved, and the gradient is that of their mean.

    Args:
        first, second: gray frames (N, 1, H, W).
        ahead, behind: shape (N, 1, 1, 1).

    Returns:
        Columns and rows, in pixels: shape (N, 2, H, W).

    Example:
        >>> frame = torch.linspace(0, 1, 32).sin().expand(1, 1, 32, 32)
        >>> flow_between(frame, frame, torch.full((1, 1, 1, 1), -0.5), torch.full((1, 1, 1, 1), 0.5)).abs().max().item()
        0.0
    """
    flow = None
    for a, b in _pyramid(first, second, BETWEEN_LEVELS):
        flow = _at_scale(flow, a)
        for _ in range(BETWEEN_UPDATES):
            here, there = moved(a, places(ahead * flow), "bilinear"), moved(b, places(behind * flow), "bilinear")
            flow = window_mean(flow + Slopes((here + there) / 2).newton_step(here - there))
    assert flow is not None
    return flow


class Slopes:
    """The gradient of gray frames (N, 1, H, W), and the matrices of its products, summed over windows."""

    def __init__(self, frame: Tensor) -> None:
        padded = F.pad(frame, (1, 1, 1, 1), mode="replicate")
        self.x = x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
        self.y = y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
        xx, self.xy, yy = window_mean(torch.cat([x * x, x * y, y * y], 1)).split(1, 1)
        self.xx, self.yy = xx + FLATNESS, yy + FLATNESS

    def newton_step(self, error: Tensor) -> Tensor:
        """The displacement (N, 2, H, W) that explains an error best, of a pixel at most: so far the frame is linear."""
        ex, ey = window_mean(torch.cat([self.x * error, self.y * error], 1)).split(1, 1)
        step = torch.cat([self.yy * ex - self.xy * ey, self.xx * ey - self.xy * ex], 1)
        return (step / (self.xx * self.yy - self.xy * self.xy)).clamp(-1, 1)


def places(flow: Tensor) -> Tensor:
    """x + flow(x) as `grid_sample` counts: (N, 2, H, W) -> (N, H, W, 2)."""
    size = flow.shape[-1], flow.shape[-2]
    place = torch.stack(torch.meshgrid(*(torch.arange(n, device=flow.device) + 0.5 for n in size), indexing="xy"))
    step = 2 / torch.tensor(size, device=flow.device, dtype=flow.dtype)[:, None, None]
    grid = (flow + place.to(flow)) * step - 1  # in planes, which are read as they are
    return grid.permute(0, 2, 3, 1)


def moved(frames: Tensor, grid: Tensor, mode: str = "bicubic") -> Tensor:
    """The frames (N, C, H, W) at `places`, interpolated, the border repeated: shape as `frames`."""
    return F.grid_sample(frames, grid, mode=mode, padding_mode="border", align_corners=False)


def _pyramid(a: Tensor, b: Tensor, levels: int) -> list[tuple[Tensor, Tensor]]:
    """Both frames at each scale, the coarsest first."""
    scales = [(a, b)]
    while len(scales) < levels and min(scales[-1][0].shape[-2:]) >= 2 * LEAST:
        scales.append((F.avg_pool2d(scales[-1][0], 2), F.avg_pool2d(scales[-1][1], 2)))
    return scales[::-1]


def _at_scale(flow: Tensor | None, frame: Tensor) -> Tensor:
    """The displacements found at the scale below, or none, on the grid of `frame`."""
    if flow is None:
        return torch.zeros_like(frame).repeat(1, 2, 1, 1)
    return 2 * F.interpolate(flow, size=frame.shape[-2:], mode="bilinear", align_corners=False)


def window_mean(values: Tensor) -> Tensor:
    """Means over windows, of the part of a window that lies in the frame, one axis after the other.

    Additions of whole tensors, 7 = 4 + 2 + 1 entries of a row: several times as fast as `avg_pool2d`.
    """
    for dim in (-2, -1):
        n = values.shape[dim]
        padded = F.pad(values, (0, 0, RADIUS, RADIUS) if dim == -2 else (RADIUS, RADIUS))
        twos = padded.narrow(dim, 0, n + 5) + padded.narrow(dim, 1, n + 5)
        fours = twos.narrow(dim, 0, n) + twos.narrow(dim, 2, n)
        total = fours.add_(twos.narrow(dim, 4, n)).add_(padded.narrow(dim, 6, n))
        place = torch.arange(n, device=values.device)
        count = (place + RADIUS).clamp(max=n - 1) - (place - RADIUS).clamp(min=0) + 1
        values = total.div_(count.unsqueeze(-1) if dim == -2 else count)
    return values
