"""The normal solve where it is not covered by the zoo's laws: iterative solves, large frames, float32."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from small import KERNEL, SMALL, keep_most, masked_blur, random

from linops_video import (
    AxisMatrix,
    BlockDiagonal,
    BoxMean,
    ConvergenceWarning,
    Convolution,
    Dense,
    Diagonal,
    Identity,
    LinearOperator,
    NormalSolver,
    Select,
    Shape,
    Stack,
    batch,
    forward_model,
)
from linops_video.algebra.krylov import conjugate_gradient
from linops_video.algebra.parameters import like
from linops_video.errors import DtypeError, SpecError
from linops_video.inverses.inverse import IterativeInverse
from linops_video.operators.kernels import disk
from linops_video.operators.multiplier import Multiplier
from linops_video.problems.description import describe
from linops_video.testing import check_operator


def test_a_solver_is_shown_without_its_numbers() -> None:
    normal = NormalSolver.of(masked_blur((1, 1, 8, 8)), weight=Diagonal(keep_most(1, 1, 8, 8), (1, 1, 8, 8)))
    assert repr(normal) == (
        "NormalSolver(operator=Compose((1×1×8×8) → (1×1×8×8)), method='cg, preconditioned by FFT', "
        "weight=Diagonal((1×1×8×8) → (1×1×8×8)))"
    )


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


@pytest.mark.parametrize("boundary", ["same", "reflect", "symmetric", "full"])
def test_separable_kernels_are_exact_on_large_frames_in_both_precisions(boundary: str) -> None:
    line = torch.exp(-((torch.arange(7) - 2.7) ** 2) / 4)
    kernel = torch.outer(line, line.flip(0)) / line.sum() ** 2
    for dtype, bar in ((torch.float32, 1e-6), (torch.float64, 1e-12)):
        own = kernel if dtype == torch.float32 else torch.outer(line.double(), line.double())
        A = Convolution(own, (1, 1, 90, 110), boundary)  # type: ignore[arg-type]
        normal = NormalSolver.of(A)
        assert normal.exact
        b, norm = random(1, 1, 90, 110, dtype=dtype), float(A.norm())
        for rho in (1e-6 * norm**2, 0.1 * norm**2):
            z = normal(rho, b).double()
            residual = A.to(dtype=torch.float64).gram()(z) + rho * z - b
            assert float(residual.norm() / ((norm**2 + rho) * z.norm() + b.norm())) <= bar


def test_frames_whose_margins_are_too_large_together_are_solved_by_iteration() -> None:
    shape, blur = (6, 1, 300, 300), Convolution(disk(7, 3.5), (1, 1, 300, 300), "valid")
    parts = tuple(blur @ Select((t,), 0, shape) for t in range(6))
    assert NormalSolver.of(Stack(parts[:4])).exact
    assert not NormalSolver.of(Stack(parts)).exact


def test_singular_values_that_are_too_far_apart_are_not_taken_apart() -> None:
    shape = (2, 1, 6, 5)
    blur = Convolution(torch.tensor([[1.0, 2.0], [3.0, 5.0]]), shape, "full")
    for smallest, way in ((1e-5, "exact"), (1e-7, "cg"), (0.0, "exact")):
        mix = AxisMatrix(torch.tensor([[1.0, 1.0], [smallest, -smallest]], dtype=torch.float64), 0, shape)
        assert NormalSolver.of(blur @ mix).method.startswith(way)


def test_too_few_steps_warn() -> None:
    A = Convolution(disk(7, 3.5), (1, 1, 64, 64), "same")
    with pytest.warns(ConvergenceWarning, match="a relative error of up to"):
        NormalSolver.of(A)(1e-9, random(1, 1, 64, 64, dtype=torch.float32))


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


def test_warm_start_and_tolerance() -> None:
    A = masked_blur((2, 8, 8))
    normal, b = NormalSolver.of(A, rtol=1e-9), random(2, 8, 8)
    cold = normal.solve(0.01, b)
    assert float(cold.residual) <= 1e-9
    near = b + 1e-4 * random(2, 8, 8, seed=1)
    assert int(normal.solve(0.01, near, start=cold.x).iterations) < int(normal.solve(0.01, near).iterations)
    assert int(NormalSolver.of(A, rtol=1e-2).solve(0.01, b).iterations) < int(cold.iterations)


def test_a_solver_is_moved_with_its_weight_and_tolerance() -> None:
    shape = (2, 8, 8)
    mask, weight, b = (
        Diagonal(random(*shape).float(), shape),
        Diagonal(random(*shape).float() ** 2, shape),
        random(*shape),
    )
    wide = NormalSolver.of(mask, weight).to(dtype=torch.float64)
    assert wide.operator.dtype == torch.float64
    expected = NormalSolver.of(mask.to(dtype=torch.float64), weight.to(dtype=torch.float64))(0.3, b)
    torch.testing.assert_close(wide(0.3, b), expected, rtol=0, atol=0)
    A = masked_blur(shape)
    rough = NormalSolver.of(A, rtol=1e-2).to(dtype=torch.float64)
    torch.testing.assert_close(rough(0.3, b), NormalSolver.of(A, rtol=1e-2)(0.3, b), rtol=0, atol=0)
    both = NormalSolver.of(batch([mask, A, mask]), rtol=1e-2).to(dtype=torch.float64)
    assert both.solvers[0] is both.solvers[2]  # type: ignore[attr-defined]
    for got, solver in zip(both(0.3, b.expand(3, *shape)), (mask.to(dtype=torch.float64), A, mask), strict=True):
        torch.testing.assert_close(
            got, NormalSolver.of(solver.to(dtype=torch.float64), rtol=1e-2)(0.3, b), rtol=0, atol=0
        )
    with pytest.raises(DtypeError, match="takes the device first"):
        wide.to(torch.float32)  # type: ignore[arg-type]


def test_what_is_known_of_the_spectrum() -> None:
    with pytest.raises(SpecError, match="iteration"):
        NormalSolver.of(masked_blur((2, 8, 8))).eigenvalues()
    with pytest.raises(SpecError, match="eigenvalues"):
        NormalSolver.of(Convolution(KERNEL, SMALL, "full")).singular_values()


def test_data_step_sees_singular_values_that_the_gram_rounds_to_zero() -> None:
    singular, rho = torch.tensor([1.0, 1e-3, 1e-9], dtype=torch.float64), 1e-2
    for seed in range(8):
        numbers = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        left, right = torch.linalg.qr(numbers).Q
        normal = NormalSolver.of(Dense(left * singular @ right.mT, (3,), (3,)))
        gains = right.mT @ normal.prox(rho, torch.zeros_like(singular), left.sum(-1))
        assert float((gains - singular / (singular**2 + rho)).abs().max()) <= 1e-12


def test_solve_from_the_outer_product_near_the_cut_of_the_pseudoinverse() -> None:
    numbers = torch.randn(2, 24, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    left, right = torch.linalg.qr(numbers[0, :6, :6]).Q, torch.linalg.qr(numbers[1]).Q[:6]
    singular = torch.logspace(0, -5.9, 6, dtype=torch.float64)
    M = left * singular @ right
    normal = NormalSolver.of(AxisMatrix(M, 0, (24, 2)))
    assert normal.method == "exact: eigh of 6×6, from the outer product"
    b = random(24, 2)
    for rho in (1e-6, 0.1, 10.0):
        x = normal(rho, b)
        residual = torch.linalg.vector_norm(M.mT @ (M @ x) + rho * x - b)
        assert float(residual) <= 1e-12 * float((1 + rho) * torch.linalg.vector_norm(x) + torch.linalg.vector_norm(b))


def test_data_step_of_a_complex_operator_and_a_real_measurement() -> None:
    generator = torch.Generator().manual_seed(0)
    normal = NormalSolver.of(Diagonal(torch.randn(6, dtype=torch.complex128, generator=generator), (6,)))
    y, v = torch.rand(2, 6, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(normal.data_step(0.3, y)(v), normal.prox(0.3, v, y), rtol=0, atol=1e-12)


@pytest.mark.parametrize("condition", [1e3, 1e5])
def test_the_outer_product_loses_no_digits_to_its_condition(condition: float) -> None:
    left, right = (torch.linalg.qr(random(n, 8, seed=n)).Q for n in (20, 8))
    singular = torch.logspace(0, -math.log10(condition), 8, dtype=torch.float64)
    normal = NormalSolver.of(Dense(right * singular @ left.mT, (20,), (8,)))
    assert "from the outer product" in normal.method
    y, v, rho = random(8), random(20), 0.01 * float(singular[-1]) ** 2
    filters = singular / (singular**2 + rho)
    wanted = {"pinv": left @ (right.mT @ y / singular)}
    wanted["prox"] = v + left @ (filters * (right.mT @ (y - normal.operator(v))))
    for name, found in (("pinv", normal.pinv(y)), ("prox", normal.prox(rho, v, y))):
        assert float((found - wanted[name]).norm() / wanted[name].norm()) <= 1e-15 * condition


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_data_steps_of_masks_keep_the_precision_of_the_data(dtype: torch.dtype) -> None:
    normal = NormalSolver.of(Diagonal((random(2, 1, 4, 4) > 0).to(dtype), (2, 1, 4, 4)))
    v, y = random(2, 1, 4, 4, seed=1), random(2, 1, 4, 4, seed=2)
    torch.testing.assert_close(normal.data_step(0.1, y)(v), normal.prox(0.1, v, y), rtol=0, atol=1e-14)


def test_data_steps_in_the_spectrum_take_complex_videos() -> None:
    normal = NormalSolver.of(Convolution(disk(3, 1.5).double(), (2, 1, 6, 6), "circular"))
    v, y = torch.complex(random(2, 1, 6, 6), random(2, 1, 6, 6, seed=1)), random(2, 1, 6, 6, seed=2)
    torch.testing.assert_close(normal.data_step(0.1, y)(v), normal.prox(0.1, v, y), rtol=0, atol=1e-12)


@dataclass(frozen=True, eq=False, repr=False)
class EcgBasis(LinearOperator):
    """A unitary operator of a user's, with "cg" in its name."""

    in_shape: Shape

    @property
    def out_shape(self) -> Shape:
        return self.in_shape

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return x.flip(-1)


def test_whether_a_solve_is_exact_is_no_matter_of_names() -> None:
    A = Multiplier(EcgBasis((4,)), random(4).abs() + 0.5)
    normal = NormalSolver.of(A)
    assert normal.method == "exact: EcgBasis, from the Gram"
    assert normal.exact
    assert "normal solve, b random" in check_operator(A).errors
    assert describe(A).condition is not None
    mask = Diagonal(keep_most(4), (4,))
    iterative = masked_blur((4, 4))
    for operators, exact in (([A, mask], True), ([iterative, Diagonal(random(4, 4), (4, 4))], False)):
        assert NormalSolver.of(batch(operators)).exact == exact
        assert NormalSolver.of(BlockDiagonal(tuple(operators))).exact == exact


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("size", [1e20, 1e-20])
@pytest.mark.parametrize("name", ["mask", "box mean", "box mean of a mask", "circular blur"])
def test_squares_that_leave_the_range_of_float32(name: str, size: float, dtype: torch.dtype) -> None:
    """Against the operator of norm one: (AᴴA + ρI)⁻¹ of s·A is that of A for ρ/s², divided by s²."""
    shape, bar = (1, 4, 4), 1e-12 if dtype == torch.float64 else 1e-5
    mask = random(*shape).abs() + 0.5
    make = {
        "mask": lambda s: Diagonal(s * mask, shape),
        "box mean": lambda s: s * BoxMean(2, shape),
        "box mean of a mask": lambda s: BoxMean(2, shape) @ Diagonal(s * mask, shape),
        "circular blur": lambda s: Convolution(s * KERNEL, shape, "circular"),
    }[name]
    unit, A = NormalSolver.of(make(1.0)), make(size).to(dtype=dtype)
    normal, rho = NormalSolver.of(A), 0.3 * size**2
    assert A.norm().item() == pytest.approx(size * unit.operator.norm().item(), rel=1e-6)
    v, y = random(*shape), random(*A.out_shape, seed=1)

    def near(got: torch.Tensor, expected: torch.Tensor) -> None:
        assert float((got.double() - expected).abs().max()) <= bar * float(expected.abs().max())

    near(normal.pinv(y.to(dtype)).double() * size, unit.pinv(y))
    near(normal(rho, (size * v).to(dtype)).double() * size, unit(0.3, v))
    near(normal.prox(rho, v.to(dtype), (size * y).to(dtype)), unit.prox(0.3, v, y))
    near(normal.data_step(rho, (size * y).to(dtype))(v.to(dtype)), unit.prox(0.3, v, y))


def test_a_sample_that_sees_nothing_behind_a_blur() -> None:
    luma = random(2, 1, 3) * torch.tensor([[[1.0]], [[0.0]]])
    blur = Convolution(KERNEL, (1, *SMALL[-2:]), "full")
    normal, alone = (NormalSolver.of(blur @ AxisMatrix(M, 0, (3, *SMALL[-2:]))) for M in (luma, luma[0]))
    assert normal.method == alone.method
    assert normal.method.startswith("exact: FFT and a margin")
    b, y = random(2, 3, *SMALL[-2:]), random(2, *blur.out_shape)
    pairs = [(normal(0.3, b), alone(0.3, b[0]), b[1] / 0.3), (normal.pinv(y), alone.pinv(y[0]), 0 * b[1])]
    pairs += [(normal.prox(0.3, b, y), alone.prox(0.3, b[0], y[0]), b[1])]
    pairs += [(normal.data_step(0.3, y)(b), alone.data_step(0.3, y[0])(b[0]), b[1])]
    pairs += [(normal.null_projection(b), alone.null_projection(b[0]), b[1])]
    pairs += [(normal.logdet(0.3), alone.logdet(0.3), b.new_tensor(b[0].numel() * math.log(0.3)))]
    for found, first, second in pairs:
        torch.testing.assert_close(found, torch.stack((first, second)), rtol=1e-10, atol=1e-10)


def test_factors_in_float16_are_squared_in_float32() -> None:
    A = Diagonal(torch.tensor([300.0, 1e-3], dtype=torch.float16), (2,))
    normal, d = NormalSolver.of(A), A.diagonal.double()
    y = torch.ones(2)
    torch.testing.assert_close(normal.pinv(y[:1].expand(2)).double(), 1 / d, rtol=1e-6, atol=0)
    torch.testing.assert_close(normal.prox(0.1, 0 * y, y).double(), d / (d**2 + 0.1), rtol=1e-6, atol=0)
    torch.testing.assert_close((BoxMean(2, (2,), (0,)) @ A).norm(), (d**2).sum().sqrt() / 2, rtol=1e-9, atol=0)
    for call in (normal.pinv, normal.null_projection, lambda y: normal(0.1, y), lambda y: normal.prox(0.1, y, y)):
        with pytest.raises(DtypeError, match=r"needs data in float32 or float64, got torch\.float16"):
            call(y.half())


def test_data_that_begin_at_odd_places_of_memory() -> None:
    """Parts of a joined vector do, and views of pairs of numbers as complex ones may not."""
    blur = Convolution(KERNEL, (1, 8, 8), "circular")
    blocks = BlockDiagonal((Dense(random(3, 3), (3,), (3,)), blur))
    operators = (Stack((blocks, BlockDiagonal((Identity((3,)), blur)))), BoxMean(2, (1, 8, 8)) @ blur)
    for A in operators:
        normal, D, v = NormalSolver.of(A), A.to_dense(), random(A.in_size + 1)[1:].reshape(A.in_shape)
        y = random(*A.out_shape, seed=1)
        assert normal.exact
        rows = D.T @ D + 0.3 * torch.eye(A.in_size, dtype=torch.float64)
        z = torch.linalg.solve(rows, D.T @ y.flatten() + 0.3 * v.flatten()).reshape(A.in_shape)
        for got in (normal.prox(0.3, v, y), normal.data_step(0.3, y)(v)):
            torch.testing.assert_close(got, z, rtol=1e-10, atol=1e-10)
