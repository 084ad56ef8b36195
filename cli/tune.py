"""`linops-video tune`: the fields of a solver that suit a problem, by true clips or by the noise."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from linops_video.cli.clip import Request, Task, simulated, task_of
from linops_video.cli.films import films_in, is_collection
from linops_video.cli.options import (
    Device,
    Kernel,
    Mask,
    Noise,
    Seed,
    Shape,
    check_noise,
    check_seed,
    parse_device,
    parse_shape,
)
from linops_video.cli.progress import bar
from linops_video.cli.report import finite, write_json
from linops_video.datasets import spread
from linops_video.datasets.archive import holds_videos
from linops_video.errors import SpecError
from linops_video.expressions.source import files_named
from linops_video.media.arrays import read_kernel
from linops_video.media.files import check_distinct, check_writable
from linops_video.media.video import check_limit
from linops_video.solvers.learned.data import load_videos
from linops_video.solvers.registry import build
from linops_video.solvers.tuning import Point, tune_around

PART = 128
"""Of larger frames the middle, so many rows and columns, is solved in each trial."""

Trial = tuple[Point, float]
"""Fields, and what `tune` tells of them."""

STEPS = 300
"""Steps of a trial that the noise judges: until it converges."""

SHOWN = 10
"""Trials in the table, the best ones."""


def tune(
    op: Annotated[str, typer.Option(help="A problem, or an expression of what `linops-video ops` lists.")],
    input: Annotated[
        Path | None,
        typer.Argument(
            metavar="INPUT",
            help="True clips: an archive (.npz), or with --simulate a file or a folder of films; without it a "
            "measurement, whose noise decides; left out: a demo clip.",
        ),
    ] = None,
    solver: Annotated[str, typer.Option(help="The solver, as admm-tv, admm-wavelet, tikhonov.")] = "admm-tv",
    fields: Annotated[
        str | None, typer.Option(help="Fields to search; default: weight,rho with true clips, else weight.")
    ] = None,
    simulate: Annotated[bool, typer.Option("--simulate", help="INPUT is true: degrade it first.")] = False,
    split: Annotated[str | None, typer.Option(help="Of an archive: train, val (if not given), test, or all.")] = None,
    clips: Annotated[
        int, typer.Option(help="At most so many clips, spread over an archive, the first of a folder.")
    ] = 4,
    frames: Annotated[int, typer.Option(help="At most so many frames of each.")] = 8,
    noise: Noise = None,
    seed: Seed = 0,
    shape: Shape = None,
    mask: Mask = None,
    kernel: Kernel = None,
    device: Device = "auto",
    json: Annotated[Path | None, typer.Option(help="Write the result, for `linops-video solve --config`.")] = None,
) -> None:
    """Search fields of --solver for --op: the best PSNR on true clips, else a misfit of the size of the noise."""
    check_seed(seed)
    check_limit(frames)
    check_limit(clips, "clips")
    check_noise(noise)
    check_distinct((json,), (input, mask, kernel, *files_named(op)))
    if json is not None:
        check_writable(json)
    where = parse_device(device)
    size = None if shape is None else parse_shape(shape)
    blur = None if kernel is None else read_kernel(kernel)
    archive = input is not None and holds_videos(input)
    simulate = simulate or input is None or archive
    if split is not None and not archive:
        raise SpecError("--split is for an archive (.npz) of videos: leave it out")
    if size is not None and simulate:
        raise SpecError("--shape is for a measurement, whose video it cannot tell: leave it out")
    request = Request(op, solver, simulate, noise, seed, frames, size, mask, blur, where, {})
    if archive:
        assert input is not None
        videos = load_videos(input, None if split == "all" else split or "val")
        chosen = videos[spread(len(videos), clips), :frames].float() / 255
        tasks = [simulated(request, video) for video in chosen]
    else:
        files = films_in(input)[:clips] if input is not None and is_collection(input) else [input]
        tasks = [task_of(request, file, PART) for file in files]
    first: Any = build(tasks[0].problem.to(where), solver)
    names = _names(first, fields, simulate)
    fixed: dict[str, Any] = {}
    if not simulate and "max_steps" in {f.name for f in dataclasses.fields(first)} - set(names):
        fixed = {"max_steps": max(STEPS, first.max_steps)}  # stopped early, a misfit says nothing of the weight
    best, trials = _search(tasks, dataclasses.replace(first, **fixed), names, request)
    console = Console()
    _print(console, request, tasks, trials, simulate)
    values = {name: getattr(best, name) for name in names} | fixed
    console.print("best:", ", ".join(f"{name}={value:g}" for name, value in values.items()), markup=False)
    if json is not None:
        write_json(json, _report(request, tasks, values, trials, simulate))
        console.print(f"report: {json}", markup=False, soft_wrap=True)


def _names(solver: Any, given: str | None, truth: bool) -> list[str]:
    if given is not None:
        chosen = [name.strip() for name in given.split(",") if name.strip()]
        if not chosen:
            raise SpecError("--fields names none: write them as in weight,rho")
        return chosen
    wanted = ("weight", "rho") if truth else ("weight",)
    names = [name for name in wanted if hasattr(solver, name)]
    if not names:
        raise SpecError(f"{type(solver).__name__} has no {' and no '.join(wanted)}: say what to search with --fields")
    return names


def _search(tasks: list[Task], solver: Any, names: list[str], request: Request) -> tuple[Any, list[Trial]]:
    """The best solver, and all trials."""
    problems = [task.problem.to(request.device).prepare() for task in tasks]
    truths = [task.truth.to(request.device) for task in tasks if task.truth is not None]
    trials: list[Trial] = []
    with bar(f"{request.solver}: trials", None) as advance:

        def note(point: Point, value: float) -> None:
            trials.append((point, value))
            advance(len(trials))

        return tune_around(problems, solver, names, truths, note), trials


def _print(console: Console, request: Request, tasks: list[Task], trials: list[Trial], truth: bool) -> None:
    sigma, video = float(tasks[0].problem.noise_std), "×".join(map(str, tasks[0].problem.operator.in_shape))
    what = f"{request.op}, noise σ = {sigma:.4g}: {request.solver} on {len(tasks)} clip(s) of {video}"
    console.print(what, highlight=False, markup=False)
    table = Table(*trials[0][0], escape("PSNR [dB]") if truth else "misfit / noise")
    distinct = {tuple(f"{n:g}" for n in point.values()): (point, value) for point, value in trials}.values()
    order = sorted(distinct, key=lambda trial: -trial[1] if truth else abs(math.log(max(trial[1], 1e-12))))
    for index, (point, value) in enumerate(order[:SHOWN]):
        cells = (*(f"{number:g}" for number in point.values()), f"{value:.2f}")
        table.add_row(*cells, style="bold" if index == 0 else None)
    console.print(table)


def _report(request: Request, tasks: list[Task], values: Point, trials: list[Trial], truth: bool) -> dict[str, Any]:
    criterion = "psnr" if truth else "misfit over noise"
    return {
        "op": request.op,
        "noise_std": finite(float(tasks[0].problem.noise_std)),
        "solver": request.solver,
        "fields": values,
        "criterion": criterion,
        "clips": len(tasks),
        "shape": list(tasks[0].problem.operator.in_shape),
        "trials": [{**point, criterion: finite(value)} for point, value in trials],
    }
