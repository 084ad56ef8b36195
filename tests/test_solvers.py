"""Every classical solver on every problem, and where those of one objective arrive."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from videos import objective, trace, tv_problem, video

from linops_video import (
    PROBLEMS,
    BoxMean,
    Diagonal,
    Identity,
    InverseProblem,
    NormalSolver,
    collate,
    forward_model,
    gradient,
    parse,
)
from linops_video.solvers import (
    SOLVERS,
    Admm,
    Box,
    Cgls,
    Fista,
    GroupSparsity,
    HalfQuadratic,
    NuclearNorm,
    PreconditionedPrimalDual,
    PrimalDual,
    ProximalGradient,
    Red,
    Tikhonov,
    TotalVariation,
    WaveletL1,
    run,
    solve,
)

CLASSICAL = tuple(name for name in SOLVERS if name not in ("onenet", "videoonet"))
DIRECT = ("pinv", "tikhonov")


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_solver_takes_every_problem_of_any_size(name):
    shape = (2, 5, 3, 9, 7)
    truth = video(*shape, dtype=torch.float32)
    problem = forward_model(name, shape, seed=1).measure(truth, seed=1).prepare()
    for solver in CLASSICAL:
        fields = {} if solver in DIRECT else {"max_steps": 2, "tol": 0.0}
        solution = solve(problem, solver, **fields)
        assert solution.x.shape == shape
        assert solution.x.dtype == torch.float32
        assert torch.isfinite(solution.x).all()
        assert solution.steps == fields.get("max_steps", 0) or solver == "cgls"  # which may have arrived
        assert len(solution.residuals) == solution.steps


@pytest.mark.parametrize("kind", [Admm, PrimalDual, PreconditionedPrimalDual], ids=lambda kind: kind.__name__)
def test_short_steps_are_not_taken_for_convergence(kind):
    """With a ρ far above ‖A‖² nothing moves by much; a residual of `tol` still means a minimum of the objective."""
    A, prior = 0.01 * BoxMean(2, (4, 1, 8, 8)), TotalVariation(1e-6, 1.0)
    problem = InverseProblem(A, A(video(4, 1, 8, 8)))
    assert run(kind(prior, max_steps=50), problem).status == "max_steps"
    solvers: list[Any] = [kind(prior, rho=3e-5, max_steps=5000, tol=tol) for tol in (1e-4, 1e-5)]
    near, best = (run(solver, problem) for solver in solvers)
    assert near.status == "converged"
    assert objective(solvers[0], problem, near.x) < 1.01 * objective(solvers[0], problem, best.x)
    inside = InverseProblem(Identity((4, 1, 8, 8)), 0.2 + 0.6 * video(4, 1, 8, 8), 0.1)
    assert run(kind(Box()), inside).status == "converged"  # where the prior pulls with nothing


@pytest.mark.parametrize("kind", [Fista, ProximalGradient], ids=lambda kind: kind.__name__)
def test_an_inner_iteration_that_goes_on_is_not_taken_for_convergence(kind):
    problem = InverseProblem(Identity((4, 1, 8, 8)), video(4, 1, 8, 8))
    solver, exact = (kind(TotalVariation(0.3, 8.0), inner=n, max_steps=1000) for n in (10, 400))
    found, best = run(solver, problem), run(exact, problem)
    assert found.status == "converged"
    assert objective(solver, problem, found.x) < (1 + 1e-3) * objective(solver, problem, best.x)


@pytest.mark.parametrize("kind", [Admm, HalfQuadratic, PrimalDual, PreconditionedPrimalDual], ids=lambda k: k.__name__)
def test_the_result_lies_in_its_bounds(kind):
    truth = (video(4, 1, 8, 8, dtype=torch.float32) > 0.5).float()
    problem = forward_model("pid", (4, 1, 8, 8)).measure(truth)
    solver: Any = kind((TotalVariation(0.03), Box()), max_steps=20)
    solution = run(solver, problem, history=True)
    assert 0 <= solution.x.min() < solution.x.max() <= 1
    assert solution.history is not None
    assert solution.history.objective is not None
    assert solution.history.objective[-1] == objective(solver, problem, solution.x) < math.inf


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("prior", [TotalVariation, GroupSparsity, NuclearNorm], ids=lambda prior: prior.__name__)
@pytest.mark.parametrize("kind", [Admm, PrimalDual], ids=lambda kind: kind.__name__)
def test_small_values_are_solved_as_large_ones(kind, prior, dtype):
    A, unit = Diagonal((video(2, 1, 6, 6, seed=5) > 0.5).to(dtype), (2, 1, 6, 6)), 2.0**-40
    y = A(video(2, 1, 6, 6, dtype=dtype))
    large, small = (run(kind(prior(0.05 * s), max_steps=50), InverseProblem(A, s * y)) for s in (1.0, unit))
    assert small.steps == large.steps > 1
    torch.testing.assert_close(small.x / unit, large.x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("text", ["identity", "mask(0.5, seed=1)"])
@pytest.mark.parametrize("weight", [1e3, 1e6, 1e12, 1e16])
def test_a_large_weight_of_tikhonov_gives_the_mean(text, weight):
    A = parse(text, (2, 1, 8, 8))
    y = A(video(2, 1, 8, 8, dtype=torch.float32))
    x = run(Tikhonov(weight), InverseProblem(A, y)).x
    mean = y.sum() / A(torch.ones(2, 1, 8, 8)).sum()
    torch.testing.assert_close(x, mean.expand(x.shape), rtol=0, atol=20 / weight + 1e-6)


@pytest.mark.parametrize("weight", [1e-6, 1e-4, 1e-2])
def test_tikhonov_in_float32_keeps_its_digits_at_a_small_weight(weight):
    shape = (4, 1, 8, 8)
    A = Diagonal((torch.rand(shape, generator=torch.Generator().manual_seed(0)) > 0.5).double(), shape)
    problem = InverseProblem(A, A(torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)))
    wide, single = (run(Tikhonov(weight), p).x.double() for p in (problem, problem.to(dtype=torch.float32)))
    assert float((single - wide).norm() / wide.norm()) <= 1e-6


def test_cgls_has_arrived_where_its_residual_is_small():
    """Not where the one that it updates is, which drifts from it."""
    A = parse("blur(gaussian, 2, circular)", (2, 1, 16, 16))
    problem = InverseProblem(A, A(video(2, 1, 16, 16, dtype=torch.float32)))
    found = run(Cgls(tol=1e-8, max_steps=200), problem)
    exact = problem.to(dtype=torch.float64)
    left = exact.operator.H(exact.operator(found.x.double()) - exact.y).norm() / exact.operator.H(exact.y).norm()
    assert (found.status == "converged") == bool(left <= 1e-8)
    assert found.residuals[-1] == pytest.approx(float(left), rel=0.5)


@pytest.mark.parametrize("batch", [(), (2,)], ids=["one operator", "one a sample"])
def test_a_prepared_problem_is_set_up_once(batch, monkeypatch):
    """For all solvers; another operator, device or precision is set up anew."""
    problem = forward_model("vcs", (*batch, 4, 1, 6, 5)).measure(video(*batch, 4, 1, 6, 5, dtype=torch.float32))
    fields: dict[str, dict[str, Any]] = {"pinv": {}}
    fields |= {name: {"max_steps": 3} for name in ("admm-tv", "admm", "hqs", "primal-dual")}
    plain = {name: solve(problem, name, **own).x for name, own in fields.items()}
    ready = problem.prepare()
    for other in (problem.to(dtype=torch.float64), ready.to(dtype=torch.float64)):
        assert other.normal.operator is other.operator
    changed = dataclasses.replace(ready, operator=2.0 * problem.operator)
    assert changed.normal.operator is changed.operator
    monkeypatch.setattr(NormalSolver, "of", None)
    for name, x in plain.items():
        torch.testing.assert_close(solve(ready, name, **fields[name]).x, x, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "prior"),
    [
        ("sr2", TotalVariation(0.05, 1.0)),
        ("mask", TotalVariation(0.05, 1.0)),
        ("mask", TotalVariation(0.05, 0.5, isotropic=False, huber=0.05)),
    ],
)
def test_equal_objectives_have_equal_minimisers(name, prior):
    problem = tv_problem(name)
    solvers = (
        Admm(prior, rho=0.1, balance=True),
        Admm(prior, rho=30.0, balance=True),
        PrimalDual(prior, rho=12.0),
        PreconditionedPrimalDual(prior, rho=1.0),
        Fista(prior, inner=4),
        ProximalGradient(prior, inner=4),
    )
    steps = 150 if name == "mask" else 250
    values = [objective(solver, problem, solve(problem, solver, max_steps=steps, tol=1e-9).x) for solver in solvers]
    assert max(values) / min(values) < 1 + 1e-4, values


@pytest.mark.parametrize("prior", [WaveletL1(0.05, "db2", (1, 2, 2)), WaveletL1(0.05, "haar", (1, 1, 0), spins=2)])
def test_wavelets_of_any_size_have_one_minimiser(prior):
    """Whatever the method, its step and its relaxation, on sizes that the levels do not divide, and spun."""
    A = Diagonal(0.8 + 0.4 * video(5, 1, 6, 4), (5, 1, 6, 4))  # strongly convex: one minimum
    problem = InverseProblem(A, A(video(5, 1, 6, 4, seed=1)))
    solvers = (
        Admm(prior, rho=1.0, relaxation=1.0),
        Admm(prior, rho=30.0, balance=True),
        PrimalDual(prior, rho=3.0),
        PreconditionedPrimalDual(prior, rho=0.5),
        Fista(prior, inner=4),
        ProximalGradient(prior, inner=4),
    )
    ends = [solve(problem, solver, max_steps=1000, tol=1e-10).x for solver in solvers]
    for x in ends[1:]:
        torch.testing.assert_close(x, ends[0], rtol=0, atol=1e-8)


def test_wavelets_and_groups_have_equal_minimisers():
    problem = tv_problem("mask")
    for prior in (WaveletL1(0.05, "haar", (1, 2, 2)), WaveletL1(0.05, "db2", (1, 1, 1)), GroupSparsity(0.05, (0,))):
        splitting = (kind(prior, rho=1.0) for kind in (Admm, PrimalDual, PreconditionedPrimalDual))
        solvers = (*splitting, Fista(prior), ProximalGradient(prior))
        ends = [solve(problem, solver, max_steps=1000, tol=1e-9).x for solver in solvers]
        values = [objective(solver, problem, x) for solver, x in zip(solvers, ends, strict=True)]
        assert max(values) / min(values) < 1 + 1e-8


def test_several_priors_act_together():
    problem, prior = tv_problem("blur"), TotalVariation(0.02, 1.0)
    inside = (prior, Box(0.3, 0.6))
    ends = [
        run(Admm(inside, rho=1.0, max_steps=250, tol=1e-9), problem).x,
        run(PrimalDual(inside, rho=4.0, max_steps=400, tol=1e-9), problem).x,
        run(PreconditionedPrimalDual(inside, rho=1.0, max_steps=400, tol=1e-9), problem).x,
    ]
    values = [objective(Admm(prior), problem, x) for x in ends]
    assert max(values) / min(values) < 1 + 1e-4
    assert all(x.min() > 0.3 - 1e-4 and x.max() < 0.6 + 1e-4 for x in ends)
    assert (ends[0] - 0.3).abs().min() < 1e-4  # the bound is active


@pytest.mark.parametrize("kind", [Admm, PrimalDual, PreconditionedPrimalDual, HalfQuadratic, Fista])
def test_every_method_finds_the_minimum_of_red(kind):
    """A prior that is one iteration is iterated where a method keeps no memory: min ½‖Ax − y‖² + 0.1 ‖x‖²."""
    mask, y = (video(4, 1, 5, 5) > 0.4).double(), video(4, 1, 5, 5, seed=1)
    fields: Any = {"growth": 1.0, "rho": 20.0} if kind is HalfQuadratic else {} if kind is Fista else {"rho": 0.3}
    solver: Any = kind(Red(lambda x, sigma: x / 2, 0.4), max_steps=2000, tol=1e-11, **fields)
    x = run(solver, InverseProblem(Diagonal(mask, (4, 1, 5, 5)), mask * y)).x
    # half-quadratic splitting with one ρ takes the Moreau envelope of the prior
    weight = 0.2 / (1 + 0.2 / 20.0) if kind is HalfQuadratic else 0.2
    torch.testing.assert_close(x, mask * y / (mask + weight), rtol=0, atol=1e-8)


@pytest.mark.parametrize("weight", [1e-2, 1e-4, 1e-6])
def test_tikhonov_fills_what_is_not_seen_whatever_its_weight(weight):
    shape = (3, 1, 8, 8)
    A = Diagonal(video(*shape) < 0.3, shape)
    y = A(video(*shape, seed=1))
    D = gradient(shape, (1.0, 1.0, 1.0)).to_dense(torch.float64)
    expected = torch.linalg.solve(A.to_dense(torch.float64) + weight * D.T @ D, y.flatten())
    x = run(Tikhonov(weight), InverseProblem(A, y)).x.flatten()
    assert torch.linalg.vector_norm(x - expected) < 1e-4 * torch.linalg.vector_norm(expected)


@pytest.mark.parametrize("name", ["denoise", "fi2", "tdd", "color", "sr2", "md", "pid"])
def test_tikhonov_solves_its_normal_equations(name):
    shape = (4, 3, 9, 8)
    problem = forward_model(name, shape).to(dtype=torch.float64).measure(video(*shape))
    solver = Tikhonov(weight=0.03, time_weight=2.0)
    x = run(solver, problem).x
    A, R = problem.operator, solver.prior
    residual = A.T(A(x) - problem.y) + R.weight * R.synthesise(R.analyse(x))
    assert residual.norm() < 2e-6 * A.T(problem.y).norm()
    moved = x + 1e-3 * video(*shape, seed=1)
    assert solver.objective(problem, moved) > solver.objective(problem, x)


def test_tikhonov_takes_a_single_frame():
    problem = forward_model("denoise", (1, 1, 8, 8)).measure(video(1, 1, 8, 8, dtype=torch.float32))
    assert run(Tikhonov(weight=0.1), problem).x.shape == (1, 1, 8, 8)


def test_tikhonov_of_a_single_pixel_is_the_pseudoinverse():
    problem = InverseProblem(2.0 * Identity((1, 1, 1, 1)), torch.ones(1, 1, 1, 1))
    torch.testing.assert_close(solve(problem, "tikhonov").x, torch.full((1, 1, 1, 1), 0.5))


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


@pytest.mark.parametrize("name", [name for name in CLASSICAL if name not in DIRECT])
def test_different_operators_in_one_batch(name):
    """Every solver takes a batch of different operators and gives each sample what it gets alone."""
    truth = video(4, 1, 8, 8)
    alone = [forward_model(kind, (4, 1, 8, 8)).to(dtype=torch.float64).measure(truth) for kind in ("sr2", "dd", "fi2")]
    fields = {"max_steps": 4, "tol": 0.0}
    fields |= {"rho": 0.1} if name in ("admm", "hqs", "primal-dual", "primal-dual-fft") else {}
    fields |= (
        {"prior": TotalVariation(0.01)}
        if name in ("admm", "hqs", "fista", "proximal-gradient", "primal-dual", "primal-dual-fft")
        else {}
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


@pytest.mark.parametrize("name", [name for name in CLASSICAL if name != "admm-wavelet"])
def test_a_complex_channel_is_two_real_ones(name):
    """Isotropic TV, squares and least squares see the real and the imaginary part as they see two channels."""
    truth, mask = video(2, 3, 2, 5, 4), (video(3, 1, 5, 4, seed=1) > 0.4).double()
    fields: dict[str, Any] = {} if name in DIRECT else {"max_steps": 5, "tol": 0.0}
    if name == "admm":
        fields["balance"] = True
    y = mask * torch.complex(truth[:, :, :1], truth[:, :, 1:])
    complex_problem = InverseProblem(Diagonal(mask, (3, 1, 5, 4)), y, 0.02)
    real_problem = InverseProblem(Diagonal(mask.expand(3, 2, 5, 4), (3, 2, 5, 4)), mask * truth, 0.02)
    found, expected = solve(complex_problem, name, **fields), solve(real_problem, name, **fields)
    near = 1e-6 if name == "tikhonov" else 1e-10  # by conjugate gradients, to 1e-6
    torch.testing.assert_close(torch.view_as_real(found.x.squeeze(-3)), expected.x.movedim(-3, -1), rtol=0, atol=near)
    torch.testing.assert_close(found.residuals, expected.residuals, rtol=1e-9, atol=1e-12)


def test_solvers_take_samples_of_a_spectrum():
    A = parse("mask(0.5) @ fourier(h,w)", (4, 1, 8, 8), seed=0)
    problem = InverseProblem(A, A(video(4, 1, 8, 8).to(torch.complex128)), 0.02)
    prior = TotalVariation(0.02)
    kinds = (Admm, PrimalDual, PreconditionedPrimalDual)
    solvers: list[Any] = [kind(prior, max_steps=300, tol=0.0) for kind in kinds]
    values = [objective(solver, problem, run(solver, problem).x) for solver in solvers]
    assert max(values) / min(values) < 1 + 1e-5
    assert solve(problem, "admm-wavelet", max_steps=3).x.is_complex()
