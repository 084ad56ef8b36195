"""Frames of which nothing was measured: from those around them, along the motion."""

from __future__ import annotations

import pytest
import torch
from test_motion import waves
from torch import Tensor

from linops_video import forward_model
from linops_video.solvers.learned.form import Config
from linops_video.solvers.learned.unrolled import Unrolled
from linops_video.solvers.motion.flow import flow_between
from linops_video.solvers.motion.missing import fill_missing, neighbours


def without(video: Tensor, missing: list[int]) -> tuple[Tensor, Tensor]:
    """The video with the frame before in the place of each missing one, the one behind it for the first; the flags."""
    held, measured = video.clone(), torch.ones(video.shape[:2])
    for t in missing:
        held[:, t] = held[:, abs(t - 1)]
        measured[:, t] = 0
    return held, measured


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ([1, 0, 0, 1, 0], [(1, 0, 3, 0, 3, -1), (2, 0, 3, 0, 3, -1), (4, 0, 3, 3, 0, -1)]),
        ([0, 0, 1, 1, 0, 1], [(0, 2, 3, 2, 3, 5), (1, 2, 3, 2, 3, 5), (4, 3, 5, 3, 5, -1)]),
        ([1, 0, 1, 1, 0, 0], [(1, 0, 2, 0, 2, -1), (4, 2, 3, 3, 2, 0), (5, 2, 3, 3, 2, 0)]),
        ([0, 1, 0], []),
        ([0, 0], []),
        ([1, 1], []),
    ],
)
def test_the_measured_frames_around_or_the_nearest_ones(measured: list[float], expected: list[tuple[int, ...]]) -> None:
    assert list(neighbours(measured)) == expected


@pytest.mark.parametrize("at", [-1.0, -0.75, -0.5, 0.0, 1.0])  # beyond the second, between, at the first, ahead of it
@pytest.mark.parametrize("speed", [(0.0, 0.0), (0.5, -0.25), (-2.0, 3.0)])
def test_a_shift_is_found_wherever_the_frame_is(speed: tuple[float, float], at: float) -> None:
    frames = waves(2, speed)
    ahead = torch.full((1, 1, 1, 1), at, dtype=frames.dtype)
    flow = flow_between(frames[:1], frames[1:], ahead, ahead + 1)[0, :, 10:-10, 10:-10]
    assert (flow - torch.tensor(speed, dtype=flow.dtype)[:, None, None]).abs().mean() < 0.05


@pytest.mark.parametrize(("missing", "factor"), [([1], 100), ([1, 3], 100), ([2, 3, 4], 100), ([5], 25), ([0, 2], 25)])
def test_what_moves_is_where_it_was(missing: list[int], factor: int) -> None:
    """Between two frames, and beyond them, where errors of the displacement do not cancel."""
    video = waves(6, (0.6, -0.3))[None]
    held, measured = without(video, missing)
    filled = fill_missing(held, measured)
    inside = (..., slice(10, -10), slice(10, -10))
    assert (filled - video)[inside].square().mean() < (held - video)[inside].square().mean() / factor
    kept = [t for t in range(6) if t not in missing]
    assert torch.equal(filled[:, kept], video[:, kept])


def test_what_is_still_stays_to_the_last_digit() -> None:
    video = waves(1, (0.0, 0.0)).float().expand(5, 1, 64, 64)[None]
    held, measured = without(video, [1, 4])
    torch.testing.assert_close(fill_missing(held, measured), video, rtol=0, atol=1e-6)


def test_what_stands_still_is_not_guessed() -> None:
    """But for noise far below a gray level, in one half; the other moves too far, where the frame mostly stays."""
    r = torch.Generator().manual_seed(0)
    still, moving = waves(1, (0.0, 0.0)).expand(3, 1, 64, 64), 1 - waves(3, (9.0, 7.0), 128)[..., :64, :64]
    video = torch.cat([still + 2e-4 * torch.randn(still.shape, generator=r, dtype=still.dtype), moving], -1)[None]
    video[:, 1] = torch.rand(1, 64, 128, generator=r, dtype=still.dtype)
    filled = fill_missing(video, torch.tensor([[1, 0, 1]]))[0, 1]
    assert (filled[..., :50] - still[0, :, :, :50]).abs().max() < 5e-3
    both = (video[0, 0] + video[0, 2]) / 2
    assert (filled - video[0, 1])[..., 80:].abs().mean() < 0.8 * (both - video[0, 1])[..., 80:].abs().mean()


def test_frames_that_do_not_fit_each_other_are_not_trusted() -> None:
    """A cut between the two: the frame stays nearly as it is."""
    video = torch.cat([waves(2, (0.0, 0.0)), 1 - waves(2, (7.0, 5.0))])[None]
    filled = fill_missing(video, torch.tensor([[1, 0, 1, 1]]))
    both = (video[:, 0] + video[:, 2]) / 2
    assert (filled[:, 1] - video[:, 1]).abs().mean() < (both - video[:, 1]).abs().mean() / 4


def test_the_motion_is_not_followed_far_beyond_the_last_frame() -> None:
    video = waves(6, (3.0, 0.0))[None]
    held, measured = without(video, [2, 3, 4, 5])
    change = (fill_missing(held, measured) - held).abs().mean((0, 2, 3, 4))
    assert change[2] > 10 * change[5]


def test_motion_that_did_not_go_on_is_not_taken_to() -> None:
    """Frame 2 turned back: what comes behind it is not said to go on; where it went on, it is."""
    on, back = waves(4, (0.6, -0.3)), waves(4, (0.6, -0.3))[[0, 1, 0, 3]]
    held, measured = without(torch.stack([on, back]), [3])
    change = (fill_missing(held, measured) - held).abs().mean((2, 3, 4))[:, 3]
    assert change[1] < change[0] / 10


def test_samples_miss_frames_of_their_own() -> None:
    video = torch.stack([waves(4, (1.0, 0.5)), waves(4, (-0.5, 0.25)), waves(4, (0.0, 1.0))])
    measured = torch.tensor([[1, 0, 1, 1], [1, 1, 1, 0], [0, 0, 1, 0]])
    together = fill_missing(video, measured)
    for i in range(3):
        alone = fill_missing(video[i : i + 1], measured[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone)
    assert torch.equal(together[2], video[2])  # one frame says nothing of motion


@pytest.mark.parametrize("spec", ["fi2", "fp25", "fi2 @ sr(2)"])
def test_a_network_that_follows_ends_there(spec: str) -> None:
    """Before training, as a network adds nothing of its own."""
    truth = waves(5, (0.5, 0.25), 32).float().expand(5, 3, 32, 32)
    problem = forward_model(spec, tuple(truth.shape)).measure(truth)
    follows, stays = (Unrolled(Config(steps=2, motion=motion, features=4, coarse=1))(problem) for motion in (1, 0))
    assert (follows - truth).square().mean() < (stays - truth).square().mean() / 2


def test_derivatives_take_displacements_as_given() -> None:
    """The missing frame is then linear in the others: their mean where nothing moves, of other entries elsewhere."""
    still, moving = (waves(3, speed)[None].requires_grad_() for speed in ((0.0, 0.0), (1.0, 0.5)))
    of_still, of_moving = (
        torch.autograd.grad(fill_missing(video, torch.tensor([[1, 0, 1]]))[:, 1].sum(), video)[0]
        for video in (still, moving)
    )
    expected = torch.tensor([0.5, 0, 0.5], dtype=still.dtype)[:, None, None, None].expand(3, 1, 64, 64)
    torch.testing.assert_close(of_still[0], expected)
    torch.testing.assert_close(of_moving.sum(), of_still.sum())
    assert of_moving[:, 1].abs().mean() < of_moving[:, 0].abs().mean() / 4
