"""The normal solve where it is not covered by the zoo's laws: iterative solves, large frames, gradients, float32."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

from linops_video import ConvergenceWarning, Convolution, Diagonal, NormalSolver, forward_model
from linops_video.inverse import IterativeInverse
from linops_video.kernels import disk
from linops_video.krylov import conjugate_gradient
from linops_video.parameters import like


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def masked_blur(shape: tuple[int, ...]) -> Diagonal:
    mask = (random(*shape) > 0).double()
    return Diagonal(mask, shape) @ Convolution(disk(4, 2.0).double(), shape, "circular")  # type: ignore[return-value]


def test_iterative_solve_reports_its_residual_per_sample() -> None:
    A = masked_blur((2, 8, 8))
    normal = NormalSolver.of(A)
    assert "cg" in normal.method
    b = random(3, 2, 8, 8)
    rho = torch.tensor([1e-2, 1.0, 10.0], dtype=torch.float64)
    solved = normal.solve(rho, b)
    assert solved.iterations.shape == solved.residual.shape == (3,)
    assert bool((solved.iterations > 0).all())
    assert int(solved.iterations[0]) > int(solved.iterations[2])
    z = solved.x
    residual = torch.linalg.vector_norm(A.H(A(z)) + rho.reshape(3, 1, 1, 1) * z - b, dim=(1, 2, 3))
    assert torch.allclose(residual / torch.linalg.vector_norm(b, dim=(1, 2, 3)), solved.residual, rtol=1e-6)
    assert bool((solved.residual <= 1e-6).all())


def test_a_batch_is_not_one_system() -> None:
    A = masked_blur((2, 8, 8))
    normal, b = NormalSolver.of(A), random(3, 2, 8, 8) * torch.tensor([1e-6, 1.0, 1e6]).reshape(3, 1, 1, 1)
    together = normal.solve(0.1, b)
    for i in range(3):
        alone = normal.solve(0.1, b[i])
        assert torch.allclose(together.x[i], alone.x, rtol=1e-9, atol=0)
        assert int(together.iterations[i]) == int(alone.iterations)


def test_exact_solves_report_a_residual_too() -> None:
    normal = NormalSolver.of(forward_model("sr2", (2, 1, 8, 8)).operator)
    solved = normal.solve(0.3, random(2, 1, 8, 8))
    assert int(solved.iterations) == 0
    assert float(solved.residual) < 1e-14


def test_same_convolution_is_exact_when_small_and_preconditioned_when_large() -> None:
    small = Convolution(disk(4, 2.0), (1, 1, 32, 32), "same")
    assert NormalSolver.of(small).method == "exact: eigh of 1024×1024, from the Gram"
    large = Convolution(disk(4, 2.0), (1, 1, 144, 176), "same")
    normal = NormalSolver.of(large)
    assert normal.method == "cg, preconditioned by FFT"
    b = random(1, 1, 144, 176, dtype=torch.float32)
    preconditioned = normal.solve(1e-3, b)
    plain = NormalSolver(large, "cg", IterativeInverse(large, "cg", None, 1e-6)).solve(1e-3, b)
    assert float(preconditioned.residual) <= 1e-5
    assert int(preconditioned.iterations) < 0.6 * int(plain.iterations)


@pytest.mark.parametrize("boundary", ["full", "valid"])
def test_large_frames_are_inverted_exactly(boundary: str) -> None:
    A = Convolution(disk(4, 2.0).double(), (1, 1, 144, 176), boundary)  # type: ignore[arg-type]
    normal = NormalSolver.of(A)
    assert "cg" not in normal.method
    for rho in (1e-6, 1e-3, 1.0):
        solved = normal.solve(rho, random(1, 1, 144, 176))
        growth = float(torch.linalg.vector_norm(solved.x)) / 144  # ‖x‖/‖b‖, and ‖A‖ = 1: the backward error's scale
        assert float(solved.residual) < 1e-13 * growth + 1e-13


def test_too_few_steps_warn() -> None:
    A = Convolution(disk(7, 3.5), (1, 1, 96, 96), "same")
    with pytest.warns(ConvergenceWarning, match="relative residual"):
        NormalSolver.of(A)(1e-9, random(1, 1, 96, 96, dtype=torch.float32))


def test_implicit_gradient_of_the_iterative_solve() -> None:
    A = masked_blur((1, 4, 4))
    normal = NormalSolver.of(A)
    assert "cg" in normal.method
    rho = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    b = random(2, 1, 4, 4).requires_grad_()
    assert gradcheck(normal, (rho, b), atol=1e-4, rtol=1e-4)
    y, v = random(2, 1, 4, 4, seed=1).requires_grad_(), random(2, 1, 4, 4, seed=2).requires_grad_()
    assert gradcheck(normal.prox, (rho, v, y), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["pid", "sr2", "cs", "vcs", "dd", "tdd", "md", "fi2", "color"])
def test_gradient_of_the_exact_data_step(name: str) -> None:
    shape = (2, 3, 4, 4)
    A = forward_model(name, shape).operator.to(dtype=torch.float64)
    normal = NormalSolver.of(A)
    rho = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    v, y = random(*shape).requires_grad_(), random(*A.out_shape).requires_grad_()
    assert gradcheck(normal.prox, (rho, v, y))


@pytest.mark.parametrize("rho", [1e-4, 1e-2, 1.0, 100.0])
@pytest.mark.parametrize("name", ["pid", "sr4", "cs", "vcs", "dd", "tdd", "md", "fi2", "color"])
def test_float32_data_step_keeps_its_digits(name: str, rho: float) -> None:
    shape = (4, 3, 16, 16)
    A = forward_model(name, shape).operator
    v, y = random(*shape, dtype=torch.float32), random(*A.out_shape, seed=1, dtype=torch.float32)
    exact = A.to(dtype=torch.float64)
    rho *= float(exact.norm()) ** 2
    single = NormalSolver.of(A).prox(rho, v, y).double()
    double = NormalSolver.of(exact).prox(rho, v.double(), y.double())
    assert float((single - double).norm() / double.norm()) <= 1e-5


def test_noise_free_deblurring_at_the_size_of_a_video() -> None:
    model = forward_model("dd", (2, 3, 144, 176))
    video = torch.nn.functional.interpolate(torch.rand(2, 3, 9, 11), (144, 176), mode="bicubic", align_corners=False)
    problem = model.measure(video)
    error = (NormalSolver.of(problem.operator).pinv(problem.y) - video).square().mean()
    assert float(-10 * torch.log10(error)) > 95


def test_conjugate_gradient_on_a_dense_system() -> None:
    M = random(6, 6)
    G = M @ M.mT + torch.eye(6, dtype=torch.float64)
    b = random(2, 6)
    solved = conjugate_gradient(lambda x: x @ G, b, event_ndim=1, rtol=1e-12)
    assert torch.allclose(solved.x, torch.linalg.solve(G, b.mT).mT, rtol=1e-8)
    zero = conjugate_gradient(lambda x: x @ G, torch.zeros(2, 6, dtype=torch.float64), event_ndim=1)
    assert bool((zero.iterations == 0).all())
    assert not bool(zero.x.any())


def test_parameters_follow_the_precision_of_the_data() -> None:
    assert like(torch.ones(1), torch.ones(1, dtype=torch.float64)).dtype == torch.float64
    assert like(torch.ones(1, dtype=torch.complex64), torch.ones(1, dtype=torch.float64)).dtype == torch.complex128
    assert like(2.0, torch.ones(1)) == 2.0
