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


def fill_missing(video: Tensor, measured: Tensor) -> Tensor:
    """The video with its missing frames moved towards what the motion says, as far as that is to be trusted.

    Args:
        video: shape (B, T, C, H, W).
        measured: shape (B, T), 1 or 0. A missing frame stays as it is where fewer than two of its sample were measured.
    """
    rows = [(b, *three) for b, flags in enumerate(measured.tolist()) for three in neighbours(flags)]
    if not rows:
        return video
    sample, missing, first, second = torch.tensor(rows, device=video.device).unbind(-1)
    ahead, behind = (((t - missing) / (second - first)).to(video).reshape(-1, 1, 1, 1) for t in (first, second))
    before, after = video[sample, first], video[sample, second]
    flow = flow_between(before.mean(1, keepdim=True), after.mean(1, keepdim=True), ahead, behind)
    before, after = moved(before, places(ahead * flow)), moved(after, places(behind * flow))
    beyond = flow * torch.maximum(ahead, -behind).clamp(min=0)
    doubt = window_mean((before - after).square().mean(1, keepdim=True)) / DOUBT**2
    trust = torch.exp(-(doubt + beyond.square().sum(1, keepdim=True) / HORIZON**2) / 2)
    filled = video.clone()
    along = torch.lerp(before, after, (-ahead).clamp(0, 1))
    filled[sample, missing] = torch.lerp(video[sample, missing], along, trust)
    return filled


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
