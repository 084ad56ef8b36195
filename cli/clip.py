"""One clip that is solved in one piece: measured, or degraded first and then compared with the truth."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from linops_video import InverseProblem, Solution
from linops_video.algebra.parameters import Shape
from linops_video.cli.picture import Column, check_channels, measurement_column, save_figure
from linops_video.cli.progress import bar, progress
from linops_video.cli.report import Row, Run, print_table, problem_line, report_of, tuning_line, write_json
from linops_video.errors import CutError
from linops_video.films.cut import cut_problem, middle
from linops_video.media.arrays import NUMPY, read_clip, read_measurement, write_array
from linops_video.media.encoding import SQUARE, check_sound
from linops_video.media.files import check_writable
from linops_video.media.video import check_frame_rate, check_video_shape, demo_clip, pixel_aspect, write_video
from linops_video.problems.measurement import frame_rate_of, inverse_problem, model_of
from linops_video.solvers.baselines import BASELINES, yardsticks
from linops_video.solvers.evaluation import score
from linops_video.solvers.iteration import Solver
from linops_video.solvers.registry import build
from linops_video.solvers.tiles import Tile, cut_in_tiles, run_tiles

DEMO_FRAMES = 16


@dataclass(frozen=True)
class Request:
    """What `solve` was asked for, for every file the same."""

    op: str
    solver: str
    simulate: bool
    noise: float | None
    seed: int
    frames: int | None
    shape: tuple[int, int, int, int] | None
    mask: Path | None
    kernel: Tensor | None
    device: torch.device
    fields: dict[str, Any]


@dataclass(frozen=True)
class Outputs:
    """Where the results go."""

    out: Path | None = None
    json: Path | None = None
    figure: Path | None = None


@dataclass(frozen=True)
class Task:
    """What is to be solved: the problem, the frame rate, and the true clip where it is known."""

    problem: InverseProblem
    fps: float
    truth: Tensor | None


def solve_clip(request: Request, input: Path | None, outputs: Outputs, console: Console) -> Row:
    """Solve a clip, or the demo clip, write what is asked for, and print the table."""
    task, sound = task_of(request, input), sound_of(input)
    check_output(outputs.out, task.problem.operator.in_shape, sound, task.fps)
    if outputs.figure is not None:
        check_channels(task.problem.operator.in_shape[1])
    truth = None if task.truth is None else task.truth.to(request.device)
    task = Task(task.problem.to(request.device), task.fps, truth)
    compared = truth is not None or outputs.figure is not None
    solver = build(task.problem, request.solver, **request.fields)
    tiles = cut_in_tiles(solver, task.problem)
    if compared and len(tiles) == 1:
        with bar("set-up of the data step", None):
            task = replace(task, problem=task.problem.prepare())
    solution, row = _timed(request.solver, solver, task, tiles)
    baselines = _baselines(request.solver, task) if compared else []
    rows = [baseline for _, baseline in baselines]
    if outputs.out is not None and outputs.out.suffix.lower() == ".npz":
        write_array(outputs.out, "x", solution.x, task.fps)
    elif outputs.out is not None:
        write_video(outputs.out, solution.x, task.fps, sound, aspect_of(input))
    print_table(console, problem_line(request.op, task.problem), [*rows, row])
    tuning = tuning_line(task.problem, request.solver, solver, request.fields)
    if tuning is not None:
        console.print(tuning, highlight=False, markup=False)
    if outputs.out is not None:
        console.print(f"reconstruction: {outputs.out}", markup=False, soft_wrap=True)
    if outputs.figure is not None:
        _save(outputs.figure, task, baselines, solution, row)
        console.print(f"figure: {outputs.figure}", markup=False, soft_wrap=True)
    if outputs.json is not None:
        run, noise_std = Run(solution.steps, solution.status, 1, len(tiles)), float(task.problem.noise_std)
        shape = task.problem.operator.in_shape
        write_json(outputs.json, report_of(request.op, request.seed, shape, noise_std, [*rows, row], run, solver))
        console.print(f"report: {outputs.json}", markup=False, soft_wrap=True)
    return row


def check_output(out: Path | None, shape: Shape, sound: Path | None, fps: float) -> None:
    """Raise, before any work, what writing a reconstruction of this shape with this sound would raise."""
    if out is not None:
        check_writable(out, folder=not out.suffix)
    if out is not None and out.suffix.lower() != ".npz":
        check_video_shape(shape)
        check_frame_rate(out, fps)
    if out is not None and sound is not None:
        check_sound(out, sound)


def sound_of(input: Path | None) -> Path | None:
    """The file whose sound goes with the reconstruction; folders and arrays have none."""
    return input if input is not None and input.is_file() and input.suffix.lower() not in NUMPY else None


def aspect_of(input: Path | None) -> Fraction:
    """Width over height of the pixels of the reconstruction: those of the input, where it is a video file."""
    file = sound_of(input)
    return SQUARE if file is None else pixel_aspect(file)


def task_of(request: Request, input: Path | None, part: int | None = None) -> Task:
    """What is to be solved for a file, or of its frames only the middle `part`×`part` pixels, where they can be cut."""
    if not request.simulate:
        assert input is not None
        measurement = read_measurement(input, request.frames)
        given = (request.shape, request.noise, request.seed, request.mask, request.kernel)
        problem = inverse_problem(measurement, request.op, *given)
        if part is not None:
            with suppress(CutError):
                problem = cut_problem(problem, middle(problem.operator.in_shape, part))
        return Task(problem, frame_rate_of(request.op, measurement.fps), None)
    if input is None:
        clip = read_clip(demo_clip(), DEMO_FRAMES if request.frames is None else request.frames)
    else:
        clip = read_clip(input, request.frames)
    box = None if part is None else middle(tuple(clip.frames.shape), part)
    return simulated(request, clip.frames if box is None else clip.frames[tuple(slice(a, b) for a, b in box)], clip.fps)


def simulated(request: Request, video: Tensor, fps: float = 25.0) -> Task:
    """A video that is measured first, with the truth."""
    model = model_of(request.op, tuple(video.shape), request.seed, request.mask, request.kernel)
    model = model if request.noise is None else replace(model, noise_std=request.noise)
    return Task(model.measure(video, request.seed), fps, video)


def _timed(name: str, solver: Solver, task: Task, tiles: Sequence[Tile]) -> tuple[Solution, Row]:
    """Run a solver under its progress bar and score what it gives."""
    with progress(name, solver.max_steps * len(tiles)) as on_step:
        start = time.perf_counter()
        solution = run_tiles(solver, task.problem, tiles, on_step)
        seconds = time.perf_counter() - start
    solution = solution.real()
    return solution, Row(name, score(task.problem, solution.x, task.truth), seconds)


def _baselines(solver: str, task: Task) -> list[tuple[Tensor, Row]]:
    """The yardsticks; without the truth one for the figure, by interpolation, where the problem allows it."""
    simple = BASELINES.get(task.problem.name or "", {})
    names = list(simple)[:1] if task.truth is None else yardsticks(task.problem.name, solver)
    results = []
    for name in names:
        if name in simple:
            start = time.perf_counter()
            x = simple[name](task.problem)
            seconds = time.perf_counter() - start
            results.append((x, Row(name, score(task.problem, x, task.truth), seconds)))
        else:
            other = build(task.problem, name)
            solution, row = _timed(name, other, task, cut_in_tiles(other, task.problem))
            results.append((solution.x, row))
    return results


def _save(figure: Path, task: Task, baselines: list[tuple[Tensor, Row]], solution: Solution, row: Row) -> None:
    """Truth, measurement, the best interpolation (of problems that have none: the best baseline), reconstruction."""
    columns = [measurement_column(task.problem)]
    if task.truth is not None:
        columns.insert(0, Column("truth", f"{task.truth.shape[-1]}×{task.truth.shape[-2]} pixels", list(task.truth)))
    own = BASELINES.get(task.problem.name or "", {})
    simple = [(x, r) for x, r in baselines if r.name in own] or baselines
    best = [max(simple, key=lambda entry: entry[1].score.psnr or 0.0)] if simple else []  # none beside pinv alone
    for frames, shown in (*best, (solution.x, row)):
        note = f"{shown.score.psnr:.2f} dB" if shown.score.psnr is not None else f"misfit {shown.score.data_misfit:.1e}"
        columns.append(Column(shown.name, note, list(frames)))
    x = best[0][0] if best else solution.x.mean((0, 2, 3), keepdim=True)  # enlarged where they are farthest apart
    save_figure(figure, columns, (x - solution.x).square().mean(dim=1).cpu())
