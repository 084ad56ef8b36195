"""Where the entries of a frame are in its neighbours, and the mean of a video along these paths.

Frames of a moving camera see the same scene on other pixels: what the measurement of one frame misses, that of another
may have. The networks' convolutions look at one place of all frames; here frames are moved onto each other first.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

REACH = 4
"""Frames ahead and back that a frame is compared with."""

PASSES = 4
"""Means along the motion, each of a video made consistent: they reach further than one, for less time than a longer
`REACH`. Measured on `sr4`: 4 of 3 frames ahead and back gain as much as 2 of 7 frames."""

RADIUS = 3
"""Of the windows (7×7 pixels) in which a displacement is the same, then smoothed; `window_mean` is for 3."""

LEVELS, LEAST = 3, 16
"""Scales of the pyramid, as long as frames have `LEAST` rows and columns."""

UPDATES = 2
"""Steps of Gauss and Newton at each scale: more follow the errors of the video, and gain less."""

FLATNESS = 3e-4
"""Squared gray values, added to those of the gradients: places without structure stay where the coarser scale is."""

DOUBT = 0.04
"""Root mean square difference, of gray values in [0, 1], at which a moved frame counts exp(−½)."""


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
    pyramid = [(frame, other)]
    while len(pyramid) < LEVELS and min(pyramid[-1][0].shape[-2:]) >= 2 * LEAST:
        pyramid.append((F.avg_pool2d(pyramid[-1][0], 2), F.avg_pool2d(pyramid[-1][1], 2)))
    flow = torch.zeros_like(pyramid[-1][0]).repeat(1, 2, 1, 1)
    for a, b in reversed(pyramid):
        if flow.shape[-2:] != a.shape[-2:]:
            flow = 2 * F.interpolate(flow, size=a.shape[-2:], mode="bilinear", align_corners=False)
        slopes = Slopes(a)
        for _ in range(UPDATES):
            flow = flow + slopes.newton_step(a - moved(b, places(flow), "bilinear"))
        flow = window_mean(flow)
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


class Paths:
    """The displacements between the frames of a video (B, T, C, H, W), and how far each is to be trusted.

    `measured` (B, T), 1 or 0: a frame of which nothing was measured stays as it is, and no other is told of it.
    """

    def __init__(self, video: Tensor, measured: Tensor) -> None:
        self.pairs = []
        gray, frames = video.mean(2, keepdim=True), video.shape[1]
        for offset in (d for d in range(-REACH, REACH + 1) if d != 0 and abs(d) < frames):
            here = slice(max(0, -offset), frames - max(0, offset))
            there = slice(max(0, offset), frames - max(0, -offset))
            grid = places(optical_flow(gray[:, here].flatten(0, 1), gray[:, there].flatten(0, 1)))
            change = moved(video[:, there].flatten(0, 1), grid) - video[:, here].flatten(0, 1)
            trust = torch.exp(-window_mean(change.square().mean(1, keepdim=True)) / (2 * DOUBT**2))
            trust = trust * (measured[:, here] * measured[:, there]).flatten()[:, None, None, None]
            self.pairs.append((here, there, grid, trust))

    def mean(self, video: Tensor) -> Tensor:
        """The weighted mean of each frame and of those that are moved onto it, shape as `video`."""
        total, weight = video.clone(), torch.ones_like(video[:, :, :1])
        for here, there, grid, trust in self.pairs:
            part = video[:, there]
            total[:, here] += (trust * moved(part.flatten(0, 1), grid)).unflatten(0, part.shape[:2])
            weight[:, here] += trust.unflatten(0, part.shape[:2])
        return total / weight


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
