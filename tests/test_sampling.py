"""Sampling, geometry and resizing against other implementations and their definitions; what they refuse."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from zoo import normal_numbers

from linops_video import (
    Bayer,
    BoxMean,
    Difference,
    Flip,
    Patches,
    Roll,
    Slice,
    Transpose,
    block_sensing,
    cacti,
    crop,
    decimate,
    gradient,
    resize,
    shutter,
    zero_pad,
)
from linops_video.errors import LinopsError
from linops_video.operators.kernels import anisotropic_gaussian, box, gaussian, motion_line
from linops_video.operators.resample import Method, Resample

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
def test_nothing_stands_outside_the_band(n: int, m: int, method: Method) -> None:
    A = resize((m, 2), (n, 2), method)
    assert isinstance(A, Resample)
    x = normal_numbers(0)(n, 2)
    torch.testing.assert_close(A(x), A.matrix @ x, rtol=0, atol=1e-13)
    y = normal_numbers(0)(m, 2)
    torch.testing.assert_close(A.H(y), A.matrix.T @ y, rtol=0, atol=1e-13)
    torch.testing.assert_close(A.matrix.sum(1), torch.ones(m).double())


def test_geometry_is_numpys() -> None:
    x = normal_numbers(0)(2, 4, 3, 6, 5)
    shape = (4, 3, 6, 5)
    same = [
        (Slice((slice(1, 4, 2), slice(None), slice(-4, None), slice(None, None, 3)), shape), x[:, 1:4:2, :, -4:, ::3]),
        (decimate(2, shape, 1), x[..., 1::2, 1::2]),
        (crop((1, 2, 0), (2, 3, 4), shape), x[..., 1:3, 2:5, :4]),
        (zero_pad((1, 0), (2, 3), shape), F.pad(x, (0, 3, 1, 2))),
        (Roll((1, -2), (0, 3), shape), x.roll((1, -2), (1, 4))),
        (Transpose((0, 2, 3, 1), shape), x.permute(0, 1, 3, 4, 2)),
        (Flip((0, 2), shape), x.flip(1, 3)),
        (Difference(2, shape, "centred"), (x[..., 2:, :] - x[..., :-2, :]) / 2),
        (Difference(3, shape, ends="periodic"), x.roll(-1, -1) - x),
        (Difference(0, shape, "centred", "periodic"), (x.roll(-1, 1) - x.roll(1, 1)) / 2),
    ]
    for A, expected in same:
        assert torch.equal(A(x), expected), A


def test_patches_are_torchs_unfold() -> None:
    x = normal_numbers(0)(2, 3, 9, 8)
    y = Patches(3, 2, (3, 9, 8))(x)
    columns = F.unfold(x, 3, stride=2).reshape(2, 3, 3, 3, 4, 3).permute(0, 1, 4, 5, 2, 3)
    assert torch.equal(y, columns)
    assert torch.equal(Patches(4, 4, (3, 9, 8)).H(Patches(4, 4, (3, 9, 8))(x))[..., :8, :], x[..., :8, :])


def test_cameras_by_their_formulas() -> None:
    r = normal_numbers(0)
    shape, x = (7, 3, 4, 6), r(2, 7, 3, 4, 6)
    masks = r(7, 1, 4, 6)
    torch.testing.assert_close(cacti(masks, shape)(x), (masks * x).sum(-4, keepdim=True))
    torch.testing.assert_close(shutter(3, 2, shape)(x), x.unfold(1, 3, 2).mean(-1))
    torch.testing.assert_close(shutter(2, 3, shape)(x), x.unfold(1, 2, 3).mean(-1))
    torch.testing.assert_close(BoxMean(3, shape, (0,))(x), x[:, :6].unflatten(1, (2, 3)).mean(2))
    y = Bayer("gbrg", shape)(x)[:, :, 0]
    for channel, row, column in ((1, 0, 0), (2, 0, 1), (0, 1, 0), (1, 1, 1)):
        assert torch.equal(y[..., row::2, column::2], x[:, :, channel, row::2, column::2])
    matrix = r(5, 4)
    tile = x[..., 2:4, 4:6].flatten(-2)
    torch.testing.assert_close(block_sensing(matrix, shape)(x)[..., 1, 2, :], tile @ matrix.T)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Slice((slice(None),), (4, 5)), "needs 2 slices"),
        (lambda: Slice((slice(None, None, -1),), (4,)), "positive steps"),
        (lambda: Slice((slice(4, None),), (4,)), "keeps nothing"),
        (lambda: decimate(2, (4, 4), 2), "offset in 0 … 1"),
        (lambda: crop((2,), (3,), (4,)), "does not lie inside"),
        (lambda: crop((2, 0), (3,), (4, 4)), "does not lie inside"),
        (lambda: zero_pad((1,), (-1,), (4,)), "none negative"),
        (lambda: Roll((1,), (0, 1), (4, 4)), "one shift an axis"),
        (lambda: Transpose((0, 0), (4, 4)), "distinct"),
        (lambda: Transpose((0,), (4, 4)), "all 2 axes"),
        (lambda: Flip((2,), (4, 4)), "distinct and in 0 … 1"),
        (lambda: Patches(5, 1, (4, 8)), "5×5 patches need frames as large"),
        (lambda: block_sensing(torch.ones(2, 5), (4, 4)), "k² columns"),
        (lambda: block_sensing(torch.ones(2, 9), (7, 6)), "crop to 6×6 first"),
        (lambda: BoxMean(0, (4, 4)), "factor of 1 or more"),
        (lambda: BoxMean(2, (4, 4), (0, -2)), "axes must be distinct"),
        (lambda: BoxMean(5, (4, 4)), r"at least as long, got \(4×4\)"),
        (lambda: shutter(2, 0, (4, 1)), "at least 1 frame"),
        (lambda: shutter(5, 1, (4, 1)), "5 frames needs as many, got 4"),
        (lambda: Bayer("rgb", (3, 4, 4)), "one of rggb, bggr, grbg, gbrg"),
        (lambda: Bayer("rggb", (1, 4, 4)), "three channels"),
        (lambda: resize((0, 4), (8, 8)), "1 or more"),
        (lambda: resize((4, 4), (8, 8), "nearest"), "knows bicubic and area"),  # pyright: ignore[reportArgumentType]
        (lambda: Difference(0, (4,), "backward"), "forward or centred"),  # pyright: ignore[reportArgumentType]
        (lambda: Difference(0, (1, 4)), "axis of 2 entries or more"),
        (lambda: Difference(1, (4, 2), "centred", "periodic"), "axis of 3 entries or more"),
        (lambda: gradient((4, 4, 4), (0, 0, 0)), "a weight that is not 0"),
        (lambda: gradient((4,)), r"needs rows and columns, \(…, H, W\), got \(4\)"),
        (lambda: gaussian(5, 0.0), "positive standard deviations"),
    ],
)
def test_what_is_refused(make, words: str) -> None:
    with pytest.raises(LinopsError, match=words):
        make()


def test_the_gradient_of_a_frame_has_no_differences_in_time() -> None:
    parts = gradient((3, 4), (9.0, 0.5, 2.0)).operators
    assert [A.in_shape[0] - A.out_shape[0] for A in parts] == [1, 0]
    x = torch.arange(12.0).reshape(3, 4)
    assert [float(A(x).mean()) for A in parts] == [0.5 * 4, 2.0]


def test_kernels_turn_and_sum_to_one() -> None:
    assert torch.equal(box(4), torch.full((4, 4), 1 / 16))
    round_one, wide, tall = (
        gaussian(9, 1.3),
        anisotropic_gaussian(9, (2.0, 0.7), 0),
        anisotropic_gaussian(9, (2.0, 0.7), 90),
    )
    torch.testing.assert_close(wide.T, tall)
    torch.testing.assert_close(anisotropic_gaussian(9, (1.3, 1.3), 33.0), round_one)
    for kernel in (round_one, wide, tall):
        assert float(kernel.sum()) == pytest.approx(1)
    offset = torch.arange(9.0) - 4
    variance = [float((k.sum(0) * offset**2).sum()) for k in (wide, tall)]
    assert variance == pytest.approx([2.0**2, 0.7**2], rel=0.25)  # truncated and sampled
    turned = anisotropic_gaussian(9, (2.0, 0.7), 45.0)
    line = motion_line(45, 9)
    assert float((turned * line).sum()) > 2 * float((turned.flip(-1) * line).sum())
