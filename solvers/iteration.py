"""The loop of every solver: stopping, trace, and what is asked of a solver and of a problem."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from linops_video import InverseProblem, Solution
from linops_video.errors import DtypeError, MeasurementError, ShapeError


class State(Protocol):
    """What a solver carries from step to step: a frozen dataclass.

    Its tensors begin with the batch axes of the problem, so that a sample that has stopped can be kept as it is.
    """

    @property
    def estimate(self) -> Tensor:
        """The reconstruction so far, shape (*batch, *operator.in_shape)."""
        ...


S = TypeVar("S", bound=State)


class Solver(Protocol[S]):
    """A frozen dataclass of parameters with three pure methods; `max_steps` = 0 is a solver without iteration."""

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


def run(solver: Solver[S], problem: InverseProblem, on_step: OnStep | None = None, state: S | None = None) -> Solution:
    """Iterate until every sample has a residual ≤ `solver.tol`, or for `solver.max_steps` steps.

    A sample that has converged is left as it is while the others go on, so that it does not depend on its neighbours in
    the batch.

    Args:
        on_step: called after each step with its number (from 1), the state, and the largest residual.
        state: where to begin, from an earlier `Solution.state`; None for `solver.init(problem)`.

    Raises:
        ShapeError: if y has not the shape of the operator's output.
        DtypeError: if y is not floating point or complex.
        MeasurementError: if y has no entries, or NaN or infinite ones.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import AdmmTV, run
        >>> problem = forward_model("sr2", (2, 3, 16, 16)).measure(torch.rand(2, 3, 16, 16))
        >>> run(AdmmTV(max_steps=5, tol=0), problem).steps
        5
    """
    check_problem(problem)
    current = solver.init(problem) if state is None else state
    if solver.max_steps == 0:
        return Solution(current.estimate, "direct", 0, (), current)
    active = torch.ones(problem.batch_shape, dtype=torch.bool, device=problem.y.device)
    residuals: list[float] = []
    while len(residuals) < solver.max_steps and bool(active.any()):
        after = solver.step(problem, current)
        residual = solver.residual(current, after)
        current = after if bool(active.all()) else _keep(active, after, current)
        residuals.append(float(residual[active].max()))
        active = active & ~(residual <= solver.tol)
        if on_step is not None:
            on_step(len(residuals), current, residuals[-1])
    status = "max_steps" if bool(active.any()) else "converged"
    return Solution(current.estimate, status, len(residuals), tuple(residuals), current)


def check_problem(problem: InverseProblem) -> None:
    """Raise the errors that `run` documents if y cannot be a measurement by the operator."""
    for sample in problem.samples():
        _check_sample(sample)


def _check_sample(problem: InverseProblem) -> None:
    y, A = problem.y, problem.operator
    if y.ndim < len(A.out_shape) or tuple(y.shape[y.ndim - len(A.out_shape) :]) != tuple(A.out_shape):
        raise ShapeError(
            f"{A!r} gives measurements of shape {(..., *A.out_shape)}, got y of shape {tuple(y.shape)}: "
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


def relative_change(pairs: Sequence[tuple[Tensor, Tensor]], reference: Tensor, batch: int) -> Tensor:
    """√(Σ ‖after − before‖²) / ‖reference‖ per sample, for tensors whose first `batch` axes count samples."""
    changes = [_norm(after - before, batch) for before, after in pairs]
    size = _norm(reference, batch)
    return torch.linalg.vector_norm(torch.stack(changes), dim=0) / size.clamp(min=torch.finfo(size.dtype).eps)


def _norm(x: Tensor, batch: int) -> Tensor:
    return torch.linalg.vector_norm(x, dim=tuple(range(batch, x.ndim)))


def _keep(active: Tensor, after: Any, before: Any) -> Any:
    """The state `after` for active samples, `before` for the others."""

    def choose(new: Any, old: Any) -> Any:
        if isinstance(new, Tensor):
            return torch.where(active.reshape(active.shape + (1,) * (new.ndim - active.ndim)), new, old)
        if isinstance(new, tuple):
            return tuple(choose(n, o) for n, o in zip(new, old, strict=True))
        return new

    names = [f.name for f in dataclasses.fields(after)]
    return dataclasses.replace(after, **{name: choose(getattr(after, name), getattr(before, name)) for name in names})
