"""Solvers by name."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from linops_video import InverseProblem, Solution
from linops_video.errors import SpecError, near_names
from linops_video.solvers.admm import Admm, AdmmTV, AdmmWavelet
from linops_video.solvers.defaults import scale, tuned, tuned_prior
from linops_video.solvers.hqs import HalfQuadratic
from linops_video.solvers.iteration import OnStep, Solver, check_problem, check_solver, run
from linops_video.solvers.learned.onenet import OneNet
from linops_video.solvers.learned.solver import fast_precision
from linops_video.solvers.learned.videoonet import VideoOneNet
from linops_video.solvers.least_squares import Cgls, Tikhonov
from linops_video.solvers.pinv import Pinv
from linops_video.solvers.preconditioned import PreconditionedPrimalDual
from linops_video.solvers.primal_dual import PrimalDual
from linops_video.solvers.proximal_gradient import Fista, ProximalGradient

SOLVERS: dict[str, Any] = {
    "pinv": Pinv,
    "cgls": Cgls,
    "tikhonov": Tikhonov,
    "admm": Admm,
    "admm-wavelet": AdmmWavelet,
    "admm-tv": AdmmTV,
    "hqs": HalfQuadratic,
    "proximal-gradient": ProximalGradient,
    "fista": Fista,
    "primal-dual": PrimalDual,
    "primal-dual-fft": PreconditionedPrimalDual,
    "onenet": OneNet,
    "videoonet": VideoOneNet,
}
"""Registered name -> dataclass of the solver."""


def solve(
    problem: InverseProblem,
    solver: str | Solver,
    *,
    on_step: OnStep | None = None,
    start: Solution | None = None,
    truth: Tensor | None = None,
    history: bool = False,
    **fields: Any,
) -> Solution:
    """Solve a problem: y = A x + noise for x.

    Args:
        problem: operator, measurement and noise; its name, if it has one, and its noise choose the tuned defaults, one
            set for all samples of a batch.
        solver: a name in `SOLVERS`, or a solver object.
        on_step: called after each iteration with its number, the state and the residual.
        start: an earlier solution by the same solver to go on from.
        truth: the true video, whose PSNR is then in the solution's history.
        history: keep residual, objective and data misfit of each sample after each step.
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
    check_problem(problem)  # its noise chooses the defaults
    return run(build(problem, solver, **fields), problem, on_step, start, truth, history)


def build(problem: InverseProblem, solver: str | Solver, **fields: Any) -> Solver:
    """The solver object that `solve` runs: by name with the defaults for this problem, and `fields` in their place."""
    if isinstance(solver, str):
        check_name(solver)
        check_fields(SOLVERS[solver], fields)
        start = tuned(solver, problem)
        if start is not None:
            return dataclasses.replace(start, **fields)
        return SOLVERS[solver](**{**_prior_fields(SOLVERS[solver], problem), **fields})
    check_solver(solver)
    check_fields(type(solver), fields)
    return dataclasses.replace(solver, **fields)  # type: ignore[type-var]  # every solver is a dataclass


def check_name(solver: str) -> None:
    """Raise SpecError, with the near names, unless this is the name of a solver."""
    if solver not in SOLVERS:
        name, call, _ = solver.partition("(")
        if call and name in SOLVERS:
            raise SpecError(
                f"not {solver!r} but {name!r}, and its fields apart: solve(problem, {name!r}, field=value), or "
                "--config FILE"
            )
        raise SpecError(f"unknown solver {solver!r}: {near_names(solver, SOLVERS)}")


@torch.no_grad()
def _prior_fields(kind: Any, problem: InverseProblem) -> dict[str, Any]:
    """Prior and ρ, where a solver takes any, as tuned for total variation; its weights alone for Tikhonov."""
    names = {f.name for f in dataclasses.fields(kind)} & {"prior", "rho", "weight", "time_weight"}
    if not names:
        return {}
    prior, rho = tuned_prior(problem)
    values = {"prior": prior, "rho": rho, "time_weight": prior.time_weight}
    if "weight" in names:
        values["weight"] = kind.weight * float(scale(problem.samples()[0]).flatten()[0]) ** 2
    return {name: value for name, value in values.items() if name in names}


def fast_fields(solver: str, device: torch.device | str) -> dict[str, str]:
    """Fields that make a solver faster on a device without a loss that is seen: the precision of a network.

    Example:
        >>> fast_fields("admm-tv", "cpu")
        {}
    """
    named = {f.name for f in dataclasses.fields(SOLVERS[solver])} if solver in SOLVERS else set()
    return {"precision": fast_precision(device)} if "precision" in named else {}


def check_fields(kind: Any, fields: dict[str, Any]) -> None:
    """Raise SpecError, with the names that the dataclass `kind` has, if it lacks one of `fields`."""
    known = [f.name for f in dataclasses.fields(kind) if f.init]
    unknown = [name for name in fields if name not in known]
    if unknown:
        options = f"its fields are {', '.join(known)}" if known else "it has none"
        raise SpecError(f"{kind.__name__} has no field {', '.join(unknown)}: {options}")
