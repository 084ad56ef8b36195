"""Gradients through the normal solve: in the data, ρ and the operator's own tensors."""

from __future__ import annotations

import pytest
import torch
from small import KERNEL, SMALL, keep_most, masked_blur, random
from torch.autograd import gradcheck

from linops_video import AxisMatrix, BoxMean, Convolution, Dense, Diagonal, NormalSolver, forward_model


def test_implicit_gradient_of_the_iterative_solve() -> None:
    A = masked_blur((1, 4, 4))
    normal = NormalSolver.of(A)
    assert "cg" in normal.method
    rho = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    b = random(2, 1, 4, 4).requires_grad_()
    assert gradcheck(normal, (rho, b), atol=1e-4, rtol=1e-4, fast_mode=True)
    y, v = random(2, 1, 4, 4, seed=1).requires_grad_(), random(2, 1, 4, 4, seed=2).requires_grad_()
    assert gradcheck(normal.prox, (rho, v, y), atol=1e-4, rtol=1e-4, fast_mode=True)


@pytest.mark.parametrize("name", ["pid", "sr2", "cs", "vcs", "dd", "tdd", "md", "fi2", "color"])
def test_gradient_of_the_exact_data_step(name: str) -> None:
    shape = (2, 3 if name == "color" else 1, 4, 4)
    A = forward_model(name, shape).operator.to(dtype=torch.float64)
    normal = NormalSolver.of(A)
    rho = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    v, y = random(*shape).requires_grad_(), random(*A.out_shape).requires_grad_()
    assert gradcheck(normal.prox, (rho, v, y), fast_mode=True)


TRAINABLE = {
    "mask": (lambda t: Diagonal(t, SMALL), random(*SMALL, seed=1).abs() + 0.3),
    "box mean of a mask": (lambda t: BoxMean(2, SMALL) @ Diagonal(t, SMALL), random(*SMALL, seed=1).abs() + 0.3),
    "circular kernel": (lambda t: Convolution(t, SMALL, "circular"), KERNEL),
    "box mean of a circular kernel": (lambda t: BoxMean(2, SMALL) @ Convolution(t, SMALL, "circular"), KERNEL),
    "full kernel": (lambda t: Convolution(t, SMALL, "full"), KERNEL[:2]),
    "symmetric kernel": (lambda t: Convolution(t, SMALL, "symmetric"), KERNEL + KERNEL.flip(0)),
    "matrix": (lambda t: AxisMatrix(t, 1, SMALL), random(2, 3, seed=2)),
    "wide matrix": (lambda t: Dense(t, SMALL, (5,)), random(5, 96, seed=2)),
    "mask of a kernel": (lambda t: Diagonal(keep_most(*SMALL), SMALL) @ Convolution(t, SMALL, "circular"), KERNEL),
}


@pytest.mark.parametrize("name", TRAINABLE)
def test_gradient_with_respect_to_the_operators_own_tensors(name: str) -> None:
    make, start = TRAINABLE[name]
    parameter = start.clone().requires_grad_()
    iterative = not NormalSolver.of(make(start)).exact
    atol, rtol = (1e-4, 1e-4) if iterative else (1e-5, 1e-3)
    A = make(start)
    rho = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
    b = random(*SMALL, seed=3).requires_grad_()
    y = random(*A.out_shape, seed=4).requires_grad_()

    def solver(t: torch.Tensor) -> NormalSolver:
        return NormalSolver.of(make(t), rtol=1e-10)

    assert gradcheck(lambda t, x: make(t)(x), (parameter, b), fast_mode=True)
    assert gradcheck(lambda t, y: make(t).H(y), (parameter, y), fast_mode=True)
    assert gradcheck(lambda t, x: make(t).gram()(x), (parameter, b), fast_mode=True)
    assert gradcheck(lambda t, rho, b: solver(t)(rho, b), (parameter, rho, b), atol=atol, rtol=rtol, fast_mode=True)
    assert gradcheck(
        lambda t, rho, v, y: solver(t).prox(rho, v, y), (parameter, rho, b, y), atol=atol, rtol=rtol, fast_mode=True
    )
    if not iterative:
        assert gradcheck(lambda t, y: solver(t).pinv(y), (parameter, y), fast_mode=True)
        assert gradcheck(lambda t, x: solver(t).range_projection(x), (parameter, b), fast_mode=True)


def test_the_value_of_a_trainable_solve_is_that_of_the_fixed_one() -> None:
    A = TRAINABLE["circular kernel"][0](KERNEL.clone().requires_grad_())
    x = random(*SMALL)
    assert torch.equal(NormalSolver.of(A)(0.3, x), NormalSolver.of(A.detach())(0.3, x))
