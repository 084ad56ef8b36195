"""`linops-video train`: train a learned solver on archives of videos."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from linops_video import PROBLEMS
from linops_video.cli.options import check_seed, parse_names, read_json
from linops_video.errors import ShapeError, SpecError
from linops_video.media.files import check_writable
from linops_video.solvers.learned.data import Crops, load_videos
from linops_video.solvers.learned.train import MIXTURE, TrainConfig
from linops_video.solvers.learned.train import train as train_network
from linops_video.solvers.learned.unrolled import Config


def train(
    data: Annotated[list[Path], typer.Option(help="Archive of videos (.npz) with splits; may be given several times.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; a run that is there is continued.")],
    solver: Annotated[str, typer.Option(help="videoonet or onenet.")] = "videoonet",
    problems: Annotated[str, typer.Option(help="Problems to mix, as in sr4,pid; default: all.")] = ",".join(MIXTURE),
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = TrainConfig.steps,
    size: Annotated[int, typer.Option(help="Height and width of the training crops.")] = 32,
    clips: Annotated[int, typer.Option(help="Validation clips, spread over the val split of the first archive.")] = 32,
    config: Annotated[
        Path | None,
        typer.Option(help='JSON with other fields of TrainConfig, as in {"samples": 2, "network": {"steps": 3}}.'),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, crops, problems and noise.")] = 0,
) -> None:
    """Train a network on mixed problems, drawn anew at each step; writes weights, curve and state into the folder."""
    names = parse_names(problems, PROBLEMS, "problem")
    check_seed(seed)
    fields = _read_config(config)
    network = {"form": solver, **fields.pop("network", {})}
    chosen: dict[str, Any] = {
        "steps": steps,
        "seed": seed,
        "problems": {name: MIXTURE.get(name, 1.0) for name in names},
    }
    settings = _build(TrainConfig, {**chosen, **fields, "network": _build(Config, network)})
    check_writable(out / "curve.csv" if out.is_dir() else out)
    archives = tuple(load_videos(path, "train") for path in data)
    validation = load_videos(data[0], "val")
    length = max(settings.frames)
    for path, archive in zip((*data, data[0]), (*archives, validation), strict=True):
        if archive.shape[1] < length or min(archive.shape[-2:]) < size:
            raise ShapeError(
                f"the clips of {path} are {'×'.join(map(str, archive.shape[1:]))}: "
                f"too small for {length} frames of {size}×{size}"
            )
    validation = validation[:: max(1, len(validation) // clips)][:clips, :length].float() / 255
    crops = Crops(archives, (1.0,) * len(archives), size)

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]:.3f}"))
    console = Console()
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        job = bar.add_task("", total=settings.steps, loss=float("nan"))
        about = {"data": [path.name for path in data]}
        train_network(
            settings,
            crops,
            validation,
            out,
            solver,
            about,
            on_step=lambda step, loss: bar.update(job, completed=step, loss=loss),
        )
    console.print(f"weights: {out / solver}.safetensors (the best validation)", markup=False)
    console.print(f"curve: {out / 'curve.csv'}", markup=False)


def _read_config(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    fields = read_json(path)
    if not isinstance(fields.get("network", {}), dict):
        raise SpecError(f"network in {path} must be a JSON object of fields")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}


def _build(kind: type, fields: dict[str, Any]) -> Any:
    """The dataclass from fields, each of which it must have."""
    known = [field.name for field in dataclasses.fields(kind)]
    unknown = [name for name in fields if name not in known]
    if unknown:
        raise SpecError(f"{kind.__name__} has no field {', '.join(unknown)}: its fields are {', '.join(known)}")
    return kind(**fields)
