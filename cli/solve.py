"""`linops-video solve`: reconstruct a measured clip, or degrade a clip and reconstruct it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from torch import Tensor

from linops_video import InverseProblem, Solution
from linops_video.arrays import read_clip, read_kernel, read_measurement, write_array
from linops_video.cli.figure import Column, measurement_column, save_figure
from linops_video.cli.options import check_seed, parse_device, parse_shape
from linops_video.cli.progress import progress
from linops_video.cli.report import Row, print_table, report_of, write_json
from linops_video.errors import FileError, SpecError
from linops_video.files import check_writable
from linops_video.measurement import inverse_problem, model_of
from linops_video.solvers import SOLVERS, run
from linops_video.solvers.baselines import BASELINES
from linops_video.solvers.evaluation import score
from linops_video.solvers.registry import build
from linops_video.video import check_video_suffix, demo_clip, write_video

DEMO_FRAMES = 16


@dataclass(frozen=True)
class Task:
    """What is to be solved: the problem, the frame rate, and the true clip where it is known."""

    problem: InverseProblem
    fps: float
    truth: Tensor | None


def solve(
    op: Annotated[str, typer.Option(help="A problem, or an expression of what `linops-video ops` lists.")],
    input: Annotated[
        Path | None,
        typer.Argument(help="The measurement; with --simulate the clip to degrade; left out, a demo clip is degraded."),
    ] = None,
    solver: Annotated[str, typer.Option(help="The solver: " + ", ".join(SOLVERS) + ".")] = "videoonet",
    simulate: Annotated[bool, typer.Option("--simulate", help="INPUT is a whole clip: degrade it first.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Reconstruction: .mp4, .mkv, .avi, .gif, .npz, no suffix: folder of PNGs."),
    ] = None,
    noise: Annotated[float | None, typer.Option(help="σ of the noise; default: the problem's, or estimated.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of masks, matrices, angles and noise.")] = 0,
    frames: Annotated[int | None, typer.Option(help="Read at most so many frames.")] = None,
    shape: Annotated[str | None, typer.Option(help="T,C,H,W of the video, where INPUT does not tell it.")] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Mask of pid, bi, si: an image, a video or .npz; white is kept.")
    ] = None,
    kernel: Annotated[Path | None, typer.Option(help="Kernel of blur: an image or .npz.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    weights: Annotated[str | None, typer.Option(help="Weights of a learned solver: a file or a shipped name.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the report to this file.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Write frames side by side to this .png file.")] = None,
) -> None:
    """Reconstruct INPUT, measured as --op says, with --solver."""
    check_seed(seed)
    if noise is not None and not 0 <= noise < float("inf"):
        raise SpecError(f"--noise is a standard deviation, 0 or more, not {noise:g}")
    simulated = simulate or input is None
    if not simulated and out is None:
        raise SpecError("say where the reconstruction goes with -o FILE, or give --simulate if INPUT is a whole clip")
    if input is None and figure is None:
        words = "-".join(re.findall(r"[\w.]+", op))
        figure = Path(f"linops-video-{words[:60]}.png")
    _check_outputs(out, json, figure)

    kernel_taps = None if kernel is None else read_kernel(kernel)
    if simulated:
        demo_frames = DEMO_FRAMES if frames is None else frames
        clip = read_clip(demo_clip(), demo_frames) if input is None else read_clip(input, frames)
        model = model_of(op, tuple(clip.frames.shape), seed, mask, kernel_taps)
        model = model if noise is None else replace(model, noise_std=noise)
        task = Task(model.measure(clip.frames, seed), clip.fps, clip.frames)
    else:
        assert input is not None
        measurement = read_measurement(input, frames)
        given = None if shape is None else parse_shape(shape)
        task = Task(inverse_problem(measurement, op, given, noise, seed, mask, kernel_taps), measurement.fps, None)
    where = parse_device(device)
    task = Task(task.problem.to(where), task.fps, None if task.truth is None else task.truth.to(where))

    solution, row = _timed(solver, task, {} if weights is None else {"weights": weights})
    baselines = _baselines(solver, task) if task.truth is not None or figure is not None else []
    console = Console()
    print_table(console, op, task.problem, [baseline for _, baseline in baselines] + [row])
    if out is not None:
        if out.suffix.lower() == ".npz":
            write_array(out, "x", solution.x, task.fps)
        else:
            write_video(out, solution.x, task.fps)
        console.print(f"reconstruction: {out}", markup=False)
    if figure is not None:
        _save(figure, task, baselines, solution, row)
        console.print(f"figure: {figure}", markup=False)
    if json is not None:
        rows = [baseline for _, baseline in baselines]
        write_json(json, report_of(op, seed, task.problem, solution, row, rows))
        console.print(f"report: {json}", markup=False)


def _check_outputs(out: Path | None, json: Path | None, figure: Path | None) -> None:
    """Fail before the work, not after it."""
    if out is not None and out.suffix.lower() != ".npz":
        check_video_suffix(out)
    if figure is not None and figure.suffix.lower() != ".png":
        raise FileError(f"--figure writes PNG: name it .png, not {figure.name}")
    for path in (out, json, figure):
        if path is not None:
            check_writable(path)


def _timed(name: str, task: Task, fields: dict[str, str]) -> tuple[Solution, Row]:
    """Run a solver under its progress bar and score what it gives."""
    solver = build(task.problem, name, **fields)
    with progress(name, solver.max_steps) as on_step:
        start = time.perf_counter()
        solution = run(solver, task.problem, on_step)
        seconds = time.perf_counter() - start
    return solution, Row(name, score(task.problem, solution.x, task.truth), seconds)


def _baselines(solver: str, task: Task) -> list[tuple[Tensor, Row]]:
    """The yardsticks: pinv, what the problem allows by interpolation, admm-tv; without the truth one for the figure."""
    own = BASELINES.get(task.problem.name or "", {})
    simple = tuple(own)
    names = ("pinv", *simple, "admm-tv") if task.truth is not None else (*simple, "pinv")[:1]
    results = []
    for name in names:
        if name == solver and task.truth is not None:
            continue
        if name in simple:
            start = time.perf_counter()
            x = own[name](task.problem)
            seconds = time.perf_counter() - start
            results.append((x, Row(name, score(task.problem, x, task.truth), seconds)))
        else:
            solution, row = _timed(name, task, {})
            results.append((solution.x, row))
    return results


def _save(figure: Path, task: Task, baselines: list[tuple[Tensor, Row]], solution: Solution, row: Row) -> None:
    """Truth, measurement, the best baseline, reconstruction."""
    columns = [measurement_column(task.problem)]
    if task.truth is not None:
        columns.insert(0, Column("truth", f"{task.truth.shape[-1]}×{task.truth.shape[-2]} pixels", list(task.truth)))
    own = BASELINES.get(task.problem.name or "", {})
    simple = [(x, r) for x, r in baselines if r.name in own] or baselines[:1]
    x, r = max(simple, key=lambda entry: entry[1].score.psnr or 0.0)
    for frames, shown in ((x, r), (solution.x, row)):
        note = f"{shown.score.psnr:.2f} dB" if shown.score.psnr is not None else f"misfit {shown.score.data_misfit:.1e}"
        columns.append(Column(shown.name, note, list(frames)))
    save_figure(figure, columns, (x - solution.x).square().mean(dim=1).cpu())
