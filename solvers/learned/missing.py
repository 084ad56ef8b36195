"""Frames of which nothing was measured, from the two measured ones that are nearest, along their motion.

Motion at constant speed says where each entry of a missing frame was in both: between them their mean is taken, behind
the last one and ahead of the first the entry goes on as it moved. Interpolation at one place blurs what moves.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from linops_video.solvers.learned.motion import LEAST, Slopes, moved, places, window_mean

LEVELS = 5
"""Scales of the pyramid at most: frames that are several apart have moved further than neighbours."""

UPDATES = 4
"""Steps of Gauss and Newton at each scale: both frames are clean, so that more steps do not follow errors."""

DOUBT = 0.1
"""Root mean square difference of both moved frames, of gray values in [0, 1], at which they count exp(−½)."""

HORIZON = 2.0
"""Pixels beyond the nearest frame at which the motion is trusted exp(−½): speeds change."""


class MissingFrames:
    """Which frames of a video (B, T, C, H, W) are missing, and the displacements from each to two others.

    `measured` (B, T), 1 or 0. A missing frame stays as it is where fewer than two of its sample were measured.
    """

    def __init__(self, video: Tensor, measured: Tensor) -> None:
        rows = [(b, *three) for b, flags in enumerate(measured.tolist()) for three in neighbours(flags)]
        index = torch.tensor(rows, device=video.device).reshape(-1, 4)
        self.sample, self.missing, self.first, self.second = index.unbind(-1)
        if not rows:
            return
        apart = (self.second - self.first).to(video)
        ahead, behind = (((t - self.missing) / apart).reshape(-1, 1, 1, 1) for t in (self.first, self.second))
        self.share = (-ahead).clamp(0, 1)
        before, after = (video[self.sample, t].mean(1, keepdim=True) for t in (self.first, self.second))
        flow = flow_between(before, after, ahead, behind)
        self.grids = places(ahead * flow), places(behind * flow)
        a, b = self._moved(video)
        beyond = flow * torch.maximum(ahead, -behind).clamp(min=0)
        doubt = window_mean((a - b).square().mean(1, keepdim=True)) / DOUBT**2
        self.trust = torch.exp(-(doubt + beyond.square().sum(1, keepdim=True) / HORIZON**2) / 2)

    def fill(self, video: Tensor) -> Tensor:
        """The video with its missing frames moved towards what the motion says, as far as that is to be trusted."""
        if not len(self.missing):
            return video
        filled = video.clone()
        along = torch.lerp(*self._moved(video), self.share)
        filled[self.sample, self.missing] = torch.lerp(video[self.sample, self.missing], along, self.trust)
        return filled

    def _moved(self, video: Tensor) -> tuple[Tensor, Tensor]:
        first, second = (
            moved(video[self.sample, t], g) for t, g in zip((self.first, self.second), self.grids, strict=True)
        )
        return first, second


def neighbours(measured: list[float]) -> Iterable[tuple[int, int, int]]:
    """(missing frame, first, second): the measured frames around it, else the nearest two on its one side."""
    known = [t for t, flag in enumerate(measured) if flag]
    for t, flag in enumerate(measured):
        if not flag and len(known) > 1:
            after = sum(k < t for k in known)
            last = min(max(after, 1), len(known) - 1)
            yield t, known[last - 1], known[last]


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
    pyramid = [(first, second)]
    while len(pyramid) < LEVELS and min(pyramid[-1][0].shape[-2:]) >= 2 * LEAST:
        pyramid.append((F.avg_pool2d(pyramid[-1][0], 2), F.avg_pool2d(pyramid[-1][1], 2)))
    flow = torch.zeros_like(pyramid[-1][0]).repeat(1, 2, 1, 1)
    for a, b in reversed(pyramid):
        if flow.shape[-2:] != a.shape[-2:]:
            flow = 2 * F.interpolate(flow, size=a.shape[-2:], mode="bilinear", align_corners=False)
        for _ in range(UPDATES):
            here, there = moved(a, places(ahead * flow), "bilinear"), moved(b, places(behind * flow), "bilinear")
            flow = window_mean(flow + Slopes((here + there) / 2).newton_step(here - there))
    return flow
