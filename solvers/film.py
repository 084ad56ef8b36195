"""Solve a film of any length: window after window, blended, each as soon as its frames are read."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from linops_video import InverseProblem, Solution
from linops_video.algebra.slabs import CACHED
from linops_video.films.film import Film
from linops_video.films.parts import WHOLE, Finished, Share, Tallies, Tally
from linops_video.films.threads import ahead
from linops_video.metrics import ssim
from linops_video.solvers.baselines import BASELINES
from linops_video.solvers.evaluation import Score
from linops_video.solvers.iteration import OnStep
from linops_video.solvers.learned.checkpoint import locate
from linops_video.solvers.objective import energy
from linops_video.solvers.registry import SOLVERS, build
from linops_video.solvers.tiles import Span, cut_in_tiles, ramp, run_tiles, spans

WINDOW = 32
"""Most frames that are solved together."""

OVERLAP = 8
"""Frames that neighbouring windows share: a second measured frame for "fi4", and twice the reach of "tdd"."""

PERIOD = 4
"""Windows start at multiples of 4, with a frame that "fi2" and "fi4" measure."""

MOST_TOGETHER = 4
"""Most windows that are solved as one batch on CUDA."""

WORKING = 64 * 4
"""Bytes that a batch is to have for each entry: "videoonet" takes 48 times the 4 of a float32, on a CPU (424×240)."""

Way = Callable[[InverseProblem, OnStep | None], tuple[Solution, int]]
"""What solves a window, and tells in how many tiles."""

LARGEST = ("steps", "tiles")
"""Numbers of a tally of which the largest counts, not the sum."""


@dataclass(frozen=True)
class Window:
    """A solved window: the frames that are finished with it, and how far the film is."""

    frames: Tensor
    state: Finished


def windows_of(frames: int) -> list[Span]:
    """The windows of a film: of `WINDOW` frames, so that memory is the same for all lengths; where less than half of
    one would be left for the last, the last two are equal.

    Example:
        >>> windows_of(64), windows_of(36)
        ([(0, 32), (24, 56), (48, 64)], [(0, 24), (12, 36)])
    """
    full, start, step = [], 0, WINDOW - OVERLAP
    while frames - start >= step + WINDOW // 2:
        full.append((start, start + WINDOW))
        start += step
    return full + [(start + a, start + b) for a, b in spans(frames - start, WINDOW, OVERLAP, PERIOD)]


def solve_film(
    film: Film,
    solver: str,
    fields: dict[str, Any] | None = None,
    device: torch.device | str = "cpu",
    state: Finished | None = None,
    on_step: OnStep | None = None,
    share: Share = WHOLE,
    beside: Sequence[str] = (),
    together: int | None = None,
) -> Iterator[Window]:
    """Solve the windows of a film, in order; frames that two windows share are blended, with weights that add up to 1.

    A thread reads and measures each window while the one before it is solved.

    Args:
        film: is read as the windows come.
        solver, fields: as for `solve`.
        device: where each window is solved; its frames come back to the CPU.
        state: how far an earlier run came: the same windows follow as if there had been no break.
        on_step: as for `run`, for each window; steps count on over the tiles of large frames.
        share: of the windows, those that are given. The one before them is solved too, since they begin with its blend.
        beside: of `yardsticks`, what is run for its score, on each window for itself.
        together: most windows that are solved as one batch, where one operator measures them all; None: one on a CPU,
            which a window keeps busy, and on CUDA `MOST_TOGETHER` as far as memory goes. What comes of a window does
            not depend on it but by rounding.

    Raises what `solve` raises, and the errors of `Film.problem`.

    Example:
        >>> from linops_video.films.film import open_film, simulated_film
        >>> from linops_video.media.video import demo_clip
        >>> film = simulated_film(open_film(demo_clip(), frames=40), "sr4")
        >>> [len(window.frames) for window in solve_film(film, "pinv")]
        [24, 16]
    """
    windows = windows_of(film.shape[0])
    mine = share.windows(len(windows))
    state = state or Finished(max(0, mine.start - 1), torch.zeros(0, 1, 1, 1), {})
    if not mine or state.windows >= mine.stop:
        return
    first = film.problem(*windows[0]).to(device)  # all are solved like this one, wherever a run begins
    ways = {name: _way(name, first, fields if name == solver else None) for name in (*beside, solver)}
    del first
    together = together or _together(torch.device(device), film.shape[1:])
    for group in ahead(_groups(film, windows, range(state.windows, mine.stop), together, device)):
        solved = _solved(ways[solver], group, on_step)
        others = {name: _solved(ways[name], group) for name in beside} if group.stop > mine.start else {}
        for index, truth in enumerate(group.truths, group.start):
            tallies, done = {}, _finished(windows, index)
            for name, found in others.items():
                other, told = found[index - group.start]
                tallies[name] = told | _errors(other[:done], truth)
            frames, tally = solved.pop(0)
            tail = _blend(frames, windows, index, state.tail)
            frames = frames[:done]
            if index not in mine:
                state = Finished(index + 1, tail, {})
                continue
            tallies[solver] = tally | _errors(frames, truth)
            state = Finished(index + 1, tail, total([state.tallies, tallies]))
            yield Window(frames, state)
            del frames  # large: gone as soon as they are written


@dataclass(frozen=True)
class _Group:
    """Windows start … stop − 1 as one problem, of several with a batch axis, and their true frames, where known."""

    start: int
    problem: InverseProblem
    truths: Sequence[Tensor | None]

    @property
    def stop(self) -> int:
        return self.start + len(self.truths)


def _groups(
    film: Film, windows: list[Span], numbers: range, together: int, device: torch.device | str
) -> Iterator[_Group]:
    """Windows that follow each other and have one operator, at most `together`."""
    found: list[tuple[InverseProblem, Tensor | None]] = []
    for index in numbers:
        problem = film.problem(*windows[index])
        if found and problem.operator is not found[0][0].operator:
            yield _group(index, found, device)
            found = []
        found.append((problem, film.truth(*windows[index])))
        if len(found) == together:
            yield _group(index + 1, found, device)
            found = []
    if found:
        yield _group(numbers.stop, found, device)


def _group(stop: int, found: list[tuple[InverseProblem, Tensor | None]], device: torch.device | str) -> _Group:
    (first, _), ys = found[0], [problem.y for problem, _ in found]
    joined = first if len(ys) == 1 else replace(first, y=torch.stack(ys))
    return _Group(stop - len(ys), joined.to(device), tuple(truth for _, truth in found))


def _together(device: torch.device, frame: Sequence[int]) -> int:
    """How many windows of frames (C, H, W) are solved as one batch on a device."""
    if device.type != "cuda":
        return 1
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(MOST_TOGETHER, free // (WORKING * WINDOW * math.prod(frame))))


def _way(name: str, problem: InverseProblem, fields: dict[str, Any] | None) -> Way:
    """What solves the windows of the film of which this is one."""
    baseline = BASELINES.get(problem.name or "", {}).get(name)
    if baseline is not None:
        return lambda posed, _: (Solution(baseline(posed), "direct", 0), 1)
    solver = build(problem, name, **(fields or {}))

    def way(posed: InverseProblem, on_step: OnStep | None) -> tuple[Solution, int]:
        tiles = cut_in_tiles(solver, posed)
        return run_tiles(solver, posed, tiles, on_step).real(), len(tiles)

    return way


def _solved(way: Way, group: _Group, on_step: OnStep | None = None) -> list[tuple[Tensor, dict[str, float]]]:
    """The frames that each window of a group is solved to, and its numbers."""
    problem, count = group.problem, len(group.truths)
    began = time.perf_counter()
    with torch.no_grad():
        solution, tiles = way(problem, on_step)
    x = solution.x.cpu()  # which waits for CUDA
    seconds = time.perf_counter() - began
    errors = (problem.operator(solution.x) - problem.y).reshape(count, -1)
    alike = {
        "measurements": errors[0].numel(),
        "steps": solution.steps,
        "stopped": solution.status == "max_steps",
        "seconds": seconds / count,
        "tiles": tiles,
    }
    misfits = [{"squared misfit": float(sum(energy(part, 1) for part in own.split(CACHED)))} for own in errors]
    return [(own, misfit | alike) for own, misfit in zip(x.reshape(count, *x.shape[-4:]), misfits, strict=True)]


def _finished(windows: list[Span], index: int) -> int:
    """How many frames of a window the next one does not see."""
    start, stop = windows[index]
    return (windows[index + 1][0] if index + 1 < len(windows) else stop) - start


def _blend(frames: Tensor, windows: list[Span], index: int, tail: Tensor) -> Tensor:
    """Blend a solved window with what the one before left for it, in place; give what it leaves itself."""
    weights, done = ramp(windows, index).reshape(-1, 1, 1, 1), _finished(windows, index)
    shared = slice(len(tail)), slice(done, None)
    for part in shared:
        frames[part].mul_(weights[part])
    frames[: len(tail)] += tail
    return frames[done:].clone()


def total(many: Iterable[Tallies]) -> Tallies:
    """The tallies of a film of those of its windows, or of its shares."""
    added: dict[str, dict[str, float]] = {}
    for tallies in many:
        for solver, tally in tallies.items():
            mine = added.setdefault(solver, {})
            for name, value in tally.items():
                mine[name] = max(mine.get(name, 0), value) if name in LARGEST else mine.get(name, 0.0) + value
    return added


def score_of(tally: Tally) -> Score:
    """The quality of the finished frames of a film: as `score`, but the data misfit is that of the single windows."""
    misfit = (tally["squared misfit"] / tally["measurements"]) ** 0.5
    if "squared error" not in tally:
        return Score(None, None, misfit)
    error = torch.tensor(tally["squared error"] / tally["entries"], dtype=torch.float64)
    similar = tally["ssim"] / tally["frames"] if "ssim" in tally else None
    return Score(float(-10 * torch.log10(error)), similar, misfit)


def status_of(tally: Tally) -> str:
    """As `Solution.status`: "max_steps" if one window, or one of a batch, met the limit first."""
    if not tally["steps"]:
        return "direct"
    return "max_steps" if tally["stopped"] else "converged"


def identity_of(solver: str, fields: dict[str, Any]) -> dict[str, str]:
    """What tells a solver from another one in the job of a film: name, fields, and the content of its weights."""
    told = {"solver": solver} | {name: str(value) for name, value in fields.items()}
    default = getattr(SOLVERS.get(solver), "weights", None)
    if default is not None:
        told["sha256"] = hashlib.sha256(locate(fields.get("weights", default)).read_bytes()).hexdigest()
    return told


def _errors(frames: Tensor, truth: Tensor | None) -> dict[str, float]:
    """What the first frames of a window have to be scored by, where the truth is known."""
    if truth is None:
        return {}
    truth = truth[: len(frames)]
    squares = [(a.double() - b.double()).square().sum() for a, b in zip(frames, truth, strict=True)]
    numbers = {"squared error": float(sum(squares)), "entries": truth.numel(), "frames": len(frames)}
    similar = ssim(frames, truth)
    return numbers if similar is None else numbers | {"ssim": float(similar) * len(frames)}
