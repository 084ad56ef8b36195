"""Frames of which nothing was measured, from the two measured ones that are nearest, along their motion.

Motion at constant speed says where each entry of a missing frame was in both: between them their mean is taken, behind
the last one and ahead of the first the entry goes on as it moved. Interpolation at one place blurs what moves.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from linops_video import LinearOperator
from linops_video.solvers.motion.flow import flow_between, moved, places, window_mean

HORIZON = 2.5
"""Pixels beyond the nearest frame at which the motion is trusted exp(−½): speeds change."""

LEVEL = 1 / 255
"""Root mean square change, of gray values in [0, 1], at which a place is taken to be still to exp(−½)."""

NOTHING = 1e-8
"""Squared gray values: of a change that is far below it, nothing is explained."""


def fill_missing(video: Tensor, measured: Tensor, share: float = 1.0) -> Tensor:
    """The video with its missing frames moved towards what the motion says, as far as that is to be trusted.

    It is trusted by the share that it explains of what changed between the two measured frames: where another thing is
    seen in the second, the frame stays as it is. Where both are alike but for noise, their mean at one place is taken,
    beyond them the nearer one. Displacements and trust are not differentiated.

    Args:
        video: shape (B, T, C, H, W).
        measured: shape (B, T), 1 or 0. A missing frame stays as it is where fewer than two of its sample were measured.
        share: of the way to what the motion says, where it is trusted.
    """
    rows = [(b, *three) for b, flags in enumerate(measured.cpu().tolist()) for three in neighbours(flags)]
    if not rows:
        return video
    sample, missing, first, second = torch.tensor(rows, device=video.device).unbind(-1)
    apart = (second - first).to(video)
    ahead, behind = (((t - missing) / apart).reshape(-1, 1, 1, 1) for t in (first, second))
    before, after = video[sample, first], video[sample, second]
    nearness = (-ahead).clamp(0, 1)
    unmoved = torch.lerp(before, after, nearness)
    with torch.no_grad():
        flow = flow_between(before.mean(1, keepdim=True), after.mean(1, keepdim=True), ahead, behind)
        change = _windowed_square(before - after)
    before, after = moved(before, places(ahead * flow)), moved(after, places(behind * flow))
    with torch.no_grad():
        beyond = flow * torch.maximum(ahead, -behind).clamp(min=0)
        explained = ((change - _windowed_square(before - after)) / (change + NOTHING)).clamp(min=0)
        trust = explained * torch.exp(-beyond.square().sum(1, keepdim=True) / (2 * HORIZON**2))
        still = torch.exp(-change / (2 * LEVEL**2))
    filled = video.clone()
    guess = torch.lerp(video[sample, missing], torch.lerp(before, after, nearness), share * trust)
    filled[sample, missing] = torch.lerp(guess, unmoved, still)
    return filled


def _windowed_square(difference: Tensor) -> Tensor:
    return window_mean(difference.square().mean(1, keepdim=True))


def measured_frames(A: LinearOperator, video: Tensor) -> Tensor:
    """1 for the frames of which A tells something, else 0: shape (*batch, T), for videos as this one."""
    coverage = A.T(A(video.new_ones(*A.batch_shape, *A.in_shape))).expand(video.shape)
    return (coverage.abs().amax((-3, -2, -1)) > 0).to(video)


def neighbours(measured: list[float]) -> Iterable[tuple[int, int, int]]:
    """(missing frame, first, second): the measured frames around it, else the nearest two on its one side."""
    known = [t for t, flag in enumerate(measured) if flag]
    for t, flag in enumerate(measured):
        if not flag and len(known) > 1:
            after = sum(k < t for k in known)
            last = min(max(after, 1), len(known) - 1)
            yield t, known[last - 1], known[last]
