"""ADMM against the conditions of optimality."""

import dataclasses
import itertools
import math

import pytest
import torch
from videos import inpainting, video

from linops_video import PROBLEMS, Diagonal, InverseProblem, NormalSolver, Wavelet, forward_model, parse
from linops_video.solvers import (
    Admm,
    AdmmTV,
    AdmmWavelet,
    SquaredNorm,
    TotalVariation,
    run,
)
from linops_video.solvers.admm import data_step
from linops_video.solvers.start import start


def test_the_data_step_is_the_minimiser():
    """½‖y − A z‖² + ρ/2 ‖z − x − u‖² has gradient zero at z, and u₊ = u + x − z."""
    problem = inpainting(4, 1, 8, 8)
    A, x, u = problem.operator, video(4, 1, 8, 8, seed=3), video(4, 1, 8, 8, seed=4)
    z, following = data_step(NormalSolver.of(A), 0.3, x, u, problem.y)
    torch.testing.assert_close(A.T(A(z) - problem.y) + 0.3 * (z - x - u), torch.zeros_like(z), rtol=0, atol=1e-14)
    torch.testing.assert_close(following, u + x - z, rtol=0, atol=1e-15)


def test_noise_is_not_amplified_at_the_start():
    """(AᵀA + σ²I)⁻¹ Aᵀ y for the samples with noise, A⁺ y for those without; an ill-conditioned blur is then solved."""
    A = parse("blur(gaussian, 2, circular)", (2, 1, 16, 16)).to(dtype=torch.float64)
    truth = video(2, 2, 1, 16, 16)
    problem = InverseProblem(A, A(truth) + 0.02 * video(2, 2, 1, 16, 16, seed=1), torch.tensor([0.02, 0.0]))
    normal, z = start(problem)
    M, y = A.to_dense(), problem.y[0].flatten()
    expected = torch.linalg.solve(M.mT @ M + torch.tensor(0.02).double() ** 2 * torch.eye(len(M)).double(), M.mT @ y)
    torch.testing.assert_close(z[0].flatten(), expected.to(z), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(z[1], normal.pinv(problem.y)[1], rtol=0, atol=0)
    for solver in (AdmmTV(max_steps=50), AdmmWavelet(max_steps=50)):
        noisy = InverseProblem(A, problem.y[:1], 0.02)
        assert (run(solver, noisy).x - truth[:1]).square().mean() < 0.2


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_prepared_data_step_is_the_data_step(name):
    """In float64 to 1e-10; in float32, for a ρ that magnifies rounding, as near to the exact one as `prox` is."""
    shape = (4, 1, 8, 7) if name == "color" else (4, 3, 8, 7)
    exact = forward_model(name, shape, seed=1).to(dtype=torch.float64)
    v, y = video(2, *shape, seed=3), exact.measure(video(2, *shape), seed=1).y
    rho = torch.tensor([0.3, 1e-3]).double()
    normal = NormalSolver.of(exact.operator)
    expected = normal.prox(rho, v, y)
    torch.testing.assert_close(normal.data_step(rho, y)(v), expected, rtol=0, atol=1e-10)
    single = NormalSolver.of(exact.operator.to(dtype=torch.float32))
    expected = normal.prox(1e-3, v.float().double(), y.float().double())
    errors = [
        (z - expected).abs().max()
        for z in (single.prox(1e-3, v.float(), y.float()), single.data_step(1e-3, y.float())(v.float()))
    ]
    assert errors[1] <= 2 * errors[0] + 1e-6


@pytest.mark.parametrize("levels", [0, (1, 2, 2)])
@pytest.mark.parametrize("name", ["pid", "sr2", "dd", "fi2"])
def test_wavelet_solution_is_optimal(name, levels):
    """At the minimum W Aᵀ(y − A z) = weight · s: |s| ≤ 1, s = sign(W z) where W z ≠ 0, s = 0 on approximations."""
    model = forward_model(name, (4, 1, 8, 8)).to(dtype=torch.float64)
    problem = model.measure(video(4, 1, 8, 8))
    weight = 0.05
    z = run(AdmmWavelet(rho=0.03, weight=weight, levels=levels, max_steps=1500, tol=1e-10), problem).x
    depths = (levels,) * 3 if isinstance(levels, int) else levels
    W = Wavelet((4, 1, 8, 8), "haar", (depths[0], 0, *depths[1:]))
    s, c = W(model.operator.T(problem.y - model.operator(z))) / weight, W(z)
    assert s.abs().max() <= 1 + 1e-6
    kept = c.abs() > 1e-6
    if any(depths):
        approximations = tuple(slice(n) for n in W.approximation_shape)
        torch.testing.assert_close(s[approximations], torch.zeros(W.approximation_shape).double(), rtol=0, atol=1e-6)
        kept[approximations] = False
    assert kept.any()
    assert not kept.all()
    torch.testing.assert_close(s[kept], c[kept].sign(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["pid", "sr2", "dd", "fi2"])
def test_tv_solution_is_optimal(name):
    """At the minimum ⟨Aᵀ(y − A z), v⟩ ≤ R(v) for every v, with equality at v = z."""
    model = forward_model(name, (4, 2, 5, 6)).to(dtype=torch.float64)
    problem = model.measure(video(4, 2, 5, 6))
    solver = AdmmTV(rho=0.2, weight=0.01, time_weight=1.5, max_steps=1500, tol=1e-9)
    z, prior = run(solver, problem).x, solver.priors[0]
    assert isinstance(prior, TotalVariation)
    g = model.operator.T(problem.y - model.operator(z))
    assert (g * z).sum().item() == pytest.approx(prior.value(z).item(), rel=1e-5)
    for seed in range(20):
        v = torch.randn(4, 2, 5, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        for direction in (v, z + 0.01 * v, z + g):
            assert (g * direction).sum() <= prior.value(direction) * (1 + 1e-5)


@pytest.mark.parametrize(
    "solver", [AdmmWavelet(levels=(1, 2, 2), weight=0.05, tol=1e-9), AdmmTV(weight=0.05, time_weight=1.0, tol=1e-9)]
)
@pytest.mark.parametrize("shape", [(4, 1, 8, 4), (5, 1, 6, 4)])
def test_rho_changes_the_way_not_the_end(solver, shape):
    A = Diagonal(0.5 + video(*shape), shape)  # strongly convex: one minimum
    problem = InverseProblem(A, A(video(*shape, seed=1)))
    ends = [run(dataclasses.replace(solver, rho=rho, max_steps=1500), problem).x for rho in (0.3, 1.0)]
    torch.testing.assert_close(*ends, rtol=0, atol=1e-6)


def test_the_fixed_point_residual_never_grows():
    """Of a convex prior; it is zero at a solution only (He and Yuan, Numerische Mathematik 130, 2015)."""
    solver = AdmmWavelet(levels=(1, 1, 1), tol=0.0)
    problem, changes = inpainting(4, 1, 8, 8), []
    states = [solver.init(problem)]

    def keep(step, state, residual):
        changes.append(math.hypot((state.z - states[-1].z).norm().item(), (state.u[0] - states[-1].u[0]).norm().item()))
        states.append(state)

    run(dataclasses.replace(solver, max_steps=60), problem, keep)
    assert all(after <= before * (1 + 1e-9) for before, after in itertools.pairwise(changes))
    assert changes[-1] < 0.2 * changes[0]


def test_balancing_follows_the_square_root_of_the_ratio_of_the_residuals():
    problem = inpainting(2, 1, 8, 8)
    solver = Admm(SquaredNorm(0.1), balance=True, relaxation=1.0)
    before = solver.init(problem)
    z, u = video(2, 1, 8, 8, seed=3), video(2, 1, 8, 8, seed=4)
    change = 4 * (z - before.z).norm() / u.norm()
    after = dataclasses.replace(before, z=z, u=(before.u[0] + change * u,))
    balanced = solver._balanced(problem, before, after)
    torch.testing.assert_close(balanced.rho, 2 * before.rho)
    torch.testing.assert_close(balanced.u[0], after.u[0] / 2)
    torch.testing.assert_close(balanced.data(z), problem.normal.prox(balanced.rho, z, problem.y))
    torch.testing.assert_close(solver.residual(before, balanced), solver.residual(before, after))
