"""Baselines: each fits its measurements as it claims, and is exact on the videos that it is made for."""

import pytest
import torch

from linops_video import forward_model
from linops_video.solvers.baselines import BASELINE_NAMES, BASELINES, bicubic

CASES = [(problem, name) for problem, entry in BASELINES.items() for name in entry]


def ramp(frames: int, height: int, width: int) -> torch.Tensor:
    """Values that are linear in t, y and x, and the same in all channels."""
    t, c, y, x = torch.meshgrid(*(torch.arange(n).double() for n in (frames, 3, height, width)), indexing="ij")
    return 0.1 + 0.02 * t + 0.003 * y + 0.005 * x + 0 * c


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(8, 3, 16, 20), (7, 3, 18, 23), (2, 8, 3, 16, 16)])
@pytest.mark.parametrize(("problem", "name"), CASES)
def test_shape_dtype_and_agreement_with_the_measurements(problem, name, shape):
    posed = forward_model(problem, shape).to(dtype=torch.float64).measure(noise(*shape))
    x = BASELINES[problem][name](posed)
    assert x.shape == shape
    assert x.dtype == torch.float64
    misfit = (posed.operator(x) - posed.y).abs().max()
    assert (
        misfit > 1e-3 if name == "bicubic" else misfit < 1e-7
    )  # float32 luma; the others interpolate what was measured


@pytest.mark.parametrize("problem", ["fi2", "fi4"])
def test_linear_in_time_is_exact_on_linear_motion_of_values(problem):
    truth = ramp(9, 6, 6)
    x = BASELINES[problem]["linear"](forward_model(problem, truth.shape).measure(truth))
    last = int(problem[-1]) * (9 // int(problem[-1]) - 1)
    torch.testing.assert_close(x[: last + 1], truth[: last + 1], rtol=0, atol=1e-12)
    torch.testing.assert_close(x[last:], truth[last].expand_as(x[last:]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("problem", [p for p in BASELINES if "hold" in BASELINES[p]])
def test_hold_repeats_the_last_measured_frame(problem):
    truth = ramp(9, 4, 4)
    posed = forward_model(problem, truth.shape).measure(truth)
    seen = posed.operator.T(torch.ones_like(posed.y)).flatten(1).amax(1) > 0
    x = BASELINES[problem]["hold"](posed)
    for t in range(9):
        latest = max(s for s in range(t + 1) if seen[s])
        assert torch.equal(x[t], truth[latest])


@pytest.mark.parametrize(("problem", "factor"), [("sr2", 2), ("sr4", 4)])
def test_bicubic_is_centred_on_the_boxes(problem, factor):
    """A shift by part of a pixel would not commute with mirroring."""
    truth = noise(2, 3, 8 * factor, 6 * factor)
    model = forward_model(problem, truth.shape)
    x, mirrored = (bicubic(model.measure(clip), factor) for clip in (truth, truth.flip(-2, -1)))
    torch.testing.assert_close(mirrored, x.flip(-2, -1), rtol=0, atol=1e-12)
    assert (x - truth).square().mean() < (x - truth.roll(1, -1)).square().mean()


def test_gray_has_equal_channels_and_the_measured_luma():
    truth = noise(2, 3, 5, 5)
    posed = forward_model("color", truth.shape).to(dtype=torch.float64).measure(truth)
    x = BASELINES["color"]["gray"](posed)
    assert torch.equal(x[:, :1].expand_as(x), x)
    torch.testing.assert_close(x[:, :1], posed.y)


def test_names_are_listed_once():
    assert sorted(BASELINE_NAMES) == sorted({name for _, name in CASES})
