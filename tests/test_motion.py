"""Displacements between frames, means along them, and networks that are told these means."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from linops_video import forward_model
from linops_video.errors import SpecError
from linops_video.solvers.learned.form import Config
from linops_video.solvers.learned.unrolled import Unrolled
from linops_video.solvers.motion import means
from linops_video.solvers.motion.flow import moved, optical_flow, places
from linops_video.solvers.motion.means import Paths


def waves(frames: int, speed: tuple[float, float], size: int = 64) -> Tensor:
    """Twelve waves, of 8 to 30 pixels, that move by `speed` (columns, rows) a frame: (T, 1, H, W), float64."""
    generator = torch.Generator().manual_seed(0)
    period, angle, phase = torch.rand(3, 12, generator=generator, dtype=torch.float64)
    number, angle, phase = 2 * math.pi / (8 + 22 * period), 2 * math.pi * angle, 2 * math.pi * phase
    t, y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in (frames, size, size)), indexing="ij")
    place = torch.stack([x - speed[0] * t, y - speed[1] * t], -1)
    direction = number * torch.stack([angle.cos(), angle.sin()])
    return (0.5 + 0.04 * (place @ direction + phase).sin().sum(-1))[:, None]


@pytest.mark.parametrize("speed", [(0.0, 0.0), (0.5, -0.25), (1.5, 0.75), (-3.0, 2.0)])
def test_a_shift_is_found(speed: tuple[float, float]) -> None:
    frames = waves(2, speed)
    flow = optical_flow(frames[:1], frames[1:])[0, :, 8:-8, 8:-8]
    assert (flow - torch.tensor(speed, dtype=flow.dtype)[:, None, None]).abs().mean() < 0.05


def test_moving_back_a_shift_gives_the_frame() -> None:
    frames = waves(2, (1.5, -0.75))
    shift = torch.tensor([1.5, -0.75], dtype=torch.float64)[None, :, None, None].expand(1, 2, 64, 64)
    back = moved(frames[1:], places(shift))
    assert (back - frames[:1])[..., 4:-4, 4:-4].abs().max() < 5e-3  # cubic, of waves of 8 pixels
    torch.testing.assert_close(moved(frames, places(torch.zeros(2, 2, 64, 64, dtype=torch.float64))), frames)


def test_the_mean_of_a_still_video_is_itself() -> None:
    still = waves(1, (0.0, 0.0)).expand(5, 1, 64, 64)[None]
    torch.testing.assert_close(Paths(still, torch.ones(still.shape[:2])).mean(still), still)


def test_noise_is_averaged_along_the_motion() -> None:
    """7 times at most, less where noise misleads; at one place of all frames the mean would be far off."""
    clean = waves(8, (1.0, 0.5))[None]
    noisy = clean + 0.05 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0), dtype=clean.dtype)
    before, after = (
        (noisy - clean).square().mean(),
        (Paths(noisy, torch.ones(noisy.shape[:2])).mean(noisy) - clean).square().mean(),
    )
    assert after < before / 3
    assert (noisy.mean(1, keepdim=True) - clean).square().mean() > 4 * after


def test_other_scenes_are_left_out() -> None:
    cut = torch.cat([waves(2, (0.0, 0.0)), 1 - waves(2, (7.0, 5.0))])[None]
    assert (Paths(cut, torch.ones(cut.shape[:2])).mean(cut) - cut).abs().mean() < 0.01
    assert (cut[:, 1] - cut[:, 2]).abs().mean() > 0.1


def test_a_frame_that_was_not_measured_stays_and_tells_nothing() -> None:
    video = waves(5, (1.0, 0.5))[None]
    measured = torch.tensor([[1, 1, 0, 1, 1]], dtype=video.dtype)
    other = video.clone()
    other[:, 2] += 0.01 * torch.rand(64, 64, generator=torch.Generator().manual_seed(0), dtype=video.dtype)
    mean, of_other = (Paths(x, measured).mean(x) for x in (video, other))
    assert torch.equal(of_other[:, 2], other[:, 2])
    assert torch.equal(mean[:, [0, 1, 3, 4]], of_other[:, [0, 1, 3, 4]])
    assert not torch.equal(mean[:, 1], video[:, 1])


def test_large_frames_are_taken_a_few_at_a_time_and_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    video = torch.stack([waves(5, speed) for speed in ((1.0, 0.5), (-2.0, 1.5))])
    measured = torch.tensor([[1, 1, 0, 1, 1], [1, 1, 1, 1, 1]], dtype=video.dtype)
    whole = Paths(video, measured)
    monkeypatch.setattr(means, "slabs", lambda x, axis: [(0, 1), (1, x.shape[axis])] if x.shape[axis] > 1 else [(0, 1)])
    parts = Paths(video, measured)
    assert (len(whole.pairs), len(parts.pairs)) == (8, 14)
    torch.testing.assert_close(parts.mean(video), whole.mean(video), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1, 5, 6), (2, 3, 17, 9), (5, 3, 16, 20)])
@pytest.mark.parametrize("form", ["videoonet", "onenet"])
def test_networks_that_follow_take_any_size(shape: tuple[int, ...], form: str) -> None:
    network = Unrolled(Config(form=form, steps=3, motion=2, features=4, coarse=1))
    truth = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    problem = dataclasses.replace(forward_model("si", shape), noise_std=0.0).measure(truth)
    x = network(problem)
    assert x.shape == truth.shape
    torch.testing.assert_close(problem.operator(x), problem.y, atol=1e-5, rtol=0)


def test_networks_that_follow_learn_through_the_mean() -> None:
    network = Unrolled(Config(steps=2, motion=1, features=4, coarse=1)).double()
    truth = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    problem = forward_model("sr2", truth.shape).to(dtype=torch.float64).measure(truth)
    network(problem).square().sum().backward()
    gradient = network.get_parameter("prior.1.head.bias").grad
    assert gradient is not None
    towards = gradient[-3:]  # lengths of the steps towards the mean along the motion; the means over 2×2 are measured
    assert bool((towards.abs() > 1e-8).all())


@pytest.mark.parametrize("fields", [{"motion": 2}, {"motion": 1, "shared": True}, {"motion": 1, "blocks": "recurrent"}])
def test_motion_wants_a_step_before_it(fields: dict) -> None:
    with pytest.raises(SpecError, match="motion is for multiscale blocks"):
        Config(steps=2, **fields)
