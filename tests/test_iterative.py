"""Iterative solves where numbers are very large, very small, not finite, or of samples that have little in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import pytest
import torch
from memory import in_use, needs_linux
from scipy.sparse.linalg import aslinearoperator

from linops_video import (
    BlockDiagonal,
    ConvergenceWarning,
    Convolution,
    Diagonal,
    Identity,
    LinearOperator,
    NormalSolver,
    Shape,
    batch,
    linear_function,
)
from linops_video.algebra.krylov import IterativeSolve, conjugate_gradient, lanczos_norm
from linops_video.algebra.parameters import like, tensor_field
from linops_video.interop import from_scipy

FRAME = (2, 1, 8, 8)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def masked_blur(*batch: int) -> LinearOperator:
    mask = Diagonal(random(*batch, *FRAME, seed=1) > -0.5, FRAME)
    return mask @ Convolution(random(3, 3, seed=2), FRAME, "circular")


@pytest.mark.parametrize("size", [1e-170, 1.0, 1e160])
def test_the_size_of_the_right_hand_side_does_not_matter(size: float) -> None:
    normal, b = NormalSolver.of(masked_blur()), random(*FRAME)
    assert "cg" in normal.method
    result, one = normal.solve(0.1, size * b), normal.solve(0.1, b)
    torch.testing.assert_close(result.x / size, one.x, rtol=1e-9, atol=0)
    assert 0 < result.residual <= 1e-6


def test_what_is_not_finite_stays_so_and_leaves_the_other_samples_alone() -> None:
    normal, b = NormalSolver.of(masked_blur()), random(3, *FRAME)
    b[0, 0, 0, 0, 0], b[1, 0, 0, 0, 0] = torch.nan, torch.inf
    result = normal.solve(0.1, b)
    assert result.x[:2].isnan().all()
    assert result.residual[:2].isnan().all()
    torch.testing.assert_close(result.x[2], normal(0.1, b[2]), rtol=1e-9, atol=0)


def test_a_zero_sample_is_solved_at_once_from_any_start() -> None:
    b = torch.stack([torch.zeros(4), torch.ones(4)])
    result = conjugate_gradient(lambda x: 3 * x, b, 1, start=torch.ones(2, 4))
    assert result.iterations.tolist() == [0, 1]
    assert result.residual[0] == 0
    torch.testing.assert_close(result.x, b / 3)


def test_the_pseudoinverse_of_each_sample_is_its_own() -> None:
    """Scales from 1 to 1e-5 in one batch."""
    scales = torch.tensor([1.0, 1e-3, 1e-5], dtype=torch.float64)
    A = scales * masked_blur()
    y = A(random(3, *FRAME))
    x = NormalSolver.of(A).pinv(y)
    misfit = torch.linalg.vector_norm((A(x) - y).flatten(1), dim=1) / torch.linalg.vector_norm(y.flatten(1), dim=1)
    assert misfit.max() < 1e-6
    for scale, sample, alone in zip(scales, x, y, strict=True):
        torch.testing.assert_close(sample, NormalSolver.of(scale * masked_blur()).pinv(alone), rtol=0, atol=1e-5)


def test_one_right_hand_side_for_all_samples() -> None:
    b = random(*FRAME)
    shared = NormalSolver.of(masked_blur(2)).solve(0.1, b)
    each = NormalSolver.of(masked_blur(2)).solve(torch.tensor([0.1, 0.1]), b.expand(2, *FRAME))
    torch.testing.assert_close(shared.x, each.x)
    assert shared.residual.shape == (2,)


@dataclass(frozen=True, eq=False, repr=False)
class Gains(LinearOperator):
    """An own operator with a gain for each sample, without an adjoint of its own."""

    gains: torch.Tensor = tensor_field(0)
    in_shape: Shape = (4,)
    out_shape: Shape = (4,)

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return like(self.gains, x)[..., None] * x


def test_the_derived_adjoint_takes_one_measurement_for_all_samples() -> None:
    A = Gains(torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(A.H(torch.ones(4)), torch.tensor([[1.0] * 4, [2.0] * 4]))


def test_a_complex_operator_without_structure_has_a_complex_pseudoinverse():
    r = torch.Generator().manual_seed(0)
    matrix = torch.randn(4, 6, generator=r, dtype=torch.complex128)
    A = from_scipy(aslinearoperator(matrix.numpy()))
    y = torch.randn(4, generator=r, dtype=torch.float64)
    torch.testing.assert_close(NormalSolver.of(A).pinv(y), torch.linalg.pinv(matrix) @ y.to(matrix), rtol=0, atol=1e-5)


def test_the_tolerance_holds_for_every_sample_of_a_batch():
    A = masked_blur()
    solved = NormalSolver.of(batch([A]), rtol=1e-12).solve(1e-2, random(1, *FRAME))
    assert float(solved.residual.max()) < 1e-11


def test_blocks_that_are_iterated_report_it_and_take_a_start():
    A, B = masked_blur(), Identity((3,))
    normal, b = NormalSolver.of(BlockDiagonal((A, B)), rtol=1e-9), random(2, A.in_size + 3)
    solved = normal.solve(0.3, b)
    alone = NormalSolver.of(A, rtol=1e-9).solve(0.3, b[:, :-3].reshape(2, *FRAME))
    assert not normal.exact
    assert torch.equal(solved.iterations, alone.iterations)
    gap = b - normal.operator.H(normal.operator(solved.x)) - 0.3 * solved.x
    torch.testing.assert_close(solved.residual, gap.norm(dim=-1) / b.norm(dim=-1))
    again = normal.solve(0.3, b, start=solved.x)
    assert int(again.iterations.max()) <= 1


def with_singular_values(rows: int, columns: int, singular: torch.Tensor, single: bool = False) -> tuple:
    """U diag(σ) Vᵀ as a function of which nothing else is known, U and V; `single`: computed in float32 inside."""
    left, right = (torch.linalg.qr(random(n, len(singular), seed=n)).Q for n in (rows, columns))
    M = left * singular @ right.mT
    return linear_function(lambda x: x @ (M.float() if single else M.to(x)).mT, (columns,)), left, right


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("rows", "columns", "smallest"), [(24, 24, 0.5), (24, 24, 1e-4), (12, 30, 1e-2), (30, 12, 1e-8)]
)
def test_data_steps_are_as_accurate_as_they_say(rows: int, columns: int, smallest: float, dtype: torch.dtype) -> None:
    """Relative to the solution, whatever ρ: the misfit says nothing of what A barely sees."""
    n = min(rows, columns)
    singular = torch.logspace(0, math.log10(smallest), n, dtype=torch.float64)
    for size in (1e-8, 1e8):
        A, left, right = with_singular_values(rows, columns, size * singular)
        normal, v = NormalSolver.of(A), random(2, columns, seed=1).to(dtype)
        y = (A(random(2, columns, seed=2)) + size * random(2, rows, seed=3)).to(dtype)
        assert normal.method == "cg, not preconditioned"
        for ratio in (1e-8, 1e-6, 1e-4, 1e-2, 1.0, 100.0):
            filters = singular / (singular**2 + ratio) / size
            change = (y.double() - A(v.double())) @ left * filters @ right.mT
            found = normal.prox(ratio * size**2, v, y).double() - v.double()
            allowed = 1e-6 if dtype == torch.float64 else 1e-6 + 2e-7 / min(1.0, ratio**0.5)  # y − A v is in float32
            error = (found - change).norm(dim=-1) / (v.double() + change).norm(dim=-1)
            assert float(error.max()) <= allowed


def test_data_steps_go_on_from_the_last_one() -> None:
    """Within an iteration, whose steps change v less and less."""
    A = masked_blur()
    y, v, taken = A(random(*FRAME)), random(*FRAME, seed=1), []

    def counted(*arguments: Any, **fields: Any) -> IterativeSolve:
        taken.append(conjugate_gradient(*arguments, **fields))
        return taken[-1]

    normal = NormalSolver.of(A)
    with patch("linops_video.inverses.inverse.conjugate_gradient", counted):
        step, last = normal.data_step(1e-3, y), v
        for change in (0.0, 1e-3, 1e-6):
            last = last + change * random(*FRAME, seed=2)
            torch.testing.assert_close(step(last), normal.prox(1e-3, last, y), rtol=0, atol=1e-5)
    first, fresh, second, _, third, _ = (int(found.iterations) for found in taken)
    assert first == fresh > second > third


def test_a_function_in_float32_says_how_far_it_comes() -> None:
    A, _, _ = with_singular_values(24, 24, torch.logspace(0, -3, 24, dtype=torch.float64), single=True)
    normal, y = NormalSolver.of(A), random(24)
    with pytest.warns(ConvergenceWarning, match="a relative error of up to"):
        normal.prox(1e-6, 0 * y, y)
    assert torch.isfinite(normal.prox(10.0, 0 * y, y)).all()


def test_the_residual_is_that_of_the_rounded_solution() -> None:
    A, rho, b = masked_blur(), 1e-4, random(2, *FRAME).float()
    solved = NormalSolver.of(A).solve(rho, b)
    z, wide = solved.x.double(), b.double()
    gap = A.H(A(z)) + rho * z - wide
    torch.testing.assert_close(solved.residual, gap.flatten(1).norm(dim=1) / wide.flatten(1).norm(dim=1))


def test_the_pseudoinverse_of_what_is_out_of_reach_is_zero() -> None:
    for single in (False, True):
        A, left, right = with_singular_values(40, 30, torch.logspace(0, -1, 20, dtype=torch.float64), single)
        y, reached = random(3, 40), torch.tensor([[0.0], [1.0], [0.0]], dtype=torch.float64)
        y = y - (1 - reached) * (y @ left @ left.mT)  # of the first and the last sample A reaches nothing
        x, singular = NormalSolver.of(A).pinv(y), torch.logspace(0, -1, 20, dtype=torch.float64)
        expected = y @ left / singular @ right.mT
        assert float((x - expected).abs().max()) <= (1e-3 if single else 1e-7)


def test_the_pseudoinverse_finds_small_singular_values() -> None:
    singular = torch.logspace(0, -4, 20, dtype=torch.float64)
    A, left, right = with_singular_values(40, 30, singular)
    y = random(40)
    expected = y @ left / singular @ right.mT
    assert float((NormalSolver.of(A).pinv(y) - expected).norm() / expected.norm()) <= 1e-3


@needs_linux
def test_a_norm_takes_the_memory_of_a_few_tensors():
    used: list[int] = []
    scales = torch.linspace(1, 2, 200_000, dtype=torch.float64)

    def G(x):
        used.append(in_use())
        return scales * x

    lanczos_norm(G, torch.empty(200_000, dtype=torch.float64), 1)
    assert len(used) > 100
    assert max(used) - used[0] < 40 * scales.nbytes
