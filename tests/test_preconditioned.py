"""The primal-dual method in the metric of a convolution."""

import dataclasses

import pytest
import torch
from videos import tv_problem, video

from linops_video import Convolution, Diagonal, Identity, InverseProblem, collate, parse
from linops_video.inverses.circular import circular_gram
from linops_video.operators.kernels import gaussian
from linops_video.solvers import PreconditionedPrimalDual, TotalVariation, run
from linops_video.solvers.preconditioned import likely, primal_step
from linops_video.solvers.start import start

SHAPE = (3, 2, 6, 5)


def posed(name):
    """Problems whose AᴴA is bounded by its norm, and one ("circular") with its own spectrum."""
    problem = tv_problem("blur" if name == "circular" else name)
    if name != "circular":
        return problem
    shape = problem.operator.in_shape
    A = Convolution(gaussian(3, 0.8), shape, "circular")
    return InverseProblem(A, A(video(*shape)) + 0.02 * video(*shape, seed=3), 0.02)


@pytest.mark.parametrize("kind", ["blur", "complex", "denoise"])
def test_the_spectrum_of_a_circular_gram_is_found(kind):
    """Against AᴴA itself."""
    kernel = gaussian(3, 0.8)
    A = {
        "blur": Convolution(kernel, SHAPE, "circular"),
        "complex": Convolution(torch.complex(kernel, kernel.roll(1, 0)), SHAPE, "circular"),
        "denoise": 0.5 * Identity(SHAPE),
    }[kind]
    values, x = circular_gram(A), video(*SHAPE).to(torch.complex128)
    assert values is not None
    expected = A.H(A(x))
    torch.testing.assert_close(torch.fft.ifft2(values * torch.fft.fft2(x)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("spec", ["mask(0.5)", "sr(2)", "grayscale", "mask(0.5) @ fourier(h,w)"])
def test_other_grams_are_bounded_by_their_norm(spec):
    assert circular_gram(parse(spec, (3, 3, 6, 4), seed=0)) is None


@pytest.mark.parametrize("name", ["mask", "sr2", "circular"])
def test_the_primal_step_is_the_exact_one_in_its_metric(name):
    """M(x₊ − x) = −(Aᴴ(A x − y) + v) by a dense M ⪰ AᴴA + ρKᴴK, so that x₊ minimises what the docstring says."""
    problem = posed(name)
    shape = problem.operator.in_shape
    A, rho, prior = problem.operator, 0.3, TotalVariation(1.0, 1.5)
    x, v = video(*shape, seed=1), video(*shape, seed=2)
    move, hat = primal_step(problem, A.H(problem.y), [circular_gram(A)], rho * prior.spectrum(shape), x)
    n = x.numel()
    unit = torch.eye(n, dtype=torch.float64).reshape(n, *shape)
    base = move(x, hat, torch.zeros_like(x))[0]
    inverse = torch.stack([(base - move(x, hat, e)[0]).flatten() for e in unit])  # of M, by its columns
    M = torch.linalg.inv(inverse)
    normal = torch.stack([A.H(A(e)) + rho * prior.synthesise(prior.analyse(e)) for e in unit]).reshape(n, n)
    assert torch.linalg.eigvalsh(M - normal).min() > -1e-9
    right = (A.H(A(x) - problem.y) + v).flatten()
    torch.testing.assert_close(M @ (x - move(x, hat, v)[0]).flatten(), right, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["mask", "sr2", "circular"])
def test_it_begins_where_the_other_solvers_begin(name):
    problem = posed(name)
    back = problem.operator.H(problem.y)
    begun = likely(problem, back, circular_gram(problem.operator))
    torch.testing.assert_close(begun, start(problem)[1], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("name", "huber"), [("sr2", 0.05), ("circular", 0.05), ("circular", 0.0)])
def test_it_takes_any_rho_and_relaxation(name, huber):
    """With the corner of total variation rounded off it arrives to all digits in 300 steps, else to five in 800."""
    problem, prior = posed(name), TotalVariation(0.05, 1.0, huber=huber)
    ends = []
    for rho, relaxation in ((0.7, 1.0), (2.0, 1.9), (1.0, 1.6)):
        solver = PreconditionedPrimalDual(prior, rho=rho, relaxation=relaxation, max_steps=800, tol=1e-10)
        x = run(solver, problem).x
        ends.append(solver.objective(problem, x))
    assert max(ends) / min(ends) < 1 + (1e-12 if huber else 1e-5)  # type: ignore[operator]


def test_a_sample_does_not_depend_on_the_others():
    weights, y = video(2, 1, 4, 4) + 0.5, video(2, 2, 1, 4, 4, seed=1)
    solver = PreconditionedPrimalDual(TotalVariation(0.1), max_steps=500, tol=1e-6)
    alone = run(solver, InverseProblem(Diagonal(weights, (2, 1, 4, 4)), y[0]))
    both = run(solver, InverseProblem(Diagonal(torch.stack((weights, 1e4 * weights)), (2, 1, 4, 4)), y))
    assert both.sample_steps is not None
    assert both.sample_steps[0] == alone.steps
    torch.testing.assert_close(both.x[0], alone.x, rtol=0, atol=1e-12)
    nothing = InverseProblem(Diagonal(torch.zeros(1, 1, 1, 1), (1, 1, 1, 1)), torch.zeros(1, 1, 1, 1))
    assert run(solver, nothing).x.isfinite().all()


@pytest.mark.parametrize("name", ["sr2", "circular"])
def test_a_sample_that_stops_leaves_the_others_as_they_are(name):
    problem, solver = posed(name), PreconditionedPrimalDual(TotalVariation(0.02), max_steps=60, tol=1e-3)
    pair = InverseProblem(problem.operator, torch.stack((1e-3 + 0 * problem.y, problem.y)), problem.noise_std)
    together = run(solver, pair)
    assert together.sample_steps is not None
    assert together.sample_steps[0] < together.sample_steps[1]
    for i, y in enumerate(pair.y):
        alone = run(solver, InverseProblem(pair.operator, y, pair.noise_std))
        assert alone.sample_steps == together.sample_steps[i]
        torch.testing.assert_close(together.x[i], alone.x, rtol=0, atol=1e-12)


def test_a_sample_has_its_own_spectrum_in_a_batch_of_different_operators():
    problems, solver = [posed("circular"), posed("sr2")], PreconditionedPrimalDual(TotalVariation(0.02), tol=1e-3)
    together, alone = run(solver, collate(problems)), [run(solver, problem) for problem in problems]
    assert together.sample_steps is not None
    assert together.sample_steps.tolist() == [solution.steps for solution in alone]
    torch.testing.assert_close(together.x, torch.stack([s.x for s in alone]), rtol=0, atol=1e-12)
    step = dataclasses.replace(solver, max_steps=1, tol=0)
    turned = run(step, collate(problems[::-1]), start=together)
    torch.testing.assert_close(turned.x[1], run(step, problems[0], start=alone[1]).x, rtol=0, atol=1e-12)
