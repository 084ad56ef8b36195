"""The loop of every solver: stopping, trace, and what is asked of a solver and of a problem."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import reduce
from types import FunctionType
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from linops_video import InverseProblem, Solution
from linops_video.algebra.parameters import check_tensor, moved, per_sample, show
from linops_video.batch import Ragged
from linops_video.errors import DtypeError, MeasurementError, ShapeError, SpecError
from linops_video.metrics import psnr
from linops_video.solution import History
from linops_video.solvers.objective import entries, squared_misfit

NEGLIGIBLE = 1e-3
"""Share of ‖Aᴴy‖ below which the priors pull with nothing that matters: at a solution inside a `Box` it is nothing."""


class State(Protocol):
    """What a solver carries from step to step: a frozen dataclass.

    Tensors that a step changes begin with the batch axes of the problem, so that a sample that has stopped can be kept
    as it is.

    Example:
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import Cgls
        >>> problem = forward_model("sr2", (2, 3, 8, 8)).measure(torch.rand(2, 3, 8, 8))
        >>> Cgls().init(problem).estimate.shape
        torch.Size([2, 3, 8, 8])
    """

    @property
    def estimate(self) -> Tensor:
        """The reconstruction so far, shape (*batch, *operator.in_shape)."""
        ...


class Prepared:
    """A state that holds a prepared function, which is not pickled: `resume` makes it anew."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: None if isinstance(value, FunctionType) else value for name, value in vars(self).items()}


S = TypeVar("S", bound=State)


class Solver(Protocol[S]):
    """A frozen dataclass of parameters with three pure methods; `max_steps` = 0 is a solver without iteration. (Of the
    state that it goes on from, a step of a network takes what is large, unless it is differentiated.)

    It may have more, which is asked for where it is used: `resume(problem, state)`, the state to go on from where that
    is not the given one; `objective(problem, x)`, for the history; `priors`, whose bounds x is clipped to;
    `has_fixed_point`, False where `implicit` is to refuse it; `of_whole(tile, x)`, what was solved in tiles, of which
    one is given, with what whole frames alone tell; `hands_back`, True where the memory that a tile leaves goes back to
    the system before the next one.

    A field out of its range raises a SpecError that names it, when the solver is made.

    Example:
        >>> from linops_video.solvers import AdmmTV
        >>> AdmmTV(rho=-1)
        Traceback (most recent call last):
        linops_video.errors.SpecError: rho must be a positive number, got -1
    """

    @property
    def max_steps(self) -> int: ...

    @property
    def tol(self) -> float: ...

    def init(self, problem: InverseProblem) -> S:
        """The state to start from; set-up that does not depend on the iterates belongs here."""
        ...

    def step(self, problem: InverseProblem, state: S) -> S:
        """One iteration."""
        ...

    def residual(self, before: S, after: S) -> Tensor:
        """How far the iteration is from its fixed point, one number per sample, shape `problem.batch_shape`."""
        ...


OnStep = Callable[[int, Any, float], None]


def run(
    solver: Solver[S],
    problem: InverseProblem,
    on_step: OnStep | None = None,
    start: Solution | None = None,
    truth: Tensor | None = None,
    history: bool = False,
) -> Solution:
    """Iterate until every sample has a residual ≤ `solver.tol`, or for `solver.max_steps` steps.

    A sample that has converged is left as it is while the others go on, so that it does not depend on its neighbours in
    the batch. Measurements in float16 and bfloat16 are solved in float32, and x is in their precision. Where a `Box` is
    among the priors, x, and the objective in the history, are those of the estimate clipped to it.

    Where y, a weight or the parameters of a denoiser require a gradient, x has one, and the graph of all steps is kept:
    call it under `torch.no_grad()` where no gradient is wanted.

    Args:
        on_step: called after each step with its number (from 1), the state, and the largest residual.
        start: a solution by the same kind of solver to go on from, of this problem or of one like it; measurements,
            weights and ρ are those of this call. None for `solver.init(problem)`.
        truth: the true video; its PSNR is then in the history.
        history: keep residual, objective and data misfit of every sample after each step, which costs an A each.

    Raises:
        ShapeError: if y has not the shape of the operator's output, or `truth` or `start` not that of the video.
        DtypeError: if y is not a tensor of floating point or complex numbers, or `truth` not a tensor.
        MeasurementError: if y has no entries, or NaN or infinite ones, or the noise level is no standard deviation.
        SpecError: if `problem` is no `InverseProblem`, or `start` not a solution, or one by another kind of solver.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import AdmmTV, run
        >>> problem = forward_model("sr2", (2, 3, 16, 16)).measure(torch.rand(2, 3, 16, 16))
        >>> first = run(AdmmTV(max_steps=5, tol=0), problem)
        >>> run(AdmmTV(max_steps=5, tol=0), problem, start=first, history=True).history.objective.shape
        torch.Size([5])
    """
    check_solver(solver)
    check_problem(problem)
    _check_given(problem, start, truth)
    problem = problem.broadcast()
    single = in_single(problem)
    if single is not problem:
        found = run(solver, single, on_step, start, truth, history)
        return dataclasses.replace(found, x=found.x.to(problem.y.dtype))
    current: S = solver.init(problem) if start is None else _resumed(solver, problem, start.state)
    if solver.max_steps == 0:
        return Solution(current.estimate, "direct", 0, (), current)
    active = torch.ones(problem.batch_shape, dtype=torch.bool, device=problem.y.device)
    taken = torch.zeros(problem.batch_shape, dtype=torch.long, device=problem.y.device)
    residuals: list[float] = []
    trace: History | None = None
    while len(residuals) < solver.max_steps and bool(active.any()):
        after = solver.step(problem, current)
        residual = solver.residual(current, after).detach()
        current = after if bool(active.all()) else _keep(active, after, current)
        residuals.append(float(residual[active].max()))
        taken += active
        if history or truth is not None:
            record = _record(solver, problem, feasible(solver, current.estimate), residual, truth)
            # no list of records: small tensors that are kept lie in memory that large ones have left, and split it
            trace = record if trace is None else History.joined((trace, record))
        active = active & ~(residual <= solver.tol)
        if on_step is not None:
            on_step(len(residuals), current, residuals[-1])
    status = "max_steps" if bool(active.any()) else "converged"
    x = feasible(solver, current.estimate)
    return Solution(x, status, len(residuals), tuple(residuals), current, ~active, taken, trace)


@torch.no_grad()
def _record(solver: Any, problem: InverseProblem, x: Tensor, residual: Tensor, truth: Tensor | None) -> History:
    """The history of one step."""
    squares = squared_misfit(problem, x)
    objective = solver.objective(problem, x) if hasattr(solver, "objective") else None
    return History(
        residual[None],
        (squares / entries(problem).to(squares)).sqrt()[None],
        None if objective is None else objective[None],
        None if truth is None else psnr(x, truth.expand(x.shape))[None],
    )


def in_single(problem: InverseProblem) -> InverseProblem:
    """The same problem with measurements of half precision in single precision."""
    if problem.y.dtype.itemsize >= 4:
        return problem
    return dataclasses.replace(problem, y=problem.y.to(dtype=torch.float32))


def feasible(solver: Any, x: Tensor) -> Tensor:
    """x within the bounds among the solver's priors: an iterate of a splitting is there in the limit only."""
    return reduce(lambda x, prior: prior.feasible(x), getattr(solver, "priors", ()), x)


def check_solver(solver: object) -> None:
    """Raise SpecError unless this is a solver object."""
    if isinstance(solver, type) or not callable(getattr(solver, "step", None)):
        got = solver if isinstance(solver, str | type) else type(solver).__name__
        raise SpecError(f"a solver is an object, as AdmmTV(), or for `solve` a name, as admm-tv, got {got}")


def check_problem(problem: InverseProblem) -> None:
    """Raise the errors that `run` documents if y cannot be a measurement by the operator."""
    if not isinstance(problem, InverseProblem):
        raise SpecError(
            f"solvers take an InverseProblem(operator, y), as forward_model(…).measure(video) makes one, got "
            f"{type(problem).__name__}"
        )
    for sample in problem.samples():
        _check_sample(sample)


def _check_sample(problem: InverseProblem) -> None:
    y, A = problem.y, problem.operator
    if not isinstance(y, Tensor):
        raise DtypeError(f"measurements must be a torch tensor, got {type(y).__name__}: torch.as_tensor makes one")
    if y.ndim < len(A.out_shape) or tuple(y.shape[y.ndim - len(A.out_shape) :]) != tuple(A.out_shape):
        raise ShapeError(
            f"{A!r} gives measurements of shape {show(('*batch', *A.out_shape))}, got y of shape {show(y.shape)}: "
            "build the operator for the shape of the video that was measured"
        )
    if not (y.is_floating_point() or y.is_complex()):
        raise DtypeError(f"measurements must be floating point, got {y.dtype}: divide 8-bit values by 255")
    if y.numel() == 0:
        raise MeasurementError(f"measurements of shape {tuple(y.shape)} have no entries: nothing can be reconstructed")
    bad = y.numel() - int(torch.isfinite(y).sum())
    if bad:
        raise MeasurementError(
            f"{bad} of {y.numel()} measurements are NaN or infinite: set them to 0 and leave them out of the operator "
            "with a mask"
        )
    try:
        sigma = torch.as_tensor(problem.noise_std)
    except (TypeError, RuntimeError):  # None, a text
        sigma = torch.tensor(torch.nan)
    if sigma.is_complex() or not bool((torch.isfinite(sigma) & (sigma >= 0)).all()):
        raise MeasurementError(f"noise_std is a standard deviation, 0 or more, got {problem.noise_std}")
    batch = problem.batch_shape
    if sigma.ndim > len(batch) or any(1 != own != n for own, n in zip(sigma.shape[::-1], batch[::-1], strict=False)):
        raise ShapeError(f"noise_std needs a number for each sample of a batch {show(batch)}, got {show(sigma.shape)}")


def _check_given(problem: InverseProblem, start: Any, truth: Tensor | None) -> None:
    """Raise the errors that `run` documents if `start` or `truth` cannot belong to the problem."""
    video = (*problem.batch_shape, *problem.operator.in_shape)
    if start is not None:
        if not isinstance(start, Solution):
            raise SpecError(f"start is an earlier Solution by the same solver, not a {type(start).__name__}")
        if tuple(start.x.shape) != video:
            raise ShapeError(f"start is a solution of shape {show(start.x.shape)}, the problem is for {show(video)}")
    if truth is not None:
        check_tensor(truth, "the truth must be a torch tensor")
        if tuple(truth.shape) not in (video, problem.operator.in_shape):
            raise ShapeError(f"the truth must be a video of shape {show(video)}, got {show(truth.shape)}")


def _resumed(solver: Any, problem: InverseProblem, state: Any) -> Any:
    """Where the solver goes on from a state: with its own `resume(problem, state)`, if it has one."""
    fresh = solver.init(problem)
    if type(fresh) is not type(state):
        raise SpecError(
            f"start is a solution by another kind of solver, with a {type(state).__name__} where "
            f"{type(solver).__name__} needs a {type(fresh).__name__}"
        )
    for f in dataclasses.fields(fresh):
        new, old = getattr(fresh, f.name), getattr(state, f.name)
        if isinstance(new, tuple) and new and old and _shapes(new) != _shapes(old):
            raise SpecError(f"start is a solution by {type(solver).__name__} with other priors: begin without it")
    kept = getattr(state, "memory", ())
    memories = kept if all(isinstance(part, tuple) for part in kept) else (kept,)
    pairs = zip(getattr(solver, "priors", ()), memories, strict=False)
    if any(own and prior.parts not in (None, len(own)) for prior, own in pairs):
        raise SpecError(f"start is a solution by {type(solver).__name__} with other priors: begin without it")
    state = _in_precision(state, fresh.estimate.dtype)
    return solver.resume(problem, state) if hasattr(solver, "resume") else state


def _in_precision(state: Any, dtype: torch.dtype) -> Any:
    """The state with its tensors of floating point numbers in a precision."""

    def cast(value: Any) -> Any:
        if isinstance(value, Tensor):
            return moved(value, None, dtype.to_real())
        return tuple(map(cast, value)) if type(value) is tuple else value

    if state.estimate.dtype.to_real() == dtype.to_real():
        return state
    return dataclasses.replace(state, **{f.name: cast(getattr(state, f.name)) for f in dataclasses.fields(state)})


def _shapes(values: tuple[Any, ...]) -> list[Any]:
    """The shapes of the tensors in a tuple, and of what is none its type."""
    return [tuple(value.shape) if isinstance(value, Tensor) else type(value) for value in values]


def relative_change(pairs: Sequence[tuple[Tensor, Tensor]], reference: Tensor, batch: int) -> Tensor:
    """√(Σ ‖after − before‖²) / ‖reference‖ per sample, for tensors whose first `batch` axes count samples."""
    return ratio(joint([norm(after - before, batch) for before, after in pairs]), norm(reference, batch))


def splitting_residual(changes: Sequence[Tensor], x: Tensor, force: Tensor, pull: Tensor) -> Tensor:
    """The larger of √(Σ change²) / ‖x‖ and force / pull, per sample.

    The first says nothing where steps are short, as for a large ρ; the second does: it is the dual residual relative to
    what it is to balance (Boyd et al., as in `Admm`, section 3.3.1).

    Args:
        changes: ‖after − before‖ of each sample for every iterate, in the units of x.
        force: how far the gradient of the misfit is from what the priors pull with.
        pull: ‖Σ Kᵢᴴpᵢ‖, what the priors pull with.
    """
    return torch.maximum(ratio(joint(changes), norm(x, force.ndim)), ratio(force, pull))


def least_pull(back: Tensor, batch: int) -> Tensor:
    """What the pull of the priors counts as where it is less: `NEGLIGIBLE` of ‖Aᴴy‖, per sample; `back` is Aᴴy."""
    return NEGLIGIBLE * norm(back.detach(), batch)


def joint(norms: Sequence[Tensor]) -> Tensor:
    """The norm of the whole from those of its parts."""
    return torch.linalg.vector_norm(torch.stack(tuple(norms)), dim=0)


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """a/b, 0 where both are 0."""
    return a / b.clamp(min=torch.finfo(b.dtype).tiny)


def norm(x: Tensor, batch: int) -> Tensor:
    """‖x‖ of each sample, for an x whose first `batch` axes count samples."""
    return torch.linalg.vector_norm(x, dim=tuple(range(batch, x.ndim)))


def _keep(active: Tensor, after: Any, before: Any) -> Any:
    """The state `after` for active samples, `before` for the others."""

    def choose(new: Any, old: Any) -> Any:
        if new is old:
            return new
        if isinstance(new, Ragged):
            parts = zip(active.unbind(-1), new, old, strict=True)
            return Ragged(torch.where(per_sample(a, n.ndim - a.ndim), n, o) for a, n, o in parts)
        if isinstance(new, Tensor):
            return torch.where(per_sample(active, new.ndim - active.ndim), new, old)
        if isinstance(new, tuple):
            return tuple(choose(n, o) for n, o in zip(new, old, strict=True))
        return new

    names = [f.name for f in dataclasses.fields(after)]
    return dataclasses.replace(after, **{name: choose(getattr(after, name), getattr(before, name)) for name in names})
