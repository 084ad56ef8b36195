"""Gradients through a solver: by its unrolled steps, or by the fixed point that they lead to."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from linops_video import ConvergenceWarning, InverseProblem
from linops_video.errors import SpecError
from linops_video.solvers.iteration import Solver, check_problem, check_solver, feasible, in_single, run


def unrolled(solver: Solver, problem: InverseProblem, steps: int, checkpointing: bool = True) -> Tensor:
    """The reconstruction after `steps` steps, differentiable in whatever they depend on: y, σ, weights, a denoiser.

    Checkpointing keeps the state after each step alone and computes the rest of it again for the gradient: memory for
    one step more than for the states, and time for one more forward pass. Half precision and bounds are as in `run`.
    Raises a `SpecError` if a network has fewer steps.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import Admm, TotalVariation
        >>> problem = forward_model("sr2", (4, 1, 8, 8)).measure(torch.rand(4, 1, 8, 8))
        >>> weight = torch.tensor(0.1, requires_grad=True)
        >>> unrolled(Admm(TotalVariation(weight)), problem, 5).sum().backward()
        >>> weight.grad.isfinite().item()
        True
    """
    check_solver(solver)
    check_problem(problem)
    if solver.tol < 0 and steps > solver.max_steps:
        raise SpecError(f"{type(solver).__name__} has {solver.max_steps} steps, not {steps}: take at most as many")
    single = in_single(problem)
    state = solver.init(single)
    for _ in range(steps):
        if checkpointing:
            state = checkpoint(solver.step, single, state, use_reentrant=False)
        else:
            state = solver.step(single, state)
    x = feasible(solver, state.estimate)
    return x if single is problem else x.to(problem.y.dtype)


def implicit(solver: Solver, problem: InverseProblem, gradient_steps: int = 200, gradient_tol: float = 1e-6) -> Tensor:
    """The fixed point of `solver`, differentiable in what its step depends on, with memory for one step alone.

    The forward pass is `run`, without a graph. At the fixed point s = T(s; θ), ds/dθ = (I − ∂T/∂s)⁻¹ ∂T/∂θ; the
    gradient solves g = ḡ + (∂T/∂s)ᵀ g by iterating that, which converges as the solver does. The better the solver has
    converged, the better the gradient: give it a small tol. Where either of the two stops before it has converged, a
    `ConvergenceWarning` says so: with a denoiser that is no contraction the gradient can grow without bound. Source:
    Bai, Kolter and Koltun, NeurIPS, 2019; Gilton, Ongie and Willett, IEEE Trans. Computational Imaging 7, 2021.

    With `balance=True` the ρ that the solver ended with counts as a constant. The fixed point does not depend on it,
    but for `PlugAndPlay`, whose denoiser is told √(weight/ρ): there the derivative is that at this ρ, and `unrolled`
    adds that of ρ itself.

    Raises a `SpecError` for solvers that have no fixed point: `Cgls`, networks, `HalfQuadratic` with a ρ that grows.

    Args:
        gradient_steps: at most so many iterations for the gradient.
        gradient_tol: they stop when g changes by no more than this share of it.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import Admm, TotalVariation
        >>> problem = forward_model("sr2", (4, 1, 8, 8)).measure(torch.rand(4, 1, 8, 8))
        >>> weight = torch.tensor(0.1, requires_grad=True)
        >>> implicit(Admm(TotalVariation(weight)), problem).sum().backward()
        >>> weight.grad.isfinite().item()
        True
    """
    check_solver(solver)
    check_problem(problem)
    if in_single(problem) is not problem:
        return implicit(solver, in_single(problem), gradient_steps, gradient_tol).to(problem.y.dtype)
    if solver.max_steps == 0:  # no iteration: the estimate is one formula, and carries its gradient
        return solver.init(problem).estimate
    stays = getattr(solver, "has_fixed_point", solver.tol >= 0)  # a network stops at no residual
    if torch.is_grad_enabled() and not stays:
        raise SpecError(f"{type(solver).__name__} has no fixed point: take `unrolled`")
    with torch.no_grad():
        solution = run(solver, problem)
    fixed = solution.state
    if not torch.is_grad_enabled():
        return feasible(solver, fixed.estimate)
    if solution.status == "max_steps":
        _warn(f"the solver stopped after {solution.steps} steps with a residual of {solution.residuals[-1]:.1e}")
    # what the state holds besides iterates, as a prepared data step, may depend on what is learned: made with a graph
    own: Any = solver
    fresh = own.resume(problem, fixed) if hasattr(own, "resume") else own.init(problem)
    steady = dataclasses.replace(own, balance=False) if getattr(own, "balance", False) else own
    inside = [t.detach().requires_grad_() for t in _iterates(fixed)]
    state = _with_iterates(fixed, inside, fresh)
    after = steady.step(problem, state)
    if learned := _handed_on(state, after, fresh):
        state = dataclasses.replace(state, **learned)
        after = steady.step(problem, state)
    moved, before = _iterates(after), _iterates(state)
    kept = [k for k, (t, old) in enumerate(zip(moved, before, strict=True)) if t.requires_grad and t is not old]
    results, inputs = [moved[k] for k in kept], [before[k] for k in kept]
    estimate = next((k for k, t in enumerate(results) if t is after.estimate), None)
    y = problem.y if isinstance(problem.y, Tensor) and problem.y.requires_grad else None
    if estimate is None or (y is not None and _is_apart(results, y)):
        raise SpecError(
            f"a step of {type(solver).__name__} does not depend on y, and has no fixed point: take `unrolled`"
        )

    def solve(grad: Tensor) -> list[Tensor]:
        source = [grad if k == estimate else torch.zeros_like(t) for k, t in enumerate(results)]
        g = source
        for _ in range(gradient_steps):
            pulled = torch.autograd.grad(results, inputs, g, retain_graph=True, allow_unused=True)
            following = [s if p is None else s + p for s, p in zip(source, pulled, strict=True)]
            change = sum(float((a - b).abs().square().sum()) for a, b in zip(following, g, strict=True))
            size = sum(float(a.abs().square().sum()) for a in following)
            g = following
            if change <= gradient_tol**2 * size:
                break
        else:
            _warn(f"the iteration for the gradient stopped after {gradient_steps} steps, still changing")
        return g

    return feasible(solver, _FixedPoint.apply(solve, estimate, *results))  # type: ignore[no-any-return]


def _handed_on(state: Any, after: Any, fresh: Any) -> dict[str, Tensor]:
    """What a step leaves as it is, such as ρ, is no iterate: that of `fresh`, where it has a gradient of its own."""
    names = [f.name for f in dataclasses.fields(state) if getattr(after, f.name) is getattr(state, f.name)]
    values = {name: getattr(fresh, name) for name in names}
    return {name: value for name, value in values.items() if isinstance(value, Tensor) and value.requires_grad}


def _is_apart(results: list[Tensor], y: Tensor) -> bool:
    """Whether y has no part in the results of a step."""
    total = sum(result.abs().sum() for result in results)
    return torch.autograd.grad(total, y, retain_graph=True, allow_unused=True)[0] is None  # type: ignore[arg-type]


def _warn(what: str) -> None:
    message = f"{what}, so that the gradient of `implicit` may be wrong: allow more steps, or take `unrolled`"
    warnings.warn(message, ConvergenceWarning, stacklevel=3)


class _FixedPoint(torch.autograd.Function):
    """The estimate among the results of one step at the fixed point; its gradient is handed to all of them."""

    @staticmethod
    def forward(ctx: Any, solve: Callable[[Tensor], list[Tensor]], estimate: int, *results: Tensor) -> Tensor:
        ctx.solve = solve
        return results[estimate].detach().clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor):
        return None, None, *ctx.solve(grads[0])


def _iterates(state: Any) -> list[Tensor]:
    """The tensors of a state, those in tuples of tuples included: what a step maps to what follows."""

    def flat(value: Any) -> list[Tensor]:
        if isinstance(value, Tensor):
            return [value]
        return [t for part in value for t in flat(part)] if isinstance(value, tuple) else []

    return [t for f in dataclasses.fields(state) for t in flat(getattr(state, f.name))]


def _with_iterates(state: Any, tensors: list[Tensor], fresh: Any) -> Any:
    """The state with these tensors in the places that `_iterates` reads; what is no tensor comes from `fresh`."""
    rest = iter(tensors)

    def fill(value: Any, other: Any) -> Any:
        if isinstance(value, Tensor):
            return next(rest)
        return tuple(fill(part, None) for part in value) if isinstance(value, tuple) else other

    values = {f.name: fill(getattr(state, f.name), getattr(fresh, f.name)) for f in dataclasses.fields(state)}
    return dataclasses.replace(state, **values)
