"""The loop, solving by name, and ADMM against the conditions of optimality."""

import dataclasses
import itertools
import math

import pytest
import torch

from linops_video import (
    PROBLEMS,
    Convolution,
    Diagonal,
    InverseProblem,
    NormalSolver,
    Wavelet,
    collate,
    forward_model,
)
from linops_video.errors import DtypeError, MeasurementError, ShapeError, SpecError
from linops_video.metrics import psnr
from linops_video.solvers import (
    SOLVERS,
    Admm,
    AdmmTV,
    AdmmWavelet,
    Box,
    Cgls,
    Fista,
    GroupSparsity,
    HalfQuadratic,
    Pinv,
    PlugAndPlay,
    PrimalDual,
    ProximalGradient,
    Tikhonov,
    TotalVariation,
    WaveletL1,
    run,
    solve,
)
from linops_video.solvers.admm import data_step
from linops_video.solvers.defaults import TUNED, tuned

CLASSICAL = tuple(name for name in SOLVERS if name not in ("onenet", "videoonet"))
DIRECT = ("pinv", "tikhonov")


def video(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def smooth_video(frames=8, channels=3, size=24):
    """A bright disk that moves over a ramp: piecewise smooth, as the priors expect of videos."""
    t = torch.arange(frames, dtype=torch.float32).reshape(-1, 1, 1, 1)
    i = torch.arange(size, dtype=torch.float32).reshape(-1, 1)
    j = torch.arange(size, dtype=torch.float32)
    disk = ((i - 8 - t / 2) ** 2 + (j - 12) ** 2 < 30).float()
    shade = torch.linspace(0.5, 1, channels).reshape(-1, 1, 1)
    return ((0.2 + 0.3 * i / size + 0.4 * disk) * shade).expand(frames, channels, size, size).contiguous()


def objective(solver, problem, x):
    """The solver's objective at x, a number."""
    value = solver.objective(problem, x)
    assert value is not None
    return value.item()


def trace(solver, problem):
    """The solver's objective after each step."""
    history = run(solver, problem, history=True).history
    assert history is not None
    assert history.objective is not None
    return history.objective


def inpainting(*shape, seed=0):
    """Half of the entries of noise, float64."""
    A = Diagonal((video(*shape, seed=seed + 1) > 0.5).double(), shape[-4:])
    return InverseProblem(A, A(video(*shape, seed=seed)), 0.1)


# --- every solver on every problem ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 3, 8, 8), (2, 5, 1, 9, 7)])
@pytest.mark.parametrize("name", PROBLEMS)
def test_every_solver_takes_every_problem_of_any_size(name, shape):
    truth = video(*shape, dtype=torch.float32)
    problem = forward_model(name, shape, seed=1).measure(truth, seed=1)
    for solver in CLASSICAL:
        fields = {} if solver in DIRECT else {"max_steps": 3, "tol": 0.0}
        solution = solve(problem, solver, **fields)
        assert solution.x.shape == shape
        assert solution.x.dtype == torch.float32
        assert torch.isfinite(solution.x).all()
        assert solution.steps == fields.get("max_steps", 0) or solver == "cgls"  # which may have arrived
        assert len(solution.residuals) == solution.steps


@pytest.mark.parametrize("name", ["pid", "si", "sr2", "fi2", "denoise"])
@pytest.mark.parametrize("solver", ["admm-wavelet", "admm-tv"])
def test_tuned_defaults_beat_the_pseudoinverse(name, solver):
    truth = smooth_video()
    problem = forward_model(name, tuple(truth.shape)).measure(truth)
    pinv = psnr(solve(problem, "pinv").x, truth).item()
    assert psnr(solve(problem, solver).x, truth).item() > pinv + 1


# --- the loop --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", [AdmmWavelet(tol=0.03, levels=(1, 2, 2)), AdmmTV(tol=0.03, weight=0.05)])
def test_each_sample_stops_on_its_own(solver):
    """A sample gives the same video and stops at the same step whatever is beside it in the batch."""
    event = (4, 1, 8, 8)
    mask = torch.stack((torch.ones(event), (video(*event) > 0.5).float())).double()
    y = mask * torch.stack((torch.full(event, 0.5, dtype=torch.float64), video(*event, seed=1)))
    alone = [run(solver, InverseProblem(Diagonal(mask[i : i + 1], event), y[i : i + 1])) for i in (0, 1)]
    assert alone[0].steps < alone[1].steps
    both = run(solver, InverseProblem(Diagonal(mask, event), y))
    assert both.steps == max(solution.steps for solution in alone)
    assert both.status == "converged"
    torch.testing.assert_close(both.x, torch.cat([s.x for s in alone]), rtol=0, atol=1e-13)
    assert both.residuals[-1] <= 0.03 < both.residuals[-2]


def test_the_trace_the_callback_and_the_status():
    problem, seen = inpainting(4, 1, 8, 8), []
    solution = run(AdmmTV(max_steps=6, tol=0.0), problem, lambda step, state, residual: seen.append((step, residual)))
    assert (solution.status, solution.steps) == ("max_steps", 6)
    assert seen == list(enumerate(solution.residuals, 1))
    assert run(Pinv(), problem).status == "direct"
    assert run(AdmmTV(max_steps=3, tol=10.0), problem).status == "converged"


@pytest.mark.parametrize("solver", [AdmmWavelet(tol=0.0), AdmmTV(tol=0.0)])
def test_a_state_goes_on(solver):
    problem = inpainting(2, 4, 1, 8, 8)
    straight = run(dataclasses.replace(solver, max_steps=12), problem)
    first = run(dataclasses.replace(solver, max_steps=5), problem)
    second = run(dataclasses.replace(solver, max_steps=7), problem, start=first)
    torch.testing.assert_close(second.x, straight.x, rtol=0, atol=0)
    assert first.residuals + second.residuals == straight.residuals


# --- ADMM ------------------------------------------------------------------------------------------------------------


def test_the_data_step_is_the_minimiser():
    """½‖y − A z‖² + ρ/2 ‖z − x − u‖² has gradient zero at z, and u₊ = u + x − z."""
    problem = inpainting(4, 1, 8, 8)
    A, x, u = problem.operator, video(4, 1, 8, 8, seed=3), video(4, 1, 8, 8, seed=4)
    z, following = data_step(NormalSolver.of(A), 0.3, x, u, problem.y)
    torch.testing.assert_close(A.T(A(z) - problem.y) + 0.3 * (z - x - u), torch.zeros_like(z), rtol=0, atol=1e-14)
    torch.testing.assert_close(following, u + x - z, rtol=0, atol=1e-15)


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
    z = run(AdmmWavelet(rho=0.2, weight=weight, levels=levels, max_steps=1500, tol=1e-10), problem).x
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
    "solver", [AdmmWavelet(levels=(1, 2, 2), weight=0.05, tol=1e-10), AdmmTV(weight=0.05, time_weight=1.0, tol=1e-10)]
)
def test_rho_changes_the_way_not_the_end(solver):
    A = Diagonal(0.5 + video(4, 1, 8, 4), (4, 1, 8, 4))  # strongly convex: one minimum
    problem = InverseProblem(A, A(video(4, 1, 8, 4, seed=1)))
    ends = [run(dataclasses.replace(solver, rho=rho, max_steps=1500), problem).x for rho in (0.3, 1.0)]
    torch.testing.assert_close(*ends, rtol=0, atol=1e-6)


def test_the_fixed_point_residual_never_grows():
    solver = AdmmWavelet(levels=(1, 1, 1), tol=0.0)
    problem, changes, states = inpainting(4, 1, 8, 8), [], []

    def keep(step, state, residual):
        states.append(state)
        changes.append(residual * state.z.norm().item())

    run(dataclasses.replace(solver, max_steps=60), problem, keep)
    later = changes[1:]  # before the first step there is no memory to compare with
    assert all(after <= before * (1 + 1e-9) for before, after in itertools.pairwise(later))
    assert later[-1] < 0.2 * later[0]


# --- all solvers -----------------------------------------------------------------------------------------------------


def tv_problem(name):
    """2-D and temporal structure, noise, float64; strongly regularised, so that all methods arrive."""
    shape = (4, 1, 12, 12)
    truth = smooth_video(4, 1, 12).double()
    operators = {
        "sr2": forward_model("sr2", shape).operator.to(dtype=torch.float64),
        "mask": Diagonal((video(*shape, seed=5) > 0.3).double(), shape),
        "blur": Convolution(torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]).double() / 16, shape),
    }
    A = operators[name]
    noise = torch.randn(A.out_shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return InverseProblem(A, A(truth) + 0.02 * noise, 0.02)


@pytest.mark.parametrize(
    ("name", "prior"),
    [
        ("sr2", TotalVariation(0.05, 1.0)),
        ("mask", TotalVariation(0.05, 1.0)),
        ("blur", TotalVariation(0.05, 1.0)),
        ("mask", TotalVariation(0.05, 0.5, isotropic=False, huber=0.05)),
    ],
)
def test_equal_objectives_have_equal_minimisers(name, prior):
    problem = tv_problem(name)
    solvers = (
        Admm(prior, rho=0.1, balance=True),
        Admm(prior, rho=30.0, balance=True),
        PrimalDual(prior, rho=12.0),
        Fista(prior, inner=4),
        ProximalGradient(prior, inner=4),
    )
    values = [objective(solver, problem, solve(problem, solver, max_steps=400, tol=1e-9).x) for solver in solvers]
    assert max(values) / min(values) < 1 + 1e-4, values


def test_wavelets_and_groups_have_equal_minimisers():
    problem = tv_problem("mask")
    for prior in (WaveletL1(0.05, "haar", (1, 2, 2)), WaveletL1(0.05, "db2", (1, 1, 1)), GroupSparsity(0.05, (0,))):
        solvers = (Admm(prior, rho=1.0), PrimalDual(prior, rho=1.0), Fista(prior), ProximalGradient(prior))
        ends = [solve(problem, solver, max_steps=1000, tol=1e-9).x for solver in solvers]
        values = [objective(solver, problem, x) for solver, x in zip(solvers, ends, strict=True)]
        assert max(values) / min(values) < 1 + 1e-8


def test_several_priors_act_together():
    problem, prior = tv_problem("blur"), TotalVariation(0.02, 1.0)
    inside = (prior, Box(0.3, 0.6))
    ends = [
        run(Admm(inside, rho=1.0, max_steps=500, tol=1e-9), problem).x,
        run(PrimalDual(inside, rho=4.0, max_steps=700, tol=1e-9), problem).x,
    ]
    values = [objective(Admm(prior), problem, x) for x in ends]
    assert values[0] == pytest.approx(values[1], rel=1e-4)
    assert all(x.min() > 0.3 - 1e-4 and x.max() < 0.6 + 1e-4 for x in ends)
    assert (ends[0] - 0.3).abs().min() < 1e-4  # the bound is active


@pytest.mark.parametrize("name", ["denoise", "fi2", "tdd", "color", "sr2", "md", "pid"])
def test_tikhonov_solves_its_normal_equations(name):
    shape = (4, 3, 9, 8)
    problem = forward_model(name, shape).to(dtype=torch.float64).measure(video(*shape))
    solver = Tikhonov(weight=0.03, time_weight=2.0)
    x = run(solver, problem).x
    A, R = problem.operator, solver.prior
    residual = A.T(A(x) - problem.y) + R.weight * R.gradient_adjoint(R.gradient(x))
    assert residual.norm() < 2e-6 * A.T(problem.y).norm()
    moved = x + 1e-3 * video(*shape, seed=1)
    assert solver.objective(problem, moved) > solver.objective(problem, x)


def test_tikhonov_takes_a_single_frame():
    problem = forward_model("denoise", (1, 1, 8, 8)).measure(video(1, 1, 8, 8, dtype=torch.float32))
    assert run(Tikhonov(weight=0.1), problem).x.shape == (1, 1, 8, 8)


@pytest.mark.parametrize("name", ["pid", "sr2", "dd", "cs"])
def test_cgls_arrives_at_the_pseudoinverse(name):
    shape = (2, 3, 1, 6, 6)
    problem = forward_model(name, shape).to(dtype=torch.float64).measure(video(*shape))
    solution = solve(problem, "cgls", tol=1e-12, max_steps=2000)
    torch.testing.assert_close(solution.x, solve(problem, "pinv").x, rtol=0, atol=1e-6)
    assert solution.converged is not None
    assert solution.converged.all()


def test_cgls_lowers_the_misfit_with_every_step():
    problem = forward_model("dd", (2, 1, 8, 8)).to(dtype=torch.float64).measure(video(2, 1, 8, 8))
    assert (trace(Cgls(max_steps=30, tol=0.0), problem).diff() <= 1e-15).all()


def test_proximal_gradient_descends_and_fista_is_faster():
    problem = tv_problem("blur")
    prior = WaveletL1(0.01, "haar", (1, 2, 2))
    slow, fast = (trace(kind(prior, max_steps=40, tol=0.0), problem) for kind in (ProximalGradient, Fista))
    assert (slow.diff() <= 1e-12).all()
    assert fast[-1] < slow[-1]


def test_balancing_makes_a_bad_rho_good():
    problem, prior = tv_problem("mask"), TotalVariation(0.05, 1.0)
    best = run(Admm(prior, rho=2.0, max_steps=600, tol=1e-9), problem).x
    gaps = []
    for balance in (False, True):
        solver = Admm(prior, rho=50.0, balance=balance, max_steps=100, tol=0.0)
        x = run(solver, problem).x
        gaps.append(objective(solver, problem, x) - objective(solver, problem, best))
    assert 0 < gaps[1] < gaps[0] / 20


def test_half_quadratic_splitting_ends_near_the_minimum():
    """The more slowly ρ grows, the nearer."""
    problem, prior = tv_problem("mask"), TotalVariation(0.05, 1.0)
    best = run(Admm(prior, rho=2.0, max_steps=600, tol=1e-9), problem).x
    last = [
        float(trace(HalfQuadratic(prior, rho=0.05, growth=growth, max_steps=steps, tol=0.0), problem)[-1])
        for growth, steps in ((1.5, 16), (1.1, 70), (1.02, 350))
    ]
    minimum = objective(Admm(prior), problem, best)
    assert last[0] > last[1] > last[2] > minimum
    assert last[2] < 1.02 * minimum


def test_the_history_is_per_sample():
    truth = video(2, 4, 1, 8, 8)
    problem = forward_model("sr2", (2, 4, 1, 8, 8)).to(dtype=torch.float64).measure(truth)
    solver = AdmmTV(max_steps=4, tol=0.0)
    solution = solve(problem, solver, truth=truth, history=True)
    history = solution.history
    assert history is not None
    assert history.residual.shape == history.misfit.shape == (4, 2)
    x = solution.x
    torch.testing.assert_close(history.psnr[-1], psnr(x, truth))  # type: ignore[index]
    misfit = (problem.operator(x) - problem.y).square().mean((-4, -3, -2, -1)).sqrt()
    torch.testing.assert_close(history.misfit[-1], misfit)
    value = misfit**2 * 4 * 16 / 2 + solver.priors[0].value(x)
    torch.testing.assert_close(history.objective[-1], value)  # type: ignore[index]
    assert solution.sample_steps.tolist() == [4, 4]  # type: ignore[union-attr]
    assert solution.converged.tolist() == [False, False]  # type: ignore[union-attr]
    denoised = solve(problem, "admm", prior=PlugAndPlay(lambda x, sigma: x), max_steps=2, history=True)
    assert denoised.history is not None
    assert denoised.history.objective is None


@pytest.mark.parametrize("name", [name for name in CLASSICAL if name not in DIRECT])
def test_different_operators_in_one_batch(name):
    """Every solver takes a batch of different operators and gives each sample what it gets alone."""
    truth = video(4, 1, 8, 8)
    alone = [forward_model(kind, (4, 1, 8, 8)).to(dtype=torch.float64).measure(truth) for kind in ("sr2", "dd", "fi2")]
    fields = {"max_steps": 4, "tol": 0.0}
    fields |= {"rho": 0.1} if name in ("admm", "hqs", "primal-dual") else {}
    fields |= (
        {"prior": TotalVariation(0.01)} if name in ("admm", "hqs", "fista", "proximal-gradient", "primal-dual") else {}
    )
    fields |= {"weight": 0.01, "rho": 0.1} if name in ("admm-tv", "admm-wavelet") else {}
    fields |= (
        {"time_weight": 1.0}
        if name == "admm-tv"
        else {"levels": 1, "wavelet": "haar"}
        if name == "admm-wavelet"
        else {}
    )
    together = solve(collate(alone), name, history=True, **fields)
    for i, problem in enumerate(alone):
        single = solve(problem, name, history=True, **fields)
        torch.testing.assert_close(together.x[i], single.x, rtol=0, atol=1e-9)
        assert together.history is not None
        assert single.history is not None
        torch.testing.assert_close(together.history.misfit[-1, i], single.history.misfit[-1], rtol=0, atol=1e-9)


# --- defaults --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["admm-wavelet", "admm-tv"])
def test_every_problem_has_tuned_fields(solver):
    assert set(TUNED[solver]) == set(PROBLEMS)
    for rows in TUNED[solver].values():
        assert all(type(entry) is SOLVERS[solver] for entry in rows.values())


@pytest.mark.parametrize("solver", ["admm-wavelet", "admm-tv"])
@pytest.mark.parametrize("name", [*PROBLEMS, None])
def test_defaults_follow_the_noise(solver, name):
    """Beyond the tuned levels the weight is proportional to σ."""
    A = Diagonal(torch.ones(1, 1, 1, 1), (2, 3, 4, 4))

    def at(std):
        found = tuned(solver, InverseProblem(A, torch.zeros(2, 3, 4, 4), std, name))
        assert found is not None
        return found

    for less, more in itertools.pairwise(at(std) for std in (0.1, 0.2, 0.4)):
        assert more.weight == pytest.approx(2 * less.weight)
        assert more.rho >= less.rho
    assert at(torch.tensor([0.3, 0.3])) == at(0.3)
    assert 0 < at(0.0).weight <= at(0.1).weight


def test_own_fields_replace_the_defaults():
    problem = inpainting(4, 1, 8, 8)
    named = dataclasses.replace(problem, name="sr4")
    solution = solve(named, "admm-tv", max_steps=2, tol=0.0)
    default = tuned("admm-tv", named)
    assert default is not None
    assert default != AdmmTV()
    expected = run(dataclasses.replace(default, max_steps=2, tol=0.0), named)
    torch.testing.assert_close(solution.x, expected.x, rtol=0, atol=0)
    of_object = solve(problem, AdmmTV(max_steps=9, tol=0.0), max_steps=2)
    torch.testing.assert_close(of_object.x, run(AdmmTV(max_steps=2, tol=0.0), problem).x, rtol=0, atol=0)


# --- errors ----------------------------------------------------------------------------------------------------------

GOOD = forward_model("sr2", (2, 3, 8, 8)).measure(torch.rand(2, 3, 8, 8))


def with_y(y):
    return dataclasses.replace(GOOD, y=y)


@pytest.mark.parametrize(
    ("problem", "solver", "fields", "error", "words"),
    [
        (GOOD, "admm-vt", {}, SpecError, "unknown solver 'admm-vt': did you mean admm-tv"),
        (GOOD, "zzz", {}, SpecError, "known are pinv"),
        (GOOD, "pinv", {"rho": 1.0}, SpecError, "Pinv has no field rho: it has none"),
        (GOOD, "admm-tv", {"lam": 1.0}, SpecError, "no field lam: its fields are max_steps, .*time_weight"),
        (GOOD, "fista", {"prior": (Box(), Box())}, SpecError, "Fista takes one prior, got 2: take admm"),
        (GOOD, "fista", {"inner": 0}, SpecError, "inner must be"),
        (GOOD, "admm", {"prior": torch.sin}, SpecError, "wrap a denoiser in PlugAndPlay"),
        (GOOD, "admm", {"relaxation": 2.0}, SpecError, "relaxation must lie between 0 and 2, got 2"),
        (GOOD, "primal-dual", {"rho": -1.0}, SpecError, "rho must be a positive number"),
        (GOOD, "hqs", {"growth": 0.5}, SpecError, "growth must be 1 or more"),
        (GOOD, "cgls", {"max_steps": 0}, SpecError, "max_steps must be"),
        (GOOD, "tikhonov", {"weight": 0.0}, SpecError, "weight must be a positive number"),
        (GOOD, AdmmTV(), {"levels": 1}, SpecError, "AdmmTV has no field levels"),
        (GOOD, "admm-tv", {"rho": 0.0}, SpecError, "rho must be a positive number, got 0"),
        (GOOD, "admm-tv", {"rho": math.nan}, SpecError, "rho must be"),
        (GOOD, "admm-tv", {"weight": -1.0}, SpecError, "weight must be 0 or more, got -1"),
        (GOOD, "admm-tv", {"max_steps": 0}, SpecError, "max_steps must be"),
        (GOOD, "admm-tv", {"max_steps": 2.5}, SpecError, "max_steps must be"),
        (GOOD, "admm-tv", {"tol": -1e-3}, SpecError, "tol must be"),
        (GOOD, "admm-tv", {"time_weight": -1.0}, SpecError, "time_weight must be"),
        (GOOD, "admm-wavelet", {"wavelet": "bior2.2"}, SpecError, "not orthonormal"),
        (GOOD, "admm-wavelet", {"levels": (1, 1)}, SpecError, "each of T, H, W"),
        (with_y(torch.rand(2, 3, 5, 4)), "pinv", {}, ShapeError, "got y of shape"),
        (with_y(torch.rand(4)), "pinv", {}, ShapeError, "got y of shape"),
        (with_y(torch.rand(0, 2, 3, 4, 4)), "pinv", {}, MeasurementError, "no entries"),
        (with_y(torch.full((2, 3, 4, 4), math.nan)), "pinv", {}, MeasurementError, "96 of 96 measurements are NaN"),
        (with_y(torch.zeros(2, 3, 4, 4, dtype=torch.uint8)), "pinv", {}, DtypeError, "floating point"),
    ],
)
def test_bad_input_is_told(problem, solver, fields, error, words):
    with pytest.raises(error, match=words):
        solve(problem, solver, **fields)
