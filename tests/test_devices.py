"""Operators, their inverses and solvers on another device than the CPU, those without tensors of their own, too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from another_device import another_device, values
from test_compile import random_like
from zoo import Animal, animal
from zoo.paths import KINDS, asked_of

from linops_video import BoxMean, Diagonal, NormalSolver, forward_model
from linops_video.solvers import solve


@asked_of(KINDS)
def test_everything_an_operator_can_do(entry: Animal, monkeypatch: pytest.MonkeyPatch):
    """Solves by iteration take a few steps: they are to be the same on both devices, however near they come."""
    monkeypatch.setattr("linops_video.inverses.inverse.PINV_RTOL", 0.3)
    A = animal(entry)
    x, y = random_like(A, (*A.batch_shape, *A.in_shape), 1), random_like(A, (*A.batch_shape, *A.out_shape), 2)

    def everything(A, x, y):
        normal = NormalSolver.of(A, rtol=0.3)
        yield from (A(x), A.H(y), A.gram()(x), A.outer()(y), normal(0.3, x), normal.prox(0.3, x, y))
        yield from (normal.data_step(0.3, y)(x), normal.pinv(y))

    expected = list(everything(A, x, y))
    with another_device() as device:
        found = [values(part) for part in everything(A.to(device=device), x.to(device), y.to(device))]
    for part, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(part, reference, rtol=1e-7, atol=1e-7)


@asked_of(KINDS)
def test_tensors_of_an_operator_may_stay_on_the_cpu(entry: Animal):
    A = animal(entry)
    x, y = random_like(A, (*A.batch_shape, *A.in_shape), 1), random_like(A, (*A.batch_shape, *A.out_shape), 2)
    with another_device() as device:
        found = [values(A(x.to(device))), values(A.H(y.to(device)))]
    for part, reference in zip(found, (A(x), A.H(y)), strict=True):
        torch.testing.assert_close(part, reference, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("solver", ["admm-tv", "admm-wavelet", "fista", "primal-dual-fft", "videoonet"])
@pytest.mark.parametrize("spec", ["pid", "fi2"])
@pytest.mark.usefixtures("short_starts")
def test_solvers(spec: str, solver: str):
    video = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    problem = forward_model(spec, (4, 3, 16, 16)).measure(video)
    fields: dict[str, Any] = {} if solver == "videoonet" else {"max_steps": 3}
    expected = solve(problem, solver, **fields).x
    with another_device() as device:
        found = values(solve(problem.to(device), solver, **fields).x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_a_solver_moves_to_the_device():
    A, x = Diagonal(torch.rand(4, 4, dtype=torch.float64), (4, 4)), torch.rand(4, 4, dtype=torch.float64)
    normal = NormalSolver.of(BoxMean(2, (4, 4)) @ A)
    with another_device() as device:
        found = values(normal.to(device)(0.3, x.to(device)))
    torch.testing.assert_close(found, normal(0.3, x), rtol=0, atol=1e-12)


def test_tensors_do_not_meet_those_of_the_other_device():
    with another_device() as device, pytest.raises(RuntimeError, match="two devices"):
        _ = torch.rand(3).to(device) * torch.rand(3)
    with another_device() as device, pytest.raises(AssertionError, match="on the CPU"):
        values(BoxMean(2, (4, 4))(torch.rand(4, 4)))
