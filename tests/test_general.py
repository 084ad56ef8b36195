"""Einsum, warping and linear functions: what they return, and what they refuse."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from zoo import normal_numbers

from linops_video import AxisMatrix, Diagonal, Kron, LinearOperator, NormalSolver, Warp, einsum, linear_function
from linops_video.algebra.operator import Compose
from linops_video.errors import LinopsError, ShapeError, SpecError
from linops_video.operators.einsum import Einsum
from linops_video.testing import check_operator

SHAPE = (4, 3, 6, 5)
TEXTS: list[tuple[str, tuple[int, ...], type[LinearOperator]]] = [
    ("t c h w, -> w t c h", (), LinearOperator),
    ("t c h w, d c -> t d h w", (2, 3), AxisMatrix),
    ("t c h w, c d -> t d h w", (3, 2), AxisMatrix),
    ("t c h w, d c -> d t h w", (2, 3), Compose),
    ("t c h w, m h w -> t c m", (7, 6, 5), Kron),
    ("t c h w, t c m -> m h w", (4, 3, 2), Kron),
    ("t c h w, a b c h -> t a b w", (2, 2, 3, 6), Kron),
    ("t c h w, h t -> t c h w", (6, 4), Diagonal),
    ("t c h w, t d c -> t d h w", (4, 2, 3), Einsum),
    ("t c h w, t h w -> c h w", (4, 6, 5), Einsum),
    ("t c h w, t w k -> c h k", (4, 5, 2), Einsum),
]


@pytest.mark.parametrize(("text", "shape", "kind"), TEXTS, ids=[text for text, _, _ in TEXTS])
def test_einsum_is_torchs(text: str, shape: tuple[int, ...], kind: type[LinearOperator]) -> None:
    r = normal_numbers(0)
    tensor, x = r(1, *shape)[0], r(*SHAPE)
    A = einsum(text, tensor, SHAPE)
    assert isinstance(A, kind)
    left, right = text.replace(" ", "").split("->")
    torch.testing.assert_close(A(x), torch.einsum(f"{left}->{right}", x, tensor), rtol=1e-12, atol=1e-12)


def test_einsum_of_a_batch_of_tensors() -> None:
    r = normal_numbers(0)
    for text, shape, _ in TEXTS:
        tensors, x = r(2, *shape), r(2, *SHAPE)
        each = torch.stack([einsum(text, tensors[i], SHAPE)(x[i]) for i in range(2)])
        torch.testing.assert_close(einsum(text, tensors, SHAPE)(x), each, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("t c h w, d c", SpecError, "a text like"),
        ("t c h w -> t c h", SpecError, "a text like"),
        ("t c h 4, d c -> t d h 4", SpecError, "a text like"),
        ("t c c w, d c -> t d w", SpecError, "once on each side, got t c c w"),
        ("t c h w, d c -> t d h", SpecError, "w stands in one place only"),
        ("t c h w, k c -> t d h w", SpecError, "k, d stands in one place only"),
        ("c h w, d c -> d h w", ShapeError, "names 3 axes"),
        ("t c h w, d h -> t d c w", ShapeError, "axis h has 6 entries in x and 3 in the tensor"),
    ],
)
def test_einsum_refuses(text: str, error: type[LinopsError], words: str) -> None:
    with pytest.raises(error, match=words):
        einsum(text, torch.ones(2, 3), SHAPE)


def test_warp_is_a_bilinear_lookup() -> None:
    r = normal_numbers(0)
    x, flow = r(2, *SHAPE), 3 * r(2, 4, 2, 6, 5)
    rows, columns = torch.meshgrid(torch.arange(6.0).double(), torch.arange(5.0).double(), indexing="ij")
    u, v = flow[..., 0, :, :] + columns, flow[..., 1, :, :] + rows
    grid = torch.stack((2 * u / 4 - 1, 2 * v / 5 - 1), -1).flatten(0, 1)
    expected = F.grid_sample(x.flatten(0, 1), grid, align_corners=True).reshape(x.shape)
    torch.testing.assert_close(Warp(flow, SHAPE)(x), expected, rtol=0, atol=1e-12)


def test_warp_trains_its_flow() -> None:
    r = normal_numbers(0)
    shape, x = (2, 1, 3, 4), r(2, 1, 3, 4)
    flow = (0.3 + 0.1 * r(2, 2, 3, 4)).requires_grad_()  # away from whole pixels, where the derivative jumps
    assert torch.autograd.gradcheck(lambda flow: Warp(flow, shape)(x), flow)
    assert torch.autograd.gradcheck(lambda flow: Warp(flow, shape).H(x), flow)


def test_warp_needs_a_flow_that_fits() -> None:
    with pytest.raises(ShapeError, match=r"flow of shape \(4×2×6×5\), got \(4×2×5×6\)"):
        Warp(torch.zeros(4, 2, 5, 6), SHAPE)


def numpy_function(x: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(x.detach().numpy() * 2)


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (lambda x: x + 1, "not linear"),
        (lambda x: x.abs(), "not linear"),
        (lambda x: x.clamp(max=2.5), "not linear"),
        (lambda x: x.float(), "keep the precision"),
        (lambda x: torch.ones(4, 4).to(x) @ x, "failed on one"),
        (torch.nn.Linear(4, 2), "not linear"),  # it has a bias
        (lambda x: x.reshape(5), "failed on one"),
        (lambda x: (x, x), "must make one tensor, and made a tuple"),
        (numpy_function, "cannot be differentiated"),
    ],
)
def test_functions_that_are_no_operators(fn, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        linear_function(fn, (3, 4))


def test_function_with_constants_that_follow_and_without_batch_axes() -> None:
    kernel = torch.ones(3, 1, 2, 2)
    A = linear_function(lambda x: F.conv2d(x[None], kernel.to(x), groups=3)[0], (3, 5, 4))
    x = normal_numbers(0)(2, 1, 3, 5, 4)
    assert A.out_shape == (3, 4, 3)
    torch.testing.assert_close(A(x)[1, 0], F.conv2d(x[1], kernel.double(), groups=3)[0])
    assert A(x.float()).dtype == torch.float32


def test_layers_of_networks_keep_their_precision() -> None:
    layer = torch.nn.Conv2d(3, 2, 3, bias=False)
    check_operator(linear_function(layer.requires_grad_(False), (3, 5, 4)), dtype=torch.float32)
    A = linear_function(layer.requires_grad_(True), (3, 5, 4))
    x = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    for dtype in (torch.float32, torch.float64, torch.complex128):
        y = A(x.to(dtype))
        assert y.dtype == A.H(y).dtype == dtype
        torch.testing.assert_close(y.real.float(), layer(x))
    A(x.double()).sum().backward()
    assert layer.weight.grad is not None


FUNCTIONS = {
    "of real tensors alone": lambda x: torch.fft.rfft(x),
    "real of an FFT": lambda x: torch.fft.fft(x).real,
    "of complex tensors": lambda x: torch.fft.fft(x),
    "real": lambda x: x.cumsum(0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_act_on_real_and_imaginary_parts(name: str) -> None:
    r = normal_numbers(0)
    A = linear_function(FUNCTIONS[name], (5,))
    M = torch.stack([FUNCTIONS[name](column) for column in torch.eye(5, dtype=torch.float64)], -1).to(torch.complex128)
    x, y = (torch.complex(r(2, n), r(2, n)) for n in (5, len(M)))
    torch.testing.assert_close(A(x).to(M), x @ M.T, rtol=0, atol=1e-12)
    torch.testing.assert_close(A.H(y).to(M), y @ M.conj(), rtol=0, atol=1e-12)
    assert A(x.real).is_complex() == A.is_complex()
    if not A.is_complex():
        torch.testing.assert_close(A.T(y.real).to(M), y.real.to(M) @ M, rtol=0, atol=1e-12)


def test_a_complex_einsum_whose_gram_is_a_multiple_of_the_identity() -> None:
    r = normal_numbers(0)
    M = torch.complex(r(1, 2), r(1, 2))
    A = einsum("t h, t d -> t d h", M, (1, 3))
    b = torch.complex(r(1, 3), r(1, 3))
    torch.testing.assert_close(NormalSolver.of(A)(0.5, b), b / (M.abs().square().sum() + 0.5))
