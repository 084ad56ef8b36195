"""Sampling and resizing against other implementations and their definitions; what they refuse."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from zoo import normal_numbers

from linops_video import BoxMean
from linops_video.resample import Resample, resize

SIZES = [(13, 21), (18, 25), (9, 10), (5, 3), (37, 7), (70, 131), (37, 50), (1, 1)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_bicubic_is_torchs_antialiased_one(size: tuple[int, int]) -> None:
    x = normal_numbers(0)(2, 3, 37, 50)
    expected = F.interpolate(x, size, mode="bicubic", antialias=True)
    torch.testing.assert_close(resize(size, (3, 37, 50))(x), expected, rtol=0, atol=1e-13)
    torch.testing.assert_close(resize(size, (3, 37, 50))(x.float()), expected.float(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(12, 10), (6, 4), (36, 20), (36, 40)], ids=str)
def test_area_is_torchs_for_integer_ratios(size: tuple[int, int]) -> None:
    x = normal_numbers(0)(2, 3, 36, 40)
    A = resize(size, (3, 36, 40), "area")
    torch.testing.assert_close(A(x), F.interpolate(x, size, mode="area"), rtol=0, atol=1e-14)
    if 36 // size[0] == 40 // size[1]:
        torch.testing.assert_close(A(x), BoxMean(36 // size[0], (3, 36, 40))(x), rtol=0, atol=1e-14)


def test_area_is_the_mean_over_the_covered_area() -> None:
    x = normal_numbers(0)(1, 15, 20)
    # pixels as boxes of 7×9 points: an output pixel is the mean of the points in it
    points = x.repeat_interleave(7, -2).repeat_interleave(9, -1)
    expected = points.unflatten(-2, (7, 15)).mean(-2).unflatten(-1, (9, 20)).mean(-1)
    torch.testing.assert_close(resize((7, 9), (1, 15, 20), "area")(x), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("method", ["bicubic", "area"])
@pytest.mark.parametrize(("n", "m"), [(300, 130), (130, 300), (257, 64), (64, 257), (200, 199)])
def test_nothing_stands_outside_the_band(n: int, m: int, method: str) -> None:
    A = resize((m, 2), (n, 2), method)
    assert isinstance(A, Resample)
    x = normal_numbers(0)(n, 2)
    torch.testing.assert_close(A(x), A.matrix @ x, rtol=0, atol=1e-13)
    y = normal_numbers(0)(m, 2)
    torch.testing.assert_close(A.H(y), A.matrix.T @ y, rtol=0, atol=1e-13)
    torch.testing.assert_close(A.matrix.sum(1), torch.ones(m).double())
