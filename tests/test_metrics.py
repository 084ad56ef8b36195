"""PSNR, SSIM and the data misfit against their formulas."""

import math

import pytest
import torch

from linops_video import metrics
from linops_video.errors import ShapeError
from linops_video.metrics import SSIM_WINDOW, data_misfit, psnr, ssim


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_psnr_is_the_formula_per_sample():
    truth, prediction = noise(2, 3, 4, 3, 6, 5), noise(2, 3, 4, 3, 6, 5, seed=1)
    values = psnr(prediction, truth)
    assert values.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            error = sum(v * v for v in (prediction[i, j].double() - truth[i, j].double()).flatten().tolist())
            assert values[i, j].item() == pytest.approx(10 * math.log10(truth[i, j].numel() / error), abs=1e-10)


def test_psnr_does_not_clip_and_is_infinite_for_equal_videos():
    truth = torch.ones(2, 1, 4, 4)
    assert psnr(truth + 0.1, truth).item() == pytest.approx(20, abs=1e-5)  # clipping to 1 would make it infinite
    assert psnr(truth, truth).item() == math.inf


def test_psnr_keeps_high_values_of_float64():
    truth = noise(1, 1, 8, 8).double()
    assert psnr(truth + 1e-9, truth).item() == pytest.approx(180, abs=1e-3)


def ssim_of_frame(a: torch.Tensor, b: torch.Tensor) -> float:
    """Mean SSIM over the windows that lie inside one channel, from the definition."""
    line = torch.exp(-((torch.arange(11.0) - 5) ** 2) / (2 * 1.5**2)).double()
    window = torch.outer(line, line) / line.sum() ** 2
    values = []
    for i in range(a.shape[0] - 10):
        for j in range(a.shape[1] - 10):
            p, q = a[i : i + 11, j : j + 11].double(), b[i : i + 11, j : j + 11].double()
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * p * p).sum() - mp**2, (window * q * q).sum() - mq**2
            cov = (window * p * q).sum() - mp * mq
            values.append(
                (2 * mp * mq + 0.01**2) * (2 * cov + 0.03**2) / ((mp**2 + mq**2 + 0.01**2) * (vp + vq + 0.03**2))
            )
    return torch.stack(values).mean().item()


def test_ssim_is_the_definition_per_sample():
    truth = noise(2, 2, 3, 14, 13)
    prediction = (truth + 0.2 * noise(2, 2, 3, 14, 13, seed=1)).clamp(0, 1)
    values = ssim(prediction, truth)
    assert values is not None
    assert values.shape == (2,)
    for sample in range(2):
        expected = (
            sum(ssim_of_frame(prediction[sample, t, c], truth[sample, t, c]) for t in range(2) for c in range(3)) / 6
        )
        assert values[sample].item() == pytest.approx(expected, abs=1e-4)


def test_ssim_in_pieces_is_ssim_at_once(monkeypatch):
    truth, prediction = noise(2, 5, 3, 14, 13), noise(2, 5, 3, 14, 13, seed=1)
    at_once = ssim(prediction, truth)
    for frames in (0, 1, 4):  # fewer entries than a frame has; one frame; four, which do not divide ten
        monkeypatch.setattr(metrics, "PIECE", frames * truth[0, 0].numel())
        torch.testing.assert_close(ssim(prediction, truth), at_once, rtol=1e-6, atol=1e-6)


def test_ssim_needs_frames_of_its_window():
    assert ssim(noise(2, 1, SSIM_WINDOW, SSIM_WINDOW), noise(2, 1, SSIM_WINDOW, SSIM_WINDOW)) is not None
    assert ssim(noise(2, 1, SSIM_WINDOW - 1, 20), noise(2, 1, SSIM_WINDOW - 1, 20)) is None


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_shapes_must_agree(metric):
    with pytest.raises(ShapeError, match=r"\(1, 1, 12, 12\) and \(1, 3, 12, 12\)"):
        metric(torch.zeros(1, 1, 12, 12), torch.zeros(1, 3, 12, 12))


def test_data_misfit_is_the_root_mean_square():
    x, y = noise(5), noise(5, seed=1)
    assert data_misfit(lambda v: 3 * v, x, y) == pytest.approx(((3 * x - y) ** 2).mean().sqrt().item(), abs=1e-6)


def test_imaginary_parts_count():
    truth = torch.zeros(2, 1, 4, 4, dtype=torch.complex64)
    assert psnr(truth + 0.1j, truth).item() == pytest.approx(20, abs=1e-5)
    assert data_misfit(lambda x: x, truth + 0.5j, truth) == pytest.approx(0.5)
