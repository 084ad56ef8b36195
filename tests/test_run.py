"""The loop of every solver: stopping, trace, history, and what it refuses."""

import dataclasses
import math
import pickle
import sys
from typing import Any

import numpy as np
import pytest
import torch
from memory import in_use, needs_linux
from videos import inpainting, smooth_video, tv_problem, video

from linops_video import Diagonal, Identity, InverseProblem, Solution, forward_model
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
    HalfQuadratic,
    Pinv,
    PlugAndPlay,
    PreconditionedPrimalDual,
    PrimalDual,
    ProximalGradient,
    Red,
    SquaredNorm,
    Tikhonov,
    TotalVariation,
    run,
    solve,
)


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


@needs_linux
def test_a_history_takes_no_memory_but_its_own():
    problem, used = forward_model("sr2", (4, 3, 128, 128)).measure(torch.rand(4, 3, 128, 128)), []
    solve(problem, "primal-dual", max_steps=60, tol=0, history=True, on_step=lambda *_: used.append(in_use()))
    assert used[-1] - used[9] < 10 * problem.operator.in_size * 4


GOOD = forward_model("sr2", (2, 3, 8, 8)).measure(torch.rand(2, 3, 8, 8))


NONE: Any = None


def with_y(y, noise_std: float | torch.Tensor = 0.0):
    return dataclasses.replace(GOOD, y=y, noise_std=noise_std)


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
        (GOOD, "hqs", {"growth": "a"}, SpecError, "growth must be 1 or more, got a"),
        (GOOD, "admm", {"relaxation": "a"}, SpecError, "relaxation must lie between 0 and 2, got a"),
        (GOOD, "cgls", {"tol": None}, SpecError, "tol must be 0 or more, got None"),
        (GOOD, "admm-wavelet", {"levels": (1, "a", 1)}, SpecError, "levels needs one whole number, or one for each"),
        (GOOD, "admm-wavelet", {"wavelet": None}, SpecError, "wavelet needs one name, or one for each of T, H, W"),
        (GOOD, "onenet", {"weights": 3}, SpecError, "weights are a file, or the name of a shipped set, got 3"),
        (GOOD, "cgls", {"max_steps": 0}, SpecError, "max_steps must be"),
        (GOOD, "tikhonov", {"weight": 0.0}, SpecError, "weight must be a positive number"),
        (GOOD, AdmmTV(), {"levels": 1}, SpecError, "AdmmTV has no field levels"),
        (GOOD, "admm-tv", {"rho": 0.0}, SpecError, "rho must be a positive number, got 0"),
        (GOOD, "admm-tv", {"rho": math.nan}, SpecError, "rho must be"),
        (GOOD, "admm-tv", {"weight": -1.0}, SpecError, "weight must be one finite number, 0 or more, got -1"),
        (GOOD, "admm-tv", {"max_steps": 0}, SpecError, "max_steps must be"),
        (GOOD, "admm-tv", {"max_steps": 2.5}, SpecError, "max_steps must be"),
        (GOOD, "admm-tv", {"tol": -1e-3}, SpecError, "tol must be"),
        (GOOD, "admm-tv", {"time_weight": -1.0}, SpecError, "time_weight must be"),
        (GOOD, "admm-wavelet", {"wavelet": "bior2.2"}, SpecError, "not orthonormal"),
        (GOOD, "admm-wavelet", {"levels": (1, 1)}, SpecError, "each of T, H, W"),
        (GOOD, "admm-tv", {"weight": "0.1"}, SpecError, "weight must be one finite number, 0 or more, got '0.1'"),
        (GOOD, AdmmTV, {}, SpecError, "an object, as AdmmTV"),
        (GOOD, None, {}, SpecError, "a solver is an object, as AdmmTV.., or for `solve` a name, .* got NoneType"),
        (GOOD, PlugAndPlay(lambda x, _: x), {}, SpecError, "a solver is an object, .* got PlugAndPlay"),
        (GOOD, "admm", {"prior": torch.nn.Sequential(torch.nn.Flatten())}, SpecError, "got Sequential: wrap"),
        (GOOD, "admm-tv", {"truth": torch.rand(2, 2)}, ShapeError, "the truth must be a video of shape .2×3×8×8."),
        (
            GOOD,
            "admm-tv",
            {"truth": torch.rand(2, 3, 8, 8).numpy()},
            DtypeError,
            "truth must be a torch tensor, got nd",
        ),
        (GOOD.y, "pinv", {}, SpecError, r"solvers take an InverseProblem\(operator, y\), .* got Tensor"),
        (forward_model("sr2", (2, 3, 8, 8)), "pinv", {}, SpecError, r"measure\(video\) makes one, got ForwardModel"),
        (with_y(torch.rand(2, 3, 4, 4), NONE), "pinv", {}, MeasurementError, "0 or more, got None"),
        (with_y(torch.rand(2, 3, 4, 4), NONE), "admm-tv", {}, MeasurementError, "0 or more, got None"),
        (with_y(torch.rand(2, 3, 4, 4), torch.tensor(1j)), "pinv", {}, MeasurementError, "0 or more, got 1j"),
        (GOOD, "admm-tv", {"start": torch.rand(2, 3, 8, 8)}, SpecError, "earlier Solution by the same solver"),
        (GOOD, "admm-tv", {"start": Solution(torch.rand(1, 3, 8, 8), "direct", 0)}, ShapeError, "of shape .1×3×8×8."),
        (with_y(torch.rand(2, 3, 4, 4), -1.0), "pinv", {}, MeasurementError, "0 or more, got -1"),
        (with_y(torch.rand(2, 3, 4, 4), math.inf), "pinv", {}, MeasurementError, "0 or more, got inf"),
        (with_y(torch.rand(2, 3, 4, 4).numpy()), "pinv", {}, DtypeError, "a torch tensor, got ndarray"),
        (with_y(torch.rand(2, 3, 5, 4)), "pinv", {}, ShapeError, r"\(\*batch×2×3×4×4\), got y of shape \(2×3×5×4\)"),
        (with_y(torch.rand(4)), "pinv", {}, ShapeError, "got y of shape"),
        (with_y(torch.rand(2, 3, 4, 4), torch.tensor([0.1, 0.2])), "admm", {}, ShapeError, "a number for each sample"),
        (with_y(torch.rand(0, 2, 3, 4, 4)), "pinv", {}, MeasurementError, "no entries"),
        (with_y(torch.full((2, 3, 4, 4), math.nan)), "pinv", {}, MeasurementError, "96 of 96 measurements are NaN"),
        (with_y(torch.zeros(2, 3, 4, 4, dtype=torch.uint8)), "pinv", {}, DtypeError, "floating point"),
    ],
)
def test_bad_input_is_told(problem, solver, fields, error, words):
    with pytest.raises(error, match=words):
        solve(problem, solver, **fields)


VIDEO_SOLVERS = [name for name in SOLVERS if name not in ("pinv", "cgls")]


def test_numbers_of_numpy_are_taken():
    one: Any = np.float32(0.5)
    ours = Admm(TotalVariation(one), rho=one, relaxation=one, tol=one - one, max_steps=3)
    plain = Admm(TotalVariation(0.5), rho=0.5, relaxation=0.5, tol=0.0, max_steps=3)
    torch.testing.assert_close(run(ours, GOOD).x, run(plain, GOOD).x, rtol=0, atol=0)


@pytest.mark.parametrize("solver", VIDEO_SOLVERS)
@pytest.mark.parametrize("batch", [(), (4,)])
def test_images_are_refused_by_solvers_for_videos(solver, batch):
    """A batch of them is no video: its samples would not be solved by themselves."""
    problem = InverseProblem(Identity((3, 8, 8)), torch.rand(*batch, 3, 8, 8), 0.01)
    with pytest.raises(ShapeError, match=r"the operator is for \(3×8×8\): build it for \(1, C, H, W\)"):
        solve(problem, solver)


WARM = [Admm, AdmmTV, AdmmWavelet, PrimalDual, PreconditionedPrimalDual, Cgls]


@pytest.mark.parametrize("solver", WARM, ids=lambda s: s.__name__)
def test_a_start_from_another_measurement_leads_to_the_solution_of_this_one(solver):
    first, second = inpainting(4, 1, 8, 8), inpainting(4, 1, 8, 8)
    second = dataclasses.replace(second, y=1 - 0.5 * second.y)
    named = {AdmmTV: {"weight": 0.02}, AdmmWavelet: {"weight": 0.02, "levels": 1}, Cgls: {}}
    made = solver(**named[solver]) if solver in named else solver(TotalVariation(0.02))
    made = dataclasses.replace(made, max_steps=400, tol=1e-10)
    cold = run(made, second)
    warm = run(made, second, start=run(made, first))
    values = [made.objective(second, x) for x in (warm.x, cold.x)]  # of many minimisers either is right
    torch.testing.assert_close(values[0], values[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("solver", [Admm, PrimalDual, PreconditionedPrimalDual], ids=lambda s: s.__name__)
def test_a_start_with_another_rho_leads_to_the_same_solution(solver):
    problem = inpainting(4, 1, 8, 8)
    runs = [solver(TotalVariation(0.02), rho=rho, max_steps=1000, tol=1e-9) for rho in (0.1, 0.4)]
    cold = run(runs[1], problem)
    torch.testing.assert_close(run(runs[1], problem, start=run(runs[0], problem)).x, cold.x, rtol=0, atol=1e-4)
    for step in (1, 2):  # at the solution nothing moves: duals were scaled with rho
        moved = run(dataclasses.replace(runs[0], max_steps=step, tol=0), problem, start=cold).x
        torch.testing.assert_close(moved, cold.x, rtol=0, atol=1e-5)


def test_a_start_by_another_kind_of_solver_is_refused():
    problem = inpainting(4, 1, 8, 8)
    with pytest.raises(SpecError, match="another kind of solver"):
        run(AdmmTV(), problem, start=run(Cgls(), problem))


def test_half_quadratic_splitting_begins_its_schedule_again_for_another_measurement():
    first, solver = inpainting(4, 1, 8, 8), HalfQuadratic(TotalVariation(0.02), max_steps=60)
    second = dataclasses.replace(first, y=1 - 0.5 * first.y)
    cold = run(solver, second)
    warm = run(solver, second, start=run(solver, first))
    assert (cold.x - second.operator.H(second.y)).abs().max() > 0.1
    torch.testing.assert_close(warm.x, cold.x, rtol=0, atol=0.02)


@pytest.mark.parametrize("other", ["weight", "operator"])
def test_half_quadratic_splitting_begins_its_schedule_again_for_another(other):
    problem, solver = tv_problem("blur"), HalfQuadratic(TotalVariation(0.05))
    first = {
        "weight": lambda: run(HalfQuadratic(TotalVariation(1e-4)), problem),
        "operator": lambda: run(solver, dataclasses.replace(problem, operator=0.5 * problem.operator)),
    }[other]()
    cold, warm = run(solver, problem).x, run(solver, problem, start=first).x
    assert (first.x - cold).abs().max() > 0.05
    torch.testing.assert_close(warm, cold, rtol=0, atol=0.02)


@pytest.mark.parametrize("kind", [Admm, Fista, HalfQuadratic])
def test_a_start_with_what_another_prior_keeps_is_refused(kind):
    problem, red = inpainting(2, 1, 6, 6), Red(lambda x, sigma: 0.9 * x)
    for prior, other in ((red, TotalVariation(0.1)), (TotalVariation(0.1), red)):
        with pytest.raises(SpecError, match="other priors: begin without it"):
            run(kind(prior, max_steps=3), problem, start=run(kind(other, max_steps=3), problem))


def test_a_network_does_not_go_on_from_a_solution():
    problem = forward_model("sr4", (4, 3, 16, 16)).measure(torch.rand(4, 3, 16, 16))
    with pytest.raises(SpecError, match="a network has a fixed number of steps"):
        solve(problem, "onenet", start=solve(problem, "onenet"))


def test_a_start_with_another_operator_takes_the_step_of_this_one():
    A = Diagonal(torch.linspace(0.5, 1, 128).reshape(2, 1, 8, 8).double(), (2, 1, 8, 8))
    y = video(2, 1, 8, 8)
    for solver in (Fista(SquaredNorm(0.1), tol=1e-10), ProximalGradient(SquaredNorm(0.1), tol=1e-10, max_steps=500)):
        first = run(solver, InverseProblem(A, y))
        ours, alone = (run(solver, InverseProblem(5 * A, 5 * y), start=start) for start in (first, None))
        torch.testing.assert_close(ours.x, alone.x, rtol=0, atol=1e-7)


@pytest.mark.parametrize("solver", [Pinv(), Tikhonov(0.1)], ids=lambda solver: type(solver).__name__)
def test_without_iteration_a_start_is_no_answer_to_another_measurement(solver):
    first = inpainting(4, 1, 8, 8)
    second = dataclasses.replace(first, y=1 - 0.5 * first.y)
    warm, cold = run(solver, second, start=run(solver, first)).x, run(solver, second).x
    torch.testing.assert_close(warm, cold, rtol=0, atol=0)


@pytest.mark.parametrize("kind", [Admm, PrimalDual])
def test_a_start_with_other_priors_is_refused(kind):
    problem = forward_model("sr2", (2, 1, 8, 8)).measure(torch.rand(2, 1, 8, 8))
    first = run(kind((TotalVariation(0.1), Box()), max_steps=2), problem)
    with pytest.raises(SpecError, match="other priors"):
        run(kind(TotalVariation(0.1), max_steps=2), problem, start=first)


@pytest.mark.parametrize(
    "solver",
    [
        AdmmTV(max_steps=4, tol=0),
        Cgls(max_steps=4, tol=0),
        Fista(SquaredNorm(0.1), max_steps=4, tol=0),
        HalfQuadratic(TotalVariation(0.1), max_steps=4, tol=0),
        Pinv(),
        PreconditionedPrimalDual(TotalVariation(0.1), max_steps=4, tol=0),
        PrimalDual(TotalVariation(0.1), max_steps=4, tol=0),
        Tikhonov(0.1),
    ],
    ids=lambda solver: type(solver).__name__,
)
@pytest.mark.parametrize("batch", [(), (1,)])
def test_one_measurement_for_operators_with_batch_axes(solver, batch):
    masks = torch.rand(2, 2, 1, 8, 8, generator=torch.Generator().manual_seed(3)) > 0.4
    A, y = Diagonal(masks, (2, 1, 8, 8)), video(*batch, 2, 1, 8, 8)
    both = run(solver, InverseProblem(A, y)).x
    assert both.shape == (2, 2, 1, 8, 8)
    for x, mask in zip(both, masks, strict=True):
        alone = run(solver, InverseProblem(Diagonal(mask, (2, 1, 8, 8)), y)).x.reshape(x.shape)
        torch.testing.assert_close(x, alone, rtol=0, atol=1e-9)


def test_half_quadratic_splitting_does_not_stop_while_rho_is_small():
    y = smooth_video(4, 1, 16).double() + 0.1 * torch.randn(4, 1, 16, 16, dtype=torch.float64)
    solver = HalfQuadratic(TotalVariation(0.1), rho=1e-4, growth=1.5, max_steps=60)
    solution = run(solver, InverseProblem(Identity(tuple(y.shape)), y))
    assert solution.steps > 20
    assert (solution.x - y).abs().max() > 0.05


def test_half_quadratic_splitting_with_one_rho_converges():
    problem = inpainting(4, 1, 8, 8)
    solution = run(HalfQuadratic(SquaredNorm(0.5), rho=1.0, growth=1.0, max_steps=100, tol=1e-8), problem)
    assert solution.status == "converged"
    assert solution.state.gap > 0.1


@pytest.mark.parametrize("solver", ["admm-tv", "primal-dual", "primal-dual-fft", "fista", "cgls"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_start_in_another_precision(solver, dtype):
    problem = inpainting(2, 1, 4, 4)
    coarse = solve(problem.to(dtype=dtype), solver, max_steps=3, tol=0.0)
    other = torch.float64 if dtype == torch.float32 else torch.float32
    fine = solve(problem.to(dtype=other), solver, max_steps=3, tol=0.0, start=coarse)
    assert fine.x.dtype == other
    expected = solve(problem, solver, max_steps=3, tol=0.0, start=solve(problem, solver, max_steps=3, tol=0.0))
    torch.testing.assert_close(fine.x.double(), expected.x, rtol=0, atol=2e-5)


def test_conjugate_gradients_go_on_in_half_precision():
    problem = tv_problem("blur")
    problem = dataclasses.replace(problem, y=problem.y.half())
    whole, part = (run(Cgls(max_steps=steps, tol=0), problem) for steps in (6, 3))
    assert torch.equal(run(Cgls(max_steps=3, tol=0), problem, start=part).state.x, whole.state.x)


def test_a_start_is_not_made_twice_when_a_solver_goes_on(monkeypatch):
    problem, made = inpainting(4, 1, 8, 8), []
    part = run(PrimalDual(TotalVariation(0.01), max_steps=2), problem)
    begin = sys.modules[PrimalDual.__module__].start  # type: ignore[attr-defined]
    monkeypatch.setattr("linops_video.solvers.primal_dual.start", lambda *given: made.append(given) or begin(*given))
    run(PrimalDual(TotalVariation(0.01), max_steps=2), problem, start=part)
    assert len(made) == 1  # the state that the given one is compared with


def test_half_quadratic_splitting_goes_on_from_a_pickled_solution():
    problem, solver = inpainting(2, 1, 6, 6), HalfQuadratic(max_steps=5, tol=0.0)
    first = run(solver, problem)
    copied = pickle.loads(pickle.dumps(first))
    torch.testing.assert_close(run(solver, problem, start=copied).x, run(solver, problem, start=first).x)
