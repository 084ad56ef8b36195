"""What `describe` says of an operator, against its dense matrix."""

import math
from dataclasses import dataclass

import pytest
import torch

from linops_video import PROBLEMS, BoxMean, Diagonal, LinearOperator, Shape, forward_model, parse
from linops_video.problems.description import describe
from linops_video.testing import check_operator

SHAPE = (4, 3, 8, 7)


@pytest.mark.parametrize("name", PROBLEMS)
def test_norm_and_condition_are_those_of_the_matrix(name):
    A = forward_model(name, SHAPE if name != "cs" else (2, 1, 8, 8), seed=1).operator
    facts = describe(A)
    values = torch.linalg.svdvals(A.to(dtype=torch.float64).to_dense())
    values = values[values > 1e-6 * values[0]]
    assert facts.norm == pytest.approx(values[0].item(), rel=1e-5)
    assert facts.condition == pytest.approx((values[0] / values[-1]).item(), rel=2e-3)
    assert facts.adjoint_error < 1e-15
    assert (facts.in_shape, facts.out_shape) == (A.in_shape, A.out_shape)
    assert facts.method.startswith("exact")


def test_an_iterative_solve_has_no_condition_number():
    mask = (torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    A = Diagonal(mask, (2, 1, 8, 8)) @ forward_model("dd", (2, 1, 5, 5)).operator
    facts = describe(A)
    assert "cg" in facts.method
    assert facts.condition is None


@dataclass(frozen=True, eq=False, repr=False)
class Wrong(LinearOperator):
    """Its adjoint is off by 5·10⁻⁴."""

    in_shape: Shape

    @property
    def out_shape(self) -> Shape:
        return self.in_shape

    def _apply(self, x):
        return x

    def _apply_adjoint(self, y):
        return 1.0005 * y


def test_a_wrong_adjoint_shows():
    assert describe(Wrong((50,))).adjoint_error == pytest.approx(5e-4, rel=0.01)


def test_the_known_numbers_of_a_weighted_box_mean():
    weights = torch.ones(1, 1, 4, 4)
    weights[..., :2, :2] = 3
    facts = describe(BoxMean(2, (1, 1, 4, 4)) @ Diagonal(weights, (1, 1, 4, 4)))
    assert facts.norm == pytest.approx(1.5)
    assert facts.condition == pytest.approx(3)
    assert not math.isnan(facts.adjoint_error)


def test_complex_operators_are_described_too():
    facts = describe(parse("mask(0.5) @ fourier(h, w)", (2, 1, 6, 5)))
    assert facts.norm == pytest.approx(1)
    assert facts.condition == pytest.approx(1)
    assert facts.adjoint_error < 1e-15


def test_the_report_of_a_check_is_a_table():
    report = str(check_operator(BoxMean(2, (3, 1, 8, 8))))
    lines = report.splitlines()
    assert lines[0].startswith("BoxMean (3×1×8×8) → (3×1×4×4) in float64: every law holds")
    for words in ("dot test, y = A x", "gram(diagonal)", "normal solve, b random"):
        assert any(line.strip().startswith(words) for line in lines)
    facts = {line[:34].strip(): line[34:] for line in lines[lines.index("found") + 1 :]}
    assert facts == {
        "‖A‖": "0.5",
        "AᴴA": "Kron",
        "AAᴴ": "Scaled",
        "(AᴴA + ρI)⁻¹": "exact: scalar, from the outer product",
    }
