"""The noise of a measurement, estimated from the measurement."""

import dataclasses

import pytest
import torch

from linops_video import (
    Diagonal,
    ForwardModel,
    InverseProblem,
    NormalSolver,
    Select,
    collate,
    estimate_noise,
    forward_model,
    linear_function,
    noise_level,
    parse,
)
from linops_video.errors import MeasurementError
from linops_video.media.video import demo_clip, read_video
from linops_video.problems.noise import covered, reached


@pytest.fixture(scope="module")
def clip():
    """Eight frames of a real clip, a quarter of the frame, in colour."""
    return read_video(demo_clip(), frames=8).frames[..., :128, :160]


def measured(name, video, sigma):
    model = forward_model(name, tuple(video.shape), seed=1)
    return dataclasses.replace(model, noise_std=sigma).measure(video, seed=2)


@pytest.mark.parametrize("sigma", [0.01, 0.1])
@pytest.mark.parametrize("name", ["denoise", "pid", "si", "sr2", "sr4", "tdd", "fi2", "fp50", "color"])
def test_the_noise_of_named_problems_on_a_real_clip(clip, name, sigma):
    assert noise_level(measured(name, clip, sigma)) == pytest.approx(sigma, rel=0.15)


@pytest.mark.parametrize("sigma", [0.01, 0.1])
@pytest.mark.parametrize("name", ["dd", "md", "vcs"])
def test_the_noise_of_convolutions_and_stacks(clip, name, sigma):
    assert noise_level(measured(name, clip[:4, :, :40, :48], sigma)) == pytest.approx(sigma, rel=0.15)


def test_what_the_operator_cannot_reach_is_all_noise():
    """A full convolution has a margin to spare: σ is told whatever the video is, white noise even."""
    video = torch.rand(4, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    assert noise_level(measured("dd", video, 0.05)) == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize("text", ["mask(0.7) @ blur(gaussian, 2, circular)", "blur(disk, 27, 13, valid)"])
def test_the_noise_beside_an_iterative_inverse_takes_no_iterations(clip, text, monkeypatch):
    problem = measured(text, clip, 0.02)
    assert not problem.normal.exact
    monkeypatch.setattr(NormalSolver, "pinv", lambda *_: pytest.fail("A⁺ of noise takes minutes"))
    assert noise_level(problem) == pytest.approx(0.02, rel=0.15)


def test_an_iterative_inverse_tells_the_noise_of_what_is_no_video():
    A = linear_function(lambda x: torch.cat([x, x.flip(-1), x.cumsum(-1)], -1), (100,))
    problem = ForwardModel(A, 0.1).measure(torch.rand(100, generator=torch.Generator().manual_seed(0)))
    assert noise_level(problem) == pytest.approx(0.1, rel=0.1)


def test_little_noise_in_few_entries_is_told_in_float32():
    """One in 256 pixels of a snapshot of 8 frames is behind no open mask: σ is told where it is 2e-4 of y, too."""
    video = torch.rand(8, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    for sigma in (0.001, 0.01):
        assert noise_level(measured("cacti(0.5)", video, sigma)) == pytest.approx(sigma, rel=0.2)


@pytest.mark.parametrize("text", ["sr(2) @ mask(0.9)", "average(4) @ mask(0.9)", "cacti(0.9)"])
def test_the_pattern_of_random_weights_is_not_taken_for_noise(clip, text):
    with pytest.raises(MeasurementError, match="pattern that A lays over y"):
        noise_level(measured(text, clip, 0.01))


def test_holes_without_noise_are_left_out(clip):
    """A measurement with zeros in its holes has noise elsewhere only."""
    mask = (torch.rand(clip.shape, generator=torch.Generator().manual_seed(0)) > 0.2).float()
    noisy = mask * (clip + 0.05 * torch.randn(clip.shape, generator=torch.Generator().manual_seed(1)))
    problem = InverseProblem(Diagonal(mask, tuple(clip.shape)), noisy)
    assert noise_level(problem) == pytest.approx(0.05, rel=0.15)


def test_a_batch_has_the_root_mean_square(clip):
    problems = [measured("pid", clip, sigma) for sigma in (0.03, 0.04)]
    assert noise_level(collate(problems)) == pytest.approx((0.0025 / 2) ** 0.5, rel=0.05)
    assert noise_level(collate(problems[:1])) == noise_level(problems[0])


@pytest.mark.parametrize(
    "shape", [(8, 3, 32, 32), (8, 1, 32, 32), (1, 1, 64, 64), (64, 64), (3, 64, 64), (2, 4, 3, 32, 32)]
)
def test_white_noise_is_all_noise(shape):
    y = 0.07 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    assert estimate_noise(y) == pytest.approx(0.07, rel=0.07)


def bars(y):
    y = y.clone()
    y[..., :20, :] = y[..., -20:, :] = y[..., :30] = 0.0
    return y


@pytest.mark.parametrize(
    "changed",
    [
        bars,
        lambda y: y[:, :1].expand(y.shape),
        lambda y: bars(y[:, :1]).expand(y.shape),
        lambda y: y.repeat_interleave(2, 0),
        lambda y: bars(y[:, :1]).repeat_interleave(2, 0),
        lambda y: torch.stack([bars(y), bars(y.flip(-1))]),
    ],
    ids=["bars", "gray stored as RGB", "gray with bars", "frames twice", "all of it", "batch"],
)
def test_bars_channels_and_frames_that_are_there_twice_hide_no_noise(clip, changed):
    y = clip + 0.05 * torch.randn(clip.shape, generator=torch.Generator().manual_seed(0))
    assert estimate_noise(changed(y)) == pytest.approx(0.05, rel=0.05)
    observed = (torch.rand(changed(y).shape, generator=torch.Generator().manual_seed(1)) > 0.05).float()
    assert estimate_noise(changed(y), observed) == pytest.approx(0.05, rel=0.1)
    assert estimate_noise(torch.full((8, 3, 32, 32), 0.5)) == 0


def test_what_is_no_number_may_stand_where_nothing_is_observed(clip):
    y = clip + 0.05 * torch.randn(clip.shape, generator=torch.Generator().manual_seed(0))
    y[..., 5] = torch.nan
    with pytest.raises(MeasurementError, match="y has NaN or infinite values"):
        estimate_noise(y)
    assert estimate_noise(y, ~y.isnan()) == pytest.approx(0.05, rel=0.05)
    assert [estimate_noise(torch.rand(shape)) for shape in ((0, 3, 8, 8), (2, 0, 8, 8), (2, 3, 8, 0))] == [0, 0, 0]


@pytest.mark.parametrize(("name", "shape"), [("cs", (2, 1, 16, 16)), ("denoise", (1, 1, 8, 8)), ("si", (1, 1, 8, 8))])
def test_noise_that_cannot_be_told(name, shape):
    problem = forward_model(name, shape).measure(torch.rand(shape))
    with pytest.raises(MeasurementError, match="give noise_std"):
        noise_level(problem)


def test_complex_noise_has_its_power_in_both_parts_and_is_found():
    x = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    A = parse("mask(0.5) @ fourier(h,w)", (4, 1, 32, 32)).to(dtype=torch.float64)
    problem = ForwardModel(A, 0.1).measure(x)
    noise = problem.y - A(x)
    assert noise.real.std().item() == pytest.approx(0.1 / 2**0.5, rel=0.05)
    assert noise.imag.std().item() == pytest.approx(0.1 / 2**0.5, rel=0.05)
    assert noise_level(problem) == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("text", ["fourier(h, w)", "difference(w)", "difference(t)"])
def test_operators_that_map_constants_to_zero_see_noise_too(clip, text):
    A = parse(text, tuple(clip.shape))
    model = ForwardModel(A, 0.05)
    assert noise_level(model.measure(clip)) == pytest.approx(0.05, rel=0.15)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_what_is_reached_and_covered_is_told_for_each_operator_of_a_batch(dtype):
    masks = torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 1.0]], dtype=dtype)
    A = Diagonal(masks, (3,)) @ Select((0, 2, 3), 0, (4,))
    like = torch.zeros((), dtype=dtype)
    assert torch.equal(reached(A, like), masks != 0)
    assert covered(A, like).tolist() == [[True, False, False, True], [False, False, False, True]]
