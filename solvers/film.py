"""Solve a film of any length: window after window, blended, each as soon as its frames are read."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from linops_video import InverseProblem, Solution
from linops_video.films.film import Film
from linops_video.films.parts import Finished
from linops_video.metrics import ssim
from linops_video.solvers.evaluation import Score
from linops_video.solvers.iteration import OnStep
from linops_video.solvers.learned.checkpoint import locate
from linops_video.solvers.registry import SOLVERS, build
from linops_video.solvers.tiles import Span, count_tiles, ramp, run_in_tiles, spans

WINDOW = 32
"""Most frames that are solved together."""

OVERLAP = 8
"""Frames that neighbouring windows share: a second measured frame for "fi4", and twice the reach of "tdd"."""

PERIOD = 4
"""Windows start at multiples of 4, with a frame that "fi2" and "fi4" measure."""


@dataclass(frozen=True)
class Window:
    """A solved window: the frames that are finished with it, and how far the film is."""

    frames: Tensor
    state: Finished


def windows_of(frames: int) -> list[Span]:
    """The windows of a film: of `WINDOW` frames, so that memory is the same for all lengths; the last two are equal.

    Example:
        >>> windows_of(64)
        [(0, 32), (24, 48), (40, 64)]
    """
    full, start = [], 0
    while frames - start > 2 * WINDOW - OVERLAP:
        full.append((start, start + WINDOW))
        start += WINDOW - OVERLAP
    return full + [(start + a, start + b) for a, b in spans(frames - start, WINDOW, OVERLAP, PERIOD)]


def solve_film(
    film: Film,
    solver: str,
    fields: dict[str, Any] | None = None,
    device: torch.device | str = "cpu",
    state: Finished | None = None,
    on_step: OnStep | None = None,
) -> Iterator[Window]:
    """Solve the windows of a film, in order; frames that two windows share are blended, with weights that add up to 1.

    Args:
        film: is read as the windows come.
        solver, fields: as for `solve`.
        device: where each window is solved; its frames come back to the CPU.
        state: how far an earlier run came: the same windows follow as if there had been no break.
        on_step: as for `run`, for each window; steps count on over the tiles of large frames.

    Raises what `solve` raises, and the errors of `Film.problem`.

    Example:
        >>> from linops_video.films.film import open_film, simulated_film
        >>> from linops_video.media.video import demo_clip
        >>> film = simulated_film(open_film(demo_clip(), frames=40), "sr4")
        >>> [len(window.frames) for window in solve_film(film, "pinv")]
        [16, 24]
    """
    windows = windows_of(film.shape[0])
    state, ready = state or Finished(0, torch.zeros(0, 1, 1, 1), {}), None
    for index in range(state.windows, len(windows)):
        problem = film.problem(*windows[index]).to(device)
        ready = ready or build(problem, solver, **(fields or {}))  # which depends on the problem's name and noise only
        began = time.perf_counter()
        with torch.no_grad():
            solution = run_in_tiles(ready, problem, on_step).real()
            seconds = time.perf_counter() - began
            tally = _numbers(problem, solution) | {"seconds": seconds, "tiles": count_tiles(ready, problem)}
        window = _blended(film, windows, state, solution, tally)
        state = window.state
        del problem, solution  # large: gone before the next window is read
        yield window
        del window


def _blended(film: Film, windows: list[Span], state: Finished, solution: Solution, tally: dict[str, float]) -> Window:
    """A solved window, blended with what the one before left for it."""
    index = state.windows
    start, stop = windows[index]
    blended = solution.x.cpu() * ramp(windows, index).reshape(-1, 1, 1, 1)
    blended[: len(state.tail)] += state.tail
    finished = (windows[index + 1][0] if index + 1 < len(windows) else stop) - start
    frames, tail = blended[:finished], blended[finished:].clone()
    truth = film.truth(start, stop)
    if truth is not None:
        tally = _added(tally, _errors(frames, truth[:finished]))
    return Window(frames, Finished(index + 1, tail, _added(state.tally, tally)))


def score_of(state: Finished) -> Score:
    """The quality of the finished frames of a film: as `score`, but the data misfit is that of the single windows."""
    tally = state.tally
    misfit = (tally["squared misfit"] / tally["measurements"]) ** 0.5
    if "squared error" not in tally:
        return Score(None, None, misfit)
    error = torch.tensor(tally["squared error"] / tally["entries"], dtype=torch.float64)
    similar = tally["ssim"] / tally["frames"] if "ssim" in tally else None
    return Score(float(-10 * torch.log10(error)), similar, misfit)


def status_of(state: Finished) -> str:
    """As `Solution.status`: "max_steps" if one window met the limit first."""
    if not state.tally["steps"]:
        return "direct"
    return "max_steps" if state.tally["stopped"] else "converged"


def identity_of(solver: str, fields: dict[str, Any]) -> dict[str, str]:
    """What tells a solver from another one in the job of a film: name, fields, and the content of its weights."""
    told = {"solver": solver} | {name: str(value) for name, value in fields.items()}
    default = getattr(SOLVERS.get(solver), "weights", None)
    if default is not None:
        told["sha256"] = hashlib.sha256(locate(fields.get("weights", default)).read_bytes()).hexdigest()
    return told


def _numbers(problem: InverseProblem, solution: Solution) -> dict[str, float]:
    squares = (problem.operator(solution.x) - problem.y).abs().double().square()
    return {
        "squared misfit": float(squares.sum()),
        "measurements": squares.numel(),
        "steps": solution.steps,
        "stopped": solution.status == "max_steps",
    }


def _errors(frames: Tensor, truth: Tensor) -> dict[str, float]:
    squares = [(a.double() - b.double()).square().sum() for a, b in zip(frames, truth, strict=True)]
    numbers = {"squared error": float(sum(squares)), "entries": truth.numel(), "frames": len(frames)}
    similar = ssim(frames, truth)
    return numbers if similar is None else numbers | {"ssim": float(similar) * len(frames)}


def _added(tally: Any, more: dict[str, float]) -> dict[str, float]:
    total = dict(tally)
    for name, value in more.items():
        largest = name in ("steps", "tiles")
        total[name] = max(total.get(name, 0), value) if largest else total.get(name, 0.0) + value
    return total
