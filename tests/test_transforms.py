"""Fourier, cosine and Hadamard transforms against their definitions, and the structure that they give."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linops_video import Cosine, Diagonal, Multiplier
from linops_video.errors import SpecError


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(n=st.one_of(st.integers(1, 20), st.integers(90, 140)), axis=st.integers(0, 2))
def test_cosine_transform_is_scipys(n: int, axis: int) -> None:
    shape = tuple(n if i == axis else 2 for i in range(3))
    x = random(2, *shape)
    C = Cosine((axis,), shape)
    np.testing.assert_allclose(C(x), scipy.fft.dct(x.numpy(), axis=axis + 1, norm="ortho"), rtol=0, atol=1e-13)
    np.testing.assert_allclose(C.H(x), scipy.fft.idct(x.numpy(), axis=axis + 1, norm="ortho"), rtol=0, atol=1e-13)


def test_cosine_transform_over_several_axes_is_scipys() -> None:
    x = random(4, 3, 100, 9)
    expected = scipy.fft.dctn(x.numpy(), axes=(0, 2, 3), norm="ortho")
    np.testing.assert_allclose(Cosine((0, 2, 3), (4, 3, 100, 9))(x), expected, rtol=0, atol=1e-12)


def test_a_diagonal_commutes_with_a_transform_along_other_axes() -> None:
    frames = Diagonal(random(4, 1, 1), (4, 5, 6))
    C = Cosine((1, 2), (4, 5, 6))
    assert isinstance(C.gram(frames), Diagonal)
    assert isinstance(C.gram(Diagonal(random(4, 5, 1), (4, 5, 6))), Multiplier)
    assert isinstance(C.outer(C.gram(Diagonal(random(4, 5, 6), (4, 5, 6)))), Diagonal)


def test_axes_are_checked() -> None:
    for axes in ((0, 0), (3,), (-1,)):
        with pytest.raises(SpecError, match="distinct and in 0 … 2"):
            Cosine(axes, (4, 5, 6))
