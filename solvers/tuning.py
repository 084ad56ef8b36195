"""The fields of a solver chosen for given problems: by the truth, or by the noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from linops_video import InverseProblem
from linops_video.algebra.parameters import show
from linops_video.errors import MeasurementError, ShapeError, SpecError
from linops_video.metrics import psnr
from linops_video.solvers.iteration import run
from linops_video.solvers.objective import entries, squared_misfit
from linops_video.solvers.registry import build, check_fields

S = TypeVar("S")
Point = dict[str, Any]

FACTORS = (2.0, 2**0.5)
"""Of neighbouring values in a search around a solver's own: coarse, then fine."""

FLAT = 1e-3
"""Values that differ by less, in dB or in logarithms of ratios, count as equal."""

OnTrial = Callable[[Point, float], None]


def tune(
    problems: Sequence[InverseProblem],
    solver: str | S,
    axes: Mapping[str, Sequence[Any]],
    truths: Sequence[Tensor] = (),
    on_trial: OnTrial | None = None,
) -> S:
    """The solver with the values of `axes` that suit the problems best, by `coordinate_search` from its own.

    Best is the largest mean PSNR where the true videos are given. Without them it is the discrepancy principle: the
    misfit ‖y − A x‖² nearest to the energy of the noise, in ratio; it settles how much to regularise (a weight), and
    nothing else. Source: Morozov, Soviet Mathematics 7, 1966.

    Args:
        problems: to be solved with each choice.
        solver: a solver object, or a name, which stands for the defaults of `solve` for the first problem.
        axes: name of a field -> its values in order, from which neighbours are tried.
        truths: one video per problem, of the shape of its reconstruction; none for the discrepancy principle.
        on_trial: called after each trial with the fields and their mean PSNR in dB; without truths with the misfit over
            that which the noise explains, root mean squares.

    Raises:
        SpecError: if there is no problem, no such solver or field, no value to try, or not one truth per problem.
        ShapeError: if a truth has not the shape of its video.
        MeasurementError: without truths, if a problem is free of noise.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import AdmmTV
        >>> flat = torch.full((4, 1, 16, 16), 0.5)
        >>> problem = forward_model("pid", (4, 1, 16, 16)).measure(flat)
        >>> tune([problem], AdmmTV(max_steps=10), {"weight": [0.001, 0.01, 0.1]}, [flat]).weight
        0.1
    """
    if isinstance(problems, InverseProblem) or not problems:
        raise SpecError("tuning needs a list of at least one problem, got " + ("none" if not problems else "one alone"))
    own: Any = build(problems[0], solver)  # type: ignore[arg-type]  # every S is a solver
    check_fields(type(own), dict(axes))
    empty = [name for name, values in axes.items() if not list(values)]
    if empty:
        raise SpecError(f"tuning needs values to try for {', '.join(empty)}, got none")
    if truths and len(truths) != len(problems):
        raise SpecError(f"tuning needs one true video per problem, got {len(truths)} for {len(problems)}")
    for problem, truth in zip(problems, truths, strict=False):
        if truth.shape[truth.ndim - len(problem.operator.in_shape) :] != problem.operator.in_shape:
            wanted = show(problem.operator.in_shape)
            raise ShapeError(f"the truth of {problem.operator!r} is a video of {wanted}, got {show(truth.shape)}")
    if not truths and any(float(torch.as_tensor(p.noise_std).min()) <= 0 for p in problems):
        raise MeasurementError("the discrepancy principle needs the noise of every problem: give its σ, or true videos")
    problems = [problem.prepare() for problem in problems]

    def value(point: Point) -> float:
        chosen: Any = dataclasses.replace(own, **point)
        found = [run(chosen, problem).x for problem in problems]
        if truths:
            scores = [psnr(x, truth.expand(x.shape)).mean() for x, truth in zip(found, truths, strict=True)]
            told = best = float(torch.stack(scores).mean())
        else:
            logs = torch.cat([_log_misfit(problem, x) for problem, x in zip(problems, found, strict=True)])
            told, best = float(logs.mean().exp()), -float(logs.abs().mean())
        if on_trial is not None:
            on_trial(point, told)
        return best

    start = {name: _nearest(values, getattr(own, name)) for name, values in axes.items()}
    with torch.no_grad():
        best = coordinate_search(value, start, axes)
    return dataclasses.replace(own, **best)


def tune_around(
    problems: Sequence[InverseProblem],
    solver: S,
    names: Sequence[str],
    truths: Sequence[Tensor] = (),
    on_trial: OnTrial | None = None,
) -> S:
    """`tune` over values around the solver's own of these fields, first by factors of 2, then of √2.

    Raises what `tune` and `searchable` raise.
    """
    for factor in FACTORS:
        solver = tune(problems, solver, searchable(solver, names, factor), truths, on_trial)
    return solver


def coordinate_search(
    value: Callable[[Point], float], start: Point, axes: Mapping[str, Sequence[Any]], gain: float = 0.0, rounds: int = 3
) -> Point:
    """The best point on a walk from `start` along each axis in turn, to values that gain more than `gain`.

    It goes on over plateaus until the value falls, and ends when a round changes nothing, or after so many `rounds`. No
    point is evaluated twice.
    """
    seen: dict[str, float] = {}

    def known(point: Point) -> float:
        key = repr(point)
        if key not in seen:
            seen[key] = value(point)
        return seen[key]

    best = dict(start)
    known(best)
    for _ in range(rounds):
        before = dict(best)
        for axis, choices in axes.items():
            for direction in (1, -1):
                i = list(choices).index(best[axis]) + direction
                while 0 <= i < len(choices) and known(ahead := {**best, axis: choices[i]}) > known(best) - FLAT:
                    best = ahead if known(ahead) > known(best) + gain else best
                    i += direction
        if best == before:
            break
    return best


def around(value: float, factor: float = 2.0, reach: int = 6) -> list[float]:
    """A positive number times powers of a factor, in order: to two digits, or whole numbers if it is one.

    Example:
        >>> around(0.01, reach=2), around(3, reach=2)
        ([0.0025, 0.005, 0.01, 0.02, 0.04], [1, 2, 3, 6, 12])
    """
    powers = [value * factor**k for k in range(-reach, reach + 1)]
    if isinstance(value, int):
        return sorted({max(1, round(power)) for power in powers})
    return sorted({float(f"{power:.2g}") for power in powers if power != value} | {value})


def searchable(solver: Any, names: Sequence[str], factor: float = 2.0) -> dict[str, list[float]]:
    """Axes for `tune`: these fields of a solver, each `around` its own value, by powers of a factor.

    Raises:
        SpecError: if the solver has no such field, or it is no positive number.

    Example:
        >>> from linops_video.solvers import AdmmTV
        >>> list(searchable(AdmmTV(), ["weight", "rho"]))
        ['weight', 'rho']
    """
    check_fields(type(solver), dict.fromkeys(names))
    for name in names:
        value = getattr(solver, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise SpecError(f"{name} = {value!r} cannot be tuned by itself: only positive numbers can")
    return {name: around(getattr(solver, name), factor) for name in names}


def _log_misfit(problem: InverseProblem, x: Tensor) -> Tensor:
    """log(‖y − A x‖ / √E‖noise‖²) of each sample, in one axis."""
    squares = squared_misfit(problem, x)
    energy = entries(problem).to(squares) * torch.as_tensor(problem.noise_std).to(squares).square()
    return (squares / energy).clamp(min=1e-12).log().flatten() / 2


def _nearest(values: Sequence[Any], own: Any) -> Any:
    """The solver's own value where it is among them, else the nearest number, else the middle one."""
    if own in values:
        return own
    if all(isinstance(value, int | float) for value in (own, *values)):
        return min(values, key=lambda value: abs(value - own))
    return values[len(values) // 2]
