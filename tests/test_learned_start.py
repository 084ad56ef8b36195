"""Where the unrolled networks begin: the most likely videos of Gaussian priors, and total variation."""

import dataclasses
import math

import pytest
import torch
from videos import clip

from linops_video import Cosine, InverseProblem, LinearOperator, NormalSolver, forward_model
from linops_video.solvers import AdmmTV, run
from linops_video.solvers.learned.start import (
    FROZEN,
    MOVING,
    STILL,
    TV_TIME_WEIGHT,
    Smoothness,
    smooth_start,
    total_variation_start,
)
from linops_video.solvers.priors.prior import Prior


def eigenvalues(prior: Smoothness, shape: tuple[int, ...]) -> torch.Tensor:
    """Of L, which is diagonal in the DCT-II over (T, C, H, W): the mean of the channels is c = 0, the chroma c > 0."""
    t, c, h, w = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in shape), indexing="ij")
    of_t, of_h, of_w = (2 - 2 * torch.cos(math.pi * k / n) for k, n in ((t, shape[0]), (h, shape[2]), (w, shape[3])))
    luma = prior.time * of_t + prior.space * (of_h + of_w) + prior.mean
    return luma * (1 + prior.chroma * (c > 0)) + prior.gray * (c > 0)


def objective(A: LinearOperator, x: torch.Tensor, y: torch.Tensor, prior: Prior) -> float:
    value = prior.value(x)
    assert value is not None
    return float(((A(x) - y) ** 2).sum() / 2 + value)


@pytest.mark.parametrize("spec", ["pid", "dd", "vcs"])
def test_the_total_variation_start_nears_the_minimum_that_admm_finds(spec, monkeypatch):
    truth = clip(4, 3, 8, 8, batch=(2,), dtype=torch.float64)
    sigma = torch.tensor([0.1, 0.02], dtype=torch.float64)
    model = forward_model(spec, (4, 3, 8, 8), seed=1).to(dtype=torch.float64)
    problem = dataclasses.replace(dataclasses.replace(model, noise_std=0.05).measure(truth, seed=2), noise_std=sigma)
    normal = NormalSolver.of(problem.operator)
    monkeypatch.setattr("linops_video.solvers.learned.start.TV_STEPS", 120)
    z = total_variation_start(problem, normal, normal.pinv(problem.y))
    for i, std in enumerate(sigma.tolist()):
        solver = AdmmTV(rho=40 * std**1.5, weight=0.8 * std**1.5, max_steps=200, tol=0, time_weight=TV_TIME_WEIGHT)
        best = run(solver, InverseProblem(problem.operator, problem.y[i])).x
        assert best is not None

        ours, least = (objective(problem.operator, x, problem.y[i], solver.priors[0]) for x in (z[i], best))
        assert ours <= 1.001 * least


def test_the_start_is_the_minimiser_that_a_dense_solve_finds(monkeypatch):
    monkeypatch.setattr("linops_video.solvers.learned.start.STEPS", 150)
    shape, sigma = (3, 3, 4, 4), 0.1
    truth = clip(3, 3, 4, 4, batch=(1,), dtype=torch.float64)
    for spec in ("pid", "color"):
        model = forward_model(spec, shape, seed=1).to(dtype=torch.float64)
        problem = dataclasses.replace(model, noise_std=sigma).measure(truth, seed=2)
        A = model.operator.to_dense(torch.float64)
        n = truth.numel()
        unit = torch.eye(n, dtype=torch.float64).reshape(n, *shape)
        basis = Cosine((0, 1, 2, 3), shape)(unit).reshape(n, n)
        priors = (STILL, MOVING, FROZEN)
        for prior, found in zip(priors, smooth_start(problem, NormalSolver.of(problem.operator), priors), strict=True):
            L = basis @ (eigenvalues(prior, shape).reshape(n, 1) * basis.T)
            assert (prior(unit).reshape(n, n) - L).abs().max() <= 1e-13 * L.abs().max()
            shifted = prior(unit) + 2.0 * unit + 3.0 * (unit - unit.mean(-3, keepdim=True))
            torch.testing.assert_close(prior.inverse(shape, truth)(shifted, 2.0, 5.0), unit, rtol=0, atol=1e-10)
            dense = torch.linalg.solve(A.T @ A / sigma**2 + L, A.T @ problem.y.reshape(-1) / sigma**2)
            torch.testing.assert_close(found.reshape(-1), dense, rtol=0, atol=1e-5)
