"""Bool masks are numbers wherever they are added up; the zoo's masks are bool, too."""

from __future__ import annotations

import pytest
import torch

from linops_video import Cosine, Diagonal, Identity, LinearOperator, Multiplier, NormalSolver

SHAPE = (2, 1, 4, 4)


def pair() -> tuple[LinearOperator, LinearOperator]:
    """A bool mask, and the same in numbers."""
    mask = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) > 0.4
    return Diagonal(mask, SHAPE), Diagonal(mask.double(), SHAPE)


@pytest.mark.parametrize(
    "make",
    [
        lambda A: 2 * A,
        lambda A: (0.3 + 0.1j) * A,
        lambda A: A + A,
        lambda A: A + 0.1 * Identity(SHAPE),
        lambda A: Cosine((2, 3), SHAPE).H @ A @ Cosine((2, 3), SHAPE),
        lambda A: Multiplier(Cosine((2, 3), SHAPE), A.diagonal),
        lambda A: 3 * Multiplier(Cosine((2, 3), SHAPE), A.diagonal),
        lambda A: Multiplier(Cosine((2, 3), SHAPE), A.diagonal) + Multiplier(Cosine((2, 3), SHAPE), A.diagonal),
        lambda A: Multiplier(Cosine((2, 3), SHAPE), A.diagonal).gram(),
    ],
)
def test_operators_of_a_mask(make) -> None:
    ours, numbers = (make(A) for A in pair())
    torch.testing.assert_close(ours.to_dense(torch.float64), numbers.to_dense(torch.float64), rtol=0, atol=1e-13)
    torch.testing.assert_close(ours.norm(), numbers.norm())


def test_a_mask_as_weight() -> None:
    A, b = Identity(SHAPE), torch.rand(SHAPE, dtype=torch.float64)
    ours, numbers = (NormalSolver.of(A, weight=W)(0.1, b) for W in pair())
    torch.testing.assert_close(ours, numbers)
