"""Solvers by name."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

from linops_video import InverseProblem, Solution
from linops_video.errors import SpecError
from linops_video.solvers.admm import AdmmTV, AdmmWavelet
from linops_video.solvers.defaults import tuned
from linops_video.solvers.iteration import OnStep, Solver, run
from linops_video.solvers.learned.onenet import OneNet
from linops_video.solvers.learned.videoonet import VideoOneNet
from linops_video.solvers.pinv import Pinv

SOLVERS: dict[str, Any] = {
    "pinv": Pinv,
    "admm-wavelet": AdmmWavelet,
    "admm-tv": AdmmTV,
    "onenet": OneNet,
    "videoonet": VideoOneNet,
}
"""Registered name -> dataclass of the solver."""


def solve(problem: InverseProblem, solver: str | Solver, *, on_step: OnStep | None = None, **fields: Any) -> Solution:
    """Solve a problem: y = A x + noise for x.

    Args:
        problem: operator, measurement and noise; its name, if it has one, chooses the tuned defaults.
        solver: a name in `SOLVERS`, or a solver object.
        on_step: called after each iteration with its number, the state and the residual.
        fields: fields of that solver, in place of its defaults.

    Raises:
        SpecError: if the solver is unknown (the near ones are listed), or has no such field.
        ShapeError, DtypeError, MeasurementError: if y cannot be a measurement by the operator (see `run`).

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> problem = forward_model("sr2", (2, 3, 16, 16)).measure(torch.rand(2, 3, 16, 16))
        >>> solve(problem, "pinv").x.shape
        torch.Size([2, 3, 16, 16])
    """
    return run(build(problem, solver, **fields), problem, on_step)


def build(problem: InverseProblem, solver: str | Solver, **fields: Any) -> Solver:
    """The solver object that `solve` runs: by name with the defaults for this problem, and `fields` in their place."""
    if isinstance(solver, str):
        if solver not in SOLVERS:
            near = difflib.get_close_matches(solver, SOLVERS, n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(SOLVERS)}"
            raise SpecError(f"unknown solver {solver!r}: {hint}")
        check_fields(SOLVERS[solver], fields)
        start = tuned(solver, problem)
        return SOLVERS[solver](**fields) if start is None else dataclasses.replace(start, **fields)
    check_fields(type(solver), fields)
    return dataclasses.replace(solver, **fields)  # type: ignore[type-var]  # every solver is a dataclass


def check_fields(kind: Any, fields: dict[str, Any]) -> None:
    """Raise SpecError, with the names that the dataclass `kind` has, if it lacks one of `fields`."""
    known = [f.name for f in dataclasses.fields(kind) if f.init]
    unknown = [name for name in fields if name not in known]
    if unknown:
        options = f"its fields are {', '.join(known)}" if known else "it has none"
        raise SpecError(f"{kind.__name__} has no field {', '.join(unknown)}: {options}")
