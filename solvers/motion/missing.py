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


def along_motion(A: LinearOperator, video: Tensor, share: float = 1.0) -> Tensor:
    """`fill_missing` of the frames of which A tells nothing, of a video (*batch, T, C, H, W)."""
    measured = measured_frames(A, video).reshape(-1, video.shape[-4])
    return fill_missing(video.reshape(-1, *video.shape[-4:]), measured, share).reshape(video.shape)


def fill_missing(video: Tensor, measured: Tensor, share: float = 1.0) -> Tensor:
    """The video with its missing frames moved towards what the motion says, as far as that is to be trusted.

    It is trusted by the share that it explains of what changed between the two measured frames: where another thing is
    seen in the second, the frame stays as it is. Beyond the last measured frame, by the geometric mean of that and of
    the share that it would have foretold of the last one from the two before. Where both are alike but for noise, their
    mean at one place is taken, beyond them the nearer one. Displacements and trust are not differentiated.

    Args:
        video: shape (B, T, C, H, W).
        measured: shape (B, T), 1 or 0. A missing frame stays as it is where fewer than two of its sample were measured.
        share: of the way to what the motion says, where it is trusted.
    """
    rows = [(b, *found) for b, flags in enumerate(measured.cpu().tolist()) for found in neighbours(flags)]
    if not rows:
        return video
    sample, missing, first, second, nearest, other, third = torch.tensor(rows, device=video.device).unbind(-1)
    along, trust = _along_motion(video, sample, missing, first, second)
    known = third >= 0
    if known.any():
        foretold = _foretold(video, *(index[known] for index in (sample, nearest, other, third)))
        trust[known] = (trust[known] * foretold).sqrt()
    before, after = video[sample, first], video[sample, second]
    unmoved = torch.lerp(before, after, _place(missing, first, second, video).clamp(0, 1))
    still = torch.exp(-_windowed_square(before - after).detach() / (2 * LEVEL**2))
    filled = video.clone()
    guess = torch.lerp(video[sample, missing], along, share * trust)
    filled[sample, missing] = torch.lerp(guess, unmoved, still)
    return filled


def _along_motion(video: Tensor, sample: Tensor, at: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """What the motion between two frames says of the one at a time, (N, C, H, W), and its trust, (N, 1, H, W)."""
    place = _place(at, first, second, video)
    before, after = video[sample, first], video[sample, second]
    with torch.no_grad():
        flow = flow_between(before.mean(1, keepdim=True), after.mean(1, keepdim=True), -place, 1 - place)
        change = _windowed_square(before - after)
    before, after = moved(before, places(-place * flow)), moved(after, places((1 - place) * flow))
    with torch.no_grad():
        beyond = flow * torch.maximum(-place, place - 1).clamp(min=0)
        trust = _explained(change, before - after) * torch.exp(-beyond.square().sum(1, keepdim=True) / (2 * HORIZON**2))
    return torch.lerp(before, after, place.clamp(0, 1)), trust


@torch.no_grad()
def _foretold(video: Tensor, sample: Tensor, nearest: Tensor, other: Tensor, third: Tensor) -> Tensor:
    """The share of the change from another frame to the nearest one that the motion from the third one foretells."""
    frame, held = video[sample, nearest], video[sample, other]
    first, second = torch.minimum(other, third), torch.maximum(other, third)
    guess = torch.lerp(held, *_along_motion(video, sample, nearest, first, second))
    return _explained(_windowed_square(frame - held), frame - guess)


def _explained(change: Tensor, left: Tensor) -> Tensor:
    """The share of a squared change that is not left."""
    return ((change - _windowed_square(left)) / (change + NOTHING)).clamp(min=0)


def _place(at: Tensor, first: Tensor, second: Tensor, video: Tensor) -> Tensor:
    """0 at the first frame, 1 at the second: shape (N, 1, 1, 1)."""
    return ((at - first).to(video) / (second - first)).reshape(-1, 1, 1, 1)


def _windowed_square(difference: Tensor) -> Tensor:
    return window_mean(difference.square().mean(1, keepdim=True))


def measured_frames(A: LinearOperator, video: Tensor) -> Tensor:
    """1 for the frames of which A tells something, else 0: shape (*batch, T), for videos as this one."""
    coverage = A.T(A(video.new_ones(*A.batch_shape, *A.in_shape))).expand(video.shape)
    return (coverage.abs().amax((-3, -2, -1)) > 0).to(video)


def neighbours(measured: list[float]) -> Iterable[tuple[int, int, int, int, int, int]]:
    """Of each missing frame: itself, the measured frames around it, else the two nearest on its one side, in order;
    then of these the nearest, the other, and the one behind that, which is −1 between two frames and where none is."""
    known = [t for t, flag in enumerate(measured) if flag]
    for t, flag in enumerate(measured):
        if flag or len(known) < 2:
            continue
        if t > known[-1]:
            yield t, known[-2], known[-1], known[-1], known[-2], known[-3] if len(known) > 2 else -1
        elif t < known[0]:
            yield t, known[0], known[1], known[0], known[1], known[2] if len(known) > 2 else -1
        else:
            second = next(k for k in known if k > t)
            first = known[known.index(second) - 1]
            yield t, first, second, first, second, -1
