"""Gradients through solvers: implicit against unrolled to convergence, both against finite differences, float64."""

import dataclasses

import pytest
import torch
from torch import nn

from linops_video import ConvergenceWarning, Convolution, Diagonal, InverseProblem, parse
from linops_video.errors import DtypeError, MeasurementError, SpecError
from linops_video.solvers import (
    Admm,
    Box,
    Fista,
    HalfQuadratic,
    OneNet,
    Pinv,
    PlugAndPlay,
    PreconditionedPrimalDual,
    PrimalDual,
    SquaredNorm,
    Tikhonov,
    TotalVariation,
    implicit,
    run,
    unrolled,
)
from linops_video.solvers.least_squares import Cgls

EVENT = (3, 1, 5, 4)


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem_with(y):
    """Strongly convex, so that the iteration contracts."""
    return InverseProblem(Diagonal(0.5 + random(*EVENT), EVENT), y)


def tv(weight, huber=0.3):
    return Admm(TotalVariation(weight, 1.0, huber=huber), rho=0.5, max_steps=600, tol=1e-13)


class Smooth(nn.Module):
    """A small trainable denoiser that contracts."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(0.05 + 0.05 * random(1, 1, 3, 3, seed=7))

    def forward(self, x, sigma):
        return 0.5 * x + nn.functional.conv2d(x, self.kernel / (1 + sigma), padding=1)


@pytest.mark.parametrize("kind", ["weight", "y", "denoiser", "fista"])
def test_implicit_gradients_are_those_of_unrolling_to_convergence(kind):
    module = Smooth()
    weight, y = torch.tensor(0.05, dtype=torch.float64, requires_grad=True), random(*EVENT, seed=1).requires_grad_()
    problem = problem_with(y)
    pnp = Admm(PlugAndPlay(module, 0.01), rho=0.5, max_steps=600, tol=1e-13, relaxation=1.0)
    solver, parameter = {
        "weight": (tv(weight), weight),
        "y": (tv(0.05), y),
        "denoiser": (pnp, module.kernel),
        "fista": (Fista(SquaredNorm(weight), max_steps=400, tol=1e-13), weight),
    }[kind]
    target = random(*EVENT, seed=2)
    ends = [implicit(solver, problem, 600, 1e-12), unrolled(solver, problem, 400, checkpointing=False)]
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=1e-9)
    gradients = [torch.autograd.grad((end * target).sum(), parameter)[0] for end in ends]
    assert gradients[1].abs().max() > 1e-3
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-6, atol=1e-8)


def test_implicit_gradients_are_those_of_finite_differences():
    """Of two random sums of the video: the gradient of each takes a solve."""
    y = random(*EVENT, seed=1)
    weight = torch.tensor(0.05, dtype=torch.float64, requires_grad=True)
    sums = torch.randn(2, *EVENT, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def summed(weight):
        return (sums * implicit(tv(weight), problem_with(y), 600, 1e-12)).sum((1, 2, 3, 4))

    assert torch.autograd.gradcheck(summed, (weight,), atol=1e-5, rtol=1e-4)


def test_checkpoints_change_nothing_but_memory():
    weight = torch.tensor(0.05, dtype=torch.float64, requires_grad=True)
    problem = problem_with(random(2, *EVENT, seed=1))
    results = []
    for checkpointing in (False, True):
        x = unrolled(tv(weight), problem, 6, checkpointing)
        results.append((x, torch.autograd.grad(x.square().sum(), weight)[0]))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-14)


def test_without_a_graph_the_fixed_point_is_returned():
    problem = problem_with(random(*EVENT, seed=1))
    with torch.no_grad():
        x = implicit(tv(0.05), problem)
    assert not x.requires_grad
    solver = dataclasses.replace(Cgls(), max_steps=50, tol=1e-12)
    with torch.no_grad():
        assert implicit(solver, problem).shape == EVENT


@pytest.mark.parametrize("solver", [Pinv(), tv(0.05)])
def test_what_is_no_measurement_is_told(solver):
    with pytest.raises(MeasurementError, match="are NaN or infinite"):
        implicit(solver, problem_with(torch.full(EVENT, torch.nan, dtype=torch.float64)))
    with pytest.raises(DtypeError, match="got list"):
        implicit(solver, problem_with([1.0]))


def test_what_has_not_converged_is_said():
    problem = problem_with(random(*EVENT, seed=1).requires_grad_())
    with pytest.warns(ConvergenceWarning, match="solver stopped after 3 steps"):
        implicit(dataclasses.replace(tv(0.05), max_steps=3), problem)
    x = implicit(tv(0.05), problem, gradient_steps=3)
    with pytest.warns(ConvergenceWarning, match="gradient stopped after 3 steps"):
        x.sum().backward()


def test_a_balanced_rho_is_no_iterate():
    y, weight = random(*EVENT, seed=1), torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    balanced = dataclasses.replace(tv(weight), balance=True, rho=20.0)
    ours, plain = (implicit(solver, problem_with(y)) for solver in (balanced, tv(weight)))
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-9)
    gradients = [torch.autograd.grad(x.square().sum(), weight)[0] for x in (ours, plain)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=0)


@pytest.mark.parametrize("kind", [Admm, PrimalDual, PreconditionedPrimalDual])
@pytest.mark.parametrize("prior", [PlugAndPlay(Smooth(), 0.01), TotalVariation(0.05, huber=0.3)], ids=["pnp", "tv"])
def test_implicit_gradients_in_rho_are_those_of_unrolling(kind, prior):
    rho, target = torch.tensor(0.5, dtype=torch.float64, requires_grad=True), random(*EVENT, seed=2)
    solver = kind(prior=prior, rho=rho, max_steps=600, tol=1e-13, relaxation=1.0)
    problem = problem_with(random(*EVENT, seed=1))
    ends = [implicit(solver, problem, 600, 1e-12), unrolled(solver, problem, 400, checkpointing=False)]
    ours, theirs = (torch.autograd.grad((end * target).sum(), rho)[0] for end in ends)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8)


def test_with_a_denoiser_a_balanced_rho_is_a_constant():
    module, target, problem = Smooth(), random(*EVENT, seed=2), problem_with(random(*EVENT, seed=1))
    solver = Admm(PlugAndPlay(module, 0.01), rho=0.5, max_steps=600, tol=1e-13, relaxation=1.0, balance=True)
    with torch.no_grad():
        rho = run(solver, problem).state.rho
    assert abs(rho - 0.5) > 0.1
    ends = [
        implicit(solver, problem, 600, 1e-12),
        unrolled(dataclasses.replace(solver, balance=False, rho=rho), problem, 400, checkpointing=False),
    ]
    gradients = [torch.autograd.grad((end * target).sum(), module.kernel)[0] for end in ends]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("solver", [PrimalDual, PreconditionedPrimalDual, Admm, dataclasses.replace])
def test_unrolled_solvers_have_derivatives_in_rho(solver):
    problem, rho = problem_with(random(*EVENT, seed=1)), torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def output(rho):
        if solver is dataclasses.replace:
            return unrolled(Admm(TotalVariation(0.05), rho=rho, balance=True), problem, 6).square().sum()
        return unrolled(solver(TotalVariation(0.05), rho=rho), problem, 3).square().sum()

    assert torch.autograd.gradcheck(output, rho)


@pytest.mark.parametrize("solver", [Pinv(), Tikhonov(0.1)])
def test_solvers_without_iteration_are_their_own_fixed_point(solver):
    y = random(*EVENT, seed=1).requires_grad_()
    ends = [implicit(solver, problem_with(y)), run(solver, problem_with(y)).x]
    gradients = [torch.autograd.grad(end.square().sum(), y)[0] for end in ends]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=0)
    assert gradients[0].any()


@pytest.mark.parametrize(
    "solver", [Cgls(max_steps=400, tol=1e-10), HalfQuadratic(), OneNet()], ids=lambda s: type(s).__name__
)
def test_what_has_no_fixed_point_is_told(solver):
    y = random(*EVENT, seed=1).requires_grad_()
    with pytest.raises(SpecError, match="has no fixed point: take `unrolled`"):
        implicit(solver, problem_with(y))


@pytest.mark.parametrize("call", [run, implicit, lambda solver, problem: unrolled(solver, problem, 3)])
def test_names_of_solvers_are_for_solve(call):
    problem = InverseProblem(Diagonal(torch.ones(EVENT), EVENT), torch.rand(EVENT))
    with pytest.raises(SpecError, match=r"a solver is an object, as AdmmTV\(\), or for `solve` a name"):
        call("admm-tv", problem)


def test_a_network_has_no_more_steps_than_its_own():
    problem = InverseProblem(Diagonal(torch.ones(2, 3, 8, 8), (2, 3, 8, 8)), torch.rand(2, 3, 8, 8))
    with pytest.raises(SpecError, match=r"OneNet has \d steps, not 50"):
        unrolled(OneNet(), problem, 50)


@pytest.mark.parametrize("of", [implicit, lambda solver, problem: unrolled(solver, problem, 100)])
def test_half_precision_is_solved_in_single(of):
    """As `run` does, with the gradient of that."""
    y = random(*EVENT, seed=1).to(torch.bfloat16).requires_grad_()
    solver = Admm((TotalVariation(0.1), Box()), rho=0.5, max_steps=600, tol=1e-5)
    problem = dataclasses.replace(problem_with(y).to(dtype=torch.float32), y=y)
    x = of(solver, problem)
    torch.testing.assert_close(x, run(solver, problem).x, rtol=0, atol=0.005)  # the last bit
    (gradient,) = torch.autograd.grad(x.sum(), y)
    assert gradient.dtype == y.dtype
    assert gradient.any()


@pytest.mark.parametrize("text", ["mask(0.6, seed=1)", "blur(disk, 4, 2)"])
def test_tikhonov_has_its_gradient_in_the_weight(text):
    A = parse(text, (3, 2, 6, 6)).to(dtype=torch.float64)
    y, target = random(*A.out_shape, seed=1).requires_grad_(), random(3, 2, 6, 6, seed=2)
    weight = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)

    def of(weight, y):
        return (run(Tikhonov(weight), InverseProblem(A, y)).x * target).sum()

    assert torch.autograd.gradcheck(of, (weight, y), eps=1e-3, atol=1e-3, rtol=1e-3, fast_mode=True)


def test_tikhonov_has_its_gradient_in_the_kernel():
    """With warnings as errors: the weight is compared with ‖A‖, which has a gradient here, as a plain number."""
    y, kernel = random(*EVENT, seed=1), random(2, 3, seed=2).requires_grad_()

    def of(kernel):
        return run(Tikhonov(0.1), InverseProblem(Convolution(kernel, EVENT, "circular"), y)).x.square().sum()

    assert torch.autograd.gradcheck(of, kernel)
