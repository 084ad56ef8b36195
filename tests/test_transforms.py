"""Fourier, cosine and Hadamard transforms against their definitions, and the structure that they give."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linops_video import (
    AxisMatrix,
    BoxMean,
    Convolution,
    Cosine,
    Diagonal,
    Difference,
    Entries,
    Flip,
    Fourier,
    Hadamard,
    Identity,
    LinearOperator,
    Multiplier,
    NormalSolver,
    Roll,
    Select,
    Transpose,
    Wavelet,
    circulant,
    random_hadamard,
)
from linops_video.errors import SpecError


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(n=st.one_of(st.integers(1, 20), st.integers(90, 140)), axis=st.integers(0, 2))
def test_cosine_transform_is_scipys(n: int, axis: int) -> None:
    shape = tuple(n if i == axis else 2 for i in range(3))
    x = random(2, *shape)
    C = Cosine((axis,), shape)
    np.testing.assert_allclose(
        C(x), np.asarray(scipy.fft.dct(x.numpy(), axis=axis + 1, norm="ortho")), rtol=0, atol=1e-13
    )
    np.testing.assert_allclose(
        C.H(x), np.asarray(scipy.fft.idct(x.numpy(), axis=axis + 1, norm="ortho")), rtol=0, atol=1e-13
    )


@pytest.mark.parametrize("axes", [(2, 3), (0, 2, 3), (0, 3), (1, 3)])
def test_a_cosine_transform_in_parts_is_that_of_the_whole(axes: tuple[int, ...], monkeypatch) -> None:
    x = torch.randn(2, 5, 2, 3, 100, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    transform = Cosine(axes, (5, 2, 3, 100))
    whole = transform(x)
    for cached in (0, 2500):
        monkeypatch.setattr("linops_video.algebra.slabs.CACHED", cached)
        torch.testing.assert_close(transform(x), whole, rtol=0, atol=1e-13)
        torch.testing.assert_close(transform.H(whole), x, rtol=0, atol=1e-12)


def test_cosine_transform_over_several_axes_is_scipys() -> None:
    x = random(4, 3, 100, 9)
    expected = np.asarray(scipy.fft.dctn(x.numpy(), axes=(0, 2, 3), norm="ortho"))
    np.testing.assert_allclose(Cosine((0, 2, 3), (4, 3, 100, 9))(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_kernel_in_half_precision_makes_a_circulant(dtype) -> None:
    kernel, x = random(6, 5).to(dtype), random(6, 5)
    torch.testing.assert_close(circulant(kernel, (6, 5))(x), circulant(kernel.double(), (6, 5))(x), rtol=0, atol=1e-5)


def test_a_diagonal_commutes_with_a_transform_along_other_axes() -> None:
    frames = Diagonal(random(4, 1, 1), (4, 5, 6))
    C = Cosine((1, 2), (4, 5, 6))
    assert isinstance(C.gram(frames), Diagonal)
    assert isinstance(C.gram(Diagonal(random(4, 5, 1), (4, 5, 6))), Multiplier)
    assert isinstance(C.outer(C.gram(Diagonal(random(4, 5, 6), (4, 5, 6)))), Diagonal)


@dataclass(frozen=True, eq=False, repr=False)
class Reflection(LinearOperator):
    """I − 2vvᵀ along all axes but those in `axes`, v constant: a transform of a user's, with a field of that name."""

    axes: tuple[int, ...]
    in_shape: tuple[int, ...]

    @property
    def out_shape(self) -> tuple[int, ...]:
        return self.in_shape

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        mixed = [i - len(self.in_shape) for i in range(len(self.in_shape)) if i not in self.axes]
        return x - 2 * x.mean(mixed, keepdim=True)


def test_structure_comes_of_what_a_transform_declares_not_of_how_it_names_its_fields() -> None:
    U, d = Reflection((1,), (4, 3)), Diagonal(random(4, 1), (4, 3))
    A = Multiplier(U, random(4, 3, seed=1)) + d
    assert not isinstance(A, Multiplier)
    M = U.to_dense()
    expected = M.T @ torch.diag(random(4, 3, seed=1).flatten()) @ M + d.to_dense()
    torch.testing.assert_close(A.to_dense(), expected, rtol=0, atol=1e-12)
    assert NormalSolver.of(Multiplier(U, random(4, 3))).method == "exact: Reflection, from the Gram"


AXES = {
    "select": lambda *axes: Select((2, 0), axes[0], (4, 5, 6)),
    "difference": lambda *axes: Difference(axes[0], (4, 5, 6)),
    "matrix": lambda *axes: AxisMatrix(random(3, (4, 5, 6)[axes[0]] if abs(axes[0]) < 3 else 4), axes[0], (4, 5, 6)),
    "box": lambda *axes: BoxMean(2, (4, 5, 6), axes),
    "flip": lambda *axes: Flip(axes, (4, 5, 6)),
    "roll": lambda *axes: Roll((1,) * len(axes), axes, (4, 5, 6)),
    "transpose": lambda *axes: Transpose((*axes, *({0, 1, 2} - {axis % 3 for axis in axes})), (4, 5, 6)),
    "cosine": lambda *axes: Cosine(axes, (4, 5, 6)),
    "fourier": lambda *axes: Fourier(axes, (4, 5, 6)),
}


@pytest.mark.parametrize("name", AXES)
def test_axes_are_counted_from_either_end_and_checked(name: str) -> None:
    make = AXES[name]
    for axis in range(3):
        A, B = make(axis), make(axis - 3)
        torch.testing.assert_close(A.to_dense(), B.to_dense(), rtol=0, atol=0)
        assert getattr(A, "axes", None) == getattr(B, "axes", None) or name == "box"  # so that they know each other
        assert A.gram()._known_norm() == B.gram()._known_norm()
    for axes in ((3,), (-4,)):
        with pytest.raises(SpecError, match="axes must be distinct and in 0 … 2, or -3 … -1 from the last one, got"):
            make(*axes)
    if name not in ("select", "difference", "matrix"):
        with pytest.raises(SpecError, match="axes must be distinct"):
            make(0, -3)


def complex_random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.complex(random(*shape, seed=seed), random(*shape, seed=seed + 100))


@pytest.mark.parametrize("axes", [(0,), (2, 3), (3, 0), (0, 1, 2, 3), ()])
def test_fourier_transform_is_numpys(axes: tuple[int, ...]) -> None:
    x = complex_random(2, 4, 3, 5, 6)
    F = Fourier(axes, (4, 3, 5, 6))
    dims = [axis + 1 for axis in axes]
    expected = np.fft.fftn(x.numpy(), axes=dims, norm="ortho") if axes else x.numpy()
    np.testing.assert_allclose(F(x), expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(F.H(F(x)), x, rtol=0, atol=1e-13)


def test_fourier_transform_of_a_real_tensor_is_complex() -> None:
    F, x = Fourier((0,), (5,)), random(5)
    assert F.is_complex()
    assert F(x).dtype == F.H(x).dtype == torch.complex128
    assert F(x.half()).dtype == torch.complex64
    torch.testing.assert_close(F.H(F(x)).real, x)


def test_a_gram_of_fourier_samples_is_a_circular_convolution() -> None:
    shape = (3, 6, 5)
    mask = (random(1, 6, 5) > 0).double()
    G = (Diagonal(mask, shape) @ Fourier((1, 2), shape)).gram()
    assert isinstance(G, Multiplier)
    kernel = torch.fft.ifft2(mask[0].to(torch.complex128))
    torch.testing.assert_close(G.to_dense(), circulant(kernel, shape).to_dense())


def test_the_real_part_of_a_solve_is_the_solution_over_real_videos() -> None:
    """Where the mask is the same at k and −k, as the docstring of Fourier says."""
    shape = (6, 5)
    mask = (random(6, 5) > 0).double()
    mask = torch.maximum(mask, mask.flip(0, 1).roll((1, 1), (0, 1)))
    A = Diagonal(mask, shape) @ Fourier((0, 1), shape)
    v, y, M = random(6, 5), complex_random(6, 5, seed=1), A.to_dense()
    got = NormalSolver.of(A).prox(0.3, v, y).real.flatten()
    G, b = (M.mH @ M).real + 0.3 * torch.eye(30, dtype=torch.float64), (M.mH @ y.flatten()).real + 0.3 * v.flatten()
    torch.testing.assert_close(got, torch.linalg.solve(G, b))


@pytest.mark.parametrize("n", [1, 2, 3, 6, 8, 12, 40, 64, 99, 202])
def test_hadamard_transform_is_its_definition(n: int) -> None:
    signs = random(n, seed=2).sign()
    odd = n // (n & -n)
    W = scipy.linalg.hadamard(n & -n) / math.sqrt(n & -n)
    expected = np.kron(np.asarray(scipy.fft.dct(np.eye(odd), axis=0, norm="ortho")), np.asarray(W)) * signs.numpy()
    H = Hadamard(signs.to(torch.int8), (n,))
    np.testing.assert_allclose(H.to_dense(), expected, rtol=0, atol=1e-13)


def test_hadamard_transform_over_several_axes_is_a_kronecker_product() -> None:
    shape = (3, 4, 10)
    ones = [Hadamard(torch.ones(n), (n,)).to_dense() for n in shape]
    signs = random(*shape).sign()
    expected = torch.kron(torch.kron(ones[0], ones[1]), ones[2]) * signs.flatten()
    torch.testing.assert_close(Hadamard(signs, shape).to_dense(), expected)


@settings(max_examples=20, deadline=None)
@given(
    shape=st.lists(st.integers(1, 30), min_size=1, max_size=4).map(tuple), share=st.floats(0.01, 1), seed=st.integers()
)
def test_random_rows_are_orthonormal_at_any_size(shape: tuple[int, ...], share: float, seed: int) -> None:
    rows = math.ceil(share * math.prod(shape))
    A = random_hadamard(rows, shape, seed=seed % 1000)
    assert isinstance(A.outer(), Identity)
    y = random(rows)
    torch.testing.assert_close(A(A.H(y)), y, rtol=0, atol=1e-12)
    assert torch.equal(A(A.H(y)), random_hadamard(rows, shape, seed=seed % 1000)(A.H(y)))


def test_random_hadamard_spreads_every_entry_and_draws_by_its_seed() -> None:
    shape = (4, 3, 16, 16)
    A, B = random_hadamard(300, shape, seed=0), random_hadamard(300, shape, seed=1)
    impulse = torch.zeros(shape, dtype=torch.float64)
    impulse[1, 2, 3, 4] = 1
    assert float(A(impulse).abs().max()) <= 2 * float(A(impulse).abs().median())  # √2 of the DCT over three channels
    assert not torch.equal(A(impulse).abs(), B(impulse).abs())
    with pytest.raises(SpecError, match="must be in 1 … 3072"):
        random_hadamard(4000, shape)


def test_random_hadamard_stores_no_matrix() -> None:
    shape = (16, 3, 64, 64)
    A = random_hadamard(math.prod(shape) // 10, shape)
    assert sum(t.numel() * t.element_size() for t, _ in A._tensors()) <= 2 * math.prod(shape)


def test_entries_are_those_of_the_flattened_tensor() -> None:
    x = random(2, 3, 4)
    A = Entries(torch.tensor([11, 0, 5]), (3, 4))
    torch.testing.assert_close(A(x), x.flatten(1)[:, [11, 0, 5]])


def test_complex_convolution_is_scipys() -> None:
    h, x = complex_random(3, 2), complex_random(2, 6, 5, seed=1)
    for boundary in ("full", "same", "valid", "circular"):
        mode, edge = ("same", "wrap") if boundary == "circular" else (boundary, "fill")
        for kernel, data in ((h, x), (h, x.real), (h.real, x)):
            values = [scipy.signal.convolve2d(f, kernel, mode=mode, boundary=edge) for f in data.numpy()]
            got = Convolution(kernel, (2, 6, 5), boundary)(data)  # type: ignore[arg-type]
            np.testing.assert_allclose(got, np.stack(values), rtol=0, atol=1e-12)


def test_wavelet_multipliers_and_transforms_undo_each_other() -> None:
    W, d = Wavelet((8, 12), "db2", 2), Diagonal(random(8, 12), (8, 12))
    assert isinstance(W.gram(d), Multiplier)
    assert isinstance(W.outer(W.gram(d)), Diagonal)
