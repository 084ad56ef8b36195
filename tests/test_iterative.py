"""Iterative solves where numbers are very large, very small, not finite, or of samples that have little in common."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from memory import in_use, needs_linux
from scipy.sparse.linalg import aslinearoperator

from linops_video import BlockDiagonal, Convolution, Diagonal, Identity, LinearOperator, NormalSolver, Shape, batch
from linops_video.algebra.krylov import conjugate_gradient, lanczos_norm
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
