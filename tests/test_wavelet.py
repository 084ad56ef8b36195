"""The wavelet transform: PyWavelets is its oracle, orthonormality its law."""

import warnings

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linops_video import Identity, Wavelet, parse
from linops_video.algebra.operator import Scaled
from linops_video.errors import ShapeError, SpecError
from linops_video.testing import check_operator

NAMES = ["haar", "db2", "db4", "db11", "sym5", "coif2"]


def video(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def oracle(x, wavelet, levels, axes=None):
    """PyWavelets' coefficients in one array; it has no level 0, and warns where boundaries reach everywhere."""
    if levels == 0:
        return x.numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return pywt.coeffs_to_array(pywt.wavedecn(x.numpy(), wavelet, "periodization", levels, axes), axes=axes)[0]


FAMILIES = [
    name
    for family in ("haar", "db", "sym", "coif")
    for name in pywt.wavelist(family)  # pyright: ignore[reportAttributeAccessIssue]
]


@pytest.mark.parametrize("wavelet", FAMILIES)
def test_every_orthogonal_family_is_pywavelets(wavelet):
    for n in (38, 160):  # shorter and longer than most filters
        x = video(3, n)
        W = Wavelet((n,), wavelet, 1)
        np.testing.assert_allclose(W(x).numpy(), oracle(x, wavelet, 1, axes=(1,)), rtol=0, atol=1e-12)
        torch.testing.assert_close(W.H(W(x)), x, rtol=0, atol=1e-10)


@settings(max_examples=60, deadline=None)
@given(
    wavelet=st.sampled_from(NAMES),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 3), st.integers(1, 21), st.integers(1, 33)),
    levels=st.integers(0, 4),
)
def test_equal_levels_are_pywavelets(wavelet, shape, levels):
    x = video(*shape)
    W = Wavelet(shape, wavelet, levels)
    y = W(x)
    expected = oracle(x, wavelet, levels, axes=(0, 2, 3))
    assert W.out_shape == expected.shape
    np.testing.assert_allclose(y.numpy(), expected, rtol=0, atol=1e-12)
    # PyWavelets' taps are orthonormal to 1e-12, and a level has up to eight of those errors
    torch.testing.assert_close(W.inverse(y), x, rtol=0, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(
    wavelets=st.tuples(*[st.sampled_from(NAMES)] * 3),
    levels=st.tuples(*[st.integers(0, 3)] * 3),
    smallest=st.tuples(*[st.integers(1, 3)] * 3),
)
def test_each_level_transforms_the_axes_that_have_levels_left(wavelets, levels, smallest):
    corner = [n * 2**depth for n, depth in zip(smallest, levels, strict=True)]
    x = video(*corner)
    W = Wavelet(tuple(corner), wavelets, levels)
    expected = x.numpy().copy()
    for level in range(1, max(levels) + 1):
        window = tuple(slice(n) for n in corner)
        block = expected[window]
        for axis in range(3):
            if levels[axis] >= level:
                block = np.concatenate(pywt.dwt(block, wavelets[axis], "periodization", axis), axis)
                corner[axis] //= 2
        expected[window] = block
    np.testing.assert_allclose(W(x).numpy(), expected, rtol=0, atol=1e-12)
    assert W.approximation_shape == smallest


@settings(max_examples=40, deadline=None)
@given(
    wavelet=st.sampled_from(NAMES),
    levels=st.tuples(*[st.integers(0, 3)] * 3),
    shape=st.tuples(*[st.integers(1, 7)] * 3),
)
def test_adjoint_and_inverse_at_any_size(wavelet, levels, shape):
    W = Wavelet(shape, wavelet, levels)
    x = video(2, *shape)
    torch.testing.assert_close(W.inverse(W(x)), x, rtol=0, atol=1e-10)
    torch.testing.assert_close(W.H.to_dense(), W.to_dense().mT, rtol=0, atol=1e-12)


@pytest.mark.parametrize("wavelet", NAMES)
def test_even_lengths_are_orthonormal_and_say_so(wavelet):
    W = Wavelet((4, 3, 8, 12), wavelet, (2, 0, 3, 2))
    assert W.out_shape == W.in_shape
    dense = W.to_dense()
    torch.testing.assert_close(dense @ dense.mT, torch.eye(len(dense), dtype=torch.float64), rtol=0, atol=1e-11)
    assert isinstance(W.gram(), Identity)
    assert isinstance(W.outer(), Identity)
    weighted = W.gram(3.0 * Identity(W.out_shape))
    assert isinstance(weighted, Scaled)
    assert weighted.factor == 3.0
    assert W.norm() == 1.0


def test_odd_lengths_claim_no_structure_that_they_lack():
    W = Wavelet((5, 1, 7, 6), "db2", 2)
    assert W.out_shape == (7, 1, 8, 7)
    dense = W.to_dense()
    torch.testing.assert_close(W.gram().to_dense(), dense.mT @ dense, rtol=0, atol=1e-12)
    torch.testing.assert_close(W.outer().to_dense(), dense @ dense.mT, rtol=0, atol=1e-12)
    assert W.norm().item() == pytest.approx(torch.linalg.matrix_norm(dense, 2).item(), rel=1e-5)


@pytest.mark.parametrize("shape", [(8, 3, 16, 16), (5, 1, 7, 9)])
def test_the_public_checks_pass(shape):
    check_operator(Wavelet(shape, "db2", (1, 0, 2, 1)))


@pytest.mark.parametrize("wavelet", ["haar", "db4"])
@pytest.mark.parametrize("n", [296, 299])
def test_long_axes(wavelet, n):
    """Beyond 6 entries per tap the taps are applied one by one, below that as a matrix."""
    W = Wavelet((2, n, 3), wavelet, (0, 3, 0))
    x = video(4, *W.in_shape)
    expected = np.concatenate(pywt.wavedec(x.numpy(), wavelet, "periodization", 3, axis=-2), -2)
    np.testing.assert_allclose(W(x).numpy(), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(W.inverse(W(x)), x, rtol=0, atol=1e-10)
    y = video(4, *W.out_shape, seed=1)
    assert (W(x) * y).sum().item() == pytest.approx((x * W.H(y)).sum().item(), rel=1e-11)


def test_levels_of_a_video_are_those_of_time_and_space():
    shape, x = (8, 3, 8, 16), video(8, 3, 8, 16)
    for few, four in ((1, (1, 0, 1, 1)), ((2, 1, 3), (2, 0, 1, 3))):
        W = Wavelet(shape, "db2", few)
        assert torch.equal(W(x), Wavelet(shape, "db2", four)(x))
        assert isinstance(W.gram(), Identity)
    assert torch.equal(parse("wavelet(haar, 2)", shape)(x), Wavelet(shape, "haar", (2, 0, 2, 2))(x))
    assert Wavelet((4, 4, 4, 4), "haar", (1, 1, 1, 1)).approximation_shape == (2, 2, 2, 2)
    assert Wavelet((4, 4, 4), "haar", 1).approximation_shape == (2, 2, 2)


def test_precision_follows_the_input():
    W = Wavelet((2, 1, 8, 8), "db4", (1, 0, 2, 2))
    x = video(2, 1, 8, 8)
    assert W(x.float()).dtype == torch.float32
    torch.testing.assert_close(W(x.float()).double(), W(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (((4, 1, 8, 8), "db99", 1), SpecError, "unknown wavelet 'db99'"),
        (((4, 1, 8, 8), "bior2.2", 1), SpecError, "not orthonormal"),
        (((4, 1, 8, 8), "dmey", 1), SpecError, "not orthonormal"),  # to 2e-3 only
        (((4, 1, 8, 8), "haar", -1), SpecError, "0 or more"),
        (((4, 1, 8, 8), "haar", (1, 1)), ShapeError, "4 axes"),
        (((4, 1, 8, 8), ("haar",), 1), ShapeError, "4 axes"),
    ],
)
def test_bad_arguments_are_told(arguments, error, words):
    with pytest.raises(error, match=words):
        Wavelet(*arguments)
