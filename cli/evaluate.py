"""`linops-video evaluate`: solvers on problems over a data set."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from linops_video import PROBLEMS
from linops_video.cli.options import check_seed, parse_device, parse_names
from linops_video.cli.report import finite, write_json
from linops_video.errors import ShapeError
from linops_video.media.files import check_writable
from linops_video.media.video import check_limit
from linops_video.solvers import SOLVERS
from linops_video.solvers.baselines import BASELINE_NAMES, BASELINES
from linops_video.solvers.evaluation import BATCH, Result
from linops_video.solvers.evaluation import evaluate as evaluate_solvers
from linops_video.solvers.learned.data import load_videos


def evaluate(
    data: Annotated[Path, typer.Option(help="Archive of videos (.npz), as `linops-video train` takes it.")],
    solvers: Annotated[str, typer.Option(help="Solvers and baselines, as in videoonet,admm-tv,bicubic,pinv.")],
    problems: Annotated[str, typer.Option(help="Problems, as in sr4,fi2.")],
    split: Annotated[str, typer.Option(help="train, val or test; all for the whole archive.")] = "test",
    frames: Annotated[int, typer.Option(help="Frames of each clip, from its beginning.")] = 8,
    clips: Annotated[int | None, typer.Option(help="Take at most so many clips, spread over the archive.")] = None,
    eight_bit: Annotated[bool, typer.Option("--eight-bit", help="Round the measurements to 8 bits.")] = False,
    weights: Annotated[str | None, typer.Option(help="Weights of the learned solvers: file or shipped name.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of masks, matrices, angles and noise.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json: Annotated[Path | None, typer.Option(help="Write the results to this file.")] = None,
) -> None:
    """Mean PSNR of solvers on problems over the clips of --data."""
    names = parse_names(solvers, (*SOLVERS, *BASELINE_NAMES), "solver")
    tasks = parse_names(problems, PROBLEMS, "problem")
    check_seed(seed)
    check_limit(frames)
    check_limit(clips)
    if json is not None:
        check_writable(json)
    videos = load_videos(data, None if split == "all" else split)
    if videos.shape[1] < frames:
        raise ShapeError(f"the clips of {data} have {videos.shape[1]} frames: --frames {frames} is too many")
    videos = videos[:: max(1, len(videos) // clips)][:clips] if clips else videos
    videos = videos[:, :frames].to(parse_device(device))

    pairs = sum(name in SOLVERS or name in BASELINES.get(task, {}) for task in tasks for name in names)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        job = bar.add_task("", total=pairs * math.ceil(len(videos) / BATCH))
        results = evaluate_solvers(
            videos,
            tasks,
            names,
            seed,
            eight_bit,
            weights,
            lambda problem, solver: bar.update(job, advance=1, description=f"{problem} {solver}"),
        )
    size = "×".join(map(str, videos.shape[1:]))
    title = f"Mean PSNR [dB] over {len(videos)} clips of {size} ({data.name}, {split})"
    _print(Console(), title, tasks, names, results)
    if json is not None:
        report = {
            "data": data.name,
            "split": split,
            "clips": len(videos),
            "shape": list(videos.shape[1:]),
            "seed": seed,
            "eight_bit": eight_bit,
            "weights": weights,
            "results": {task: {r.solver: _entry(r) for r in results if r.problem == task} for task in tasks},
        }
        write_json(json, report)


def _entry(result: Result) -> dict[str, object]:
    spread = result.psnr.std(correction=0).item()
    return {
        "psnr": finite(result.psnr.mean().item()),
        "psnr_std": finite(spread),
        "ssim": None if result.ssim is None else finite(result.ssim.mean().item()),
        "seconds_per_clip": round(result.seconds, 4),
        "psnr_of_clips": [finite(round(value, 3)) for value in result.psnr.tolist()],
    }


def _print(console: Console, title: str, problems: list[str], solvers: list[str], results: list[Result]) -> None:
    means = {(r.problem, r.solver): r.psnr.mean().item() for r in results}
    console.print(title, highlight=False, markup=False)
    table = Table("problem")
    for name in solvers:
        table.add_column(name, justify="right")
    for problem in problems:
        best = max((means[key] for key in means if key[0] == problem), default=0.0)
        cells = []
        for name in solvers:
            value = means.get((problem, name))
            text = "–" if value is None else f"{value:.2f}"
            cells.append(f"[bold]{text}[/bold]" if value == best else text)
        table.add_row(problem, *cells)
    console.print(table)
