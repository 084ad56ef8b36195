"""`linops-video train`: train a network on a data set or on archives of videos."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from torch import Tensor

from linops_video import PROBLEMS
from linops_video.cli.options import Device, check_seed, checked, parse_device, parse_names, read_json
from linops_video.datasets import DATASETS, dataset, spread
from linops_video.errors import ShapeError, SpecError
from linops_video.expressions.expression import check_names
from linops_video.media.files import check_writable
from linops_video.media.video import check_limit
from linops_video.solvers.learned.checkpoint import load_network
from linops_video.solvers.learned.config import TrainConfig
from linops_video.solvers.learned.data import Crops, Drawn, load_videos
from linops_video.solvers.learned.form import Config
from linops_video.solvers.learned.objective import Videos
from linops_video.solvers.learned.parallel import team as processes
from linops_video.solvers.learned.recipes import RECIPES, recipe
from linops_video.solvers.learned.train import OnStep
from linops_video.solvers.learned.train import Progress as State
from linops_video.solvers.learned.train import train as train_network


def train(
    data: Annotated[
        list[str],
        typer.Option(help=f"{', '.join(DATASETS)}, or an archive of videos (.npz) with splits, even several of them."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.")],
    solver: Annotated[str, typer.Option(help=f"{', '.join(RECIPES)}.")] = "videoonet",
    root: Annotated[Path | None, typer.Option(help="Folder or file with the data set; default: fetched data.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    weights: Annotated[
        str | None, typer.Option(help="Begin with these: a file or the name of a shipped set; default: begin anew.")
    ] = None,
    problems: Annotated[str, typer.Option(help="Problems to mix, as in sr4,pid; default: those of the data.")] = "",
    steps: Annotated[
        int | None, typer.Option(help=f"Optimiser steps; default: those of --config, or {TrainConfig.steps}.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="End after so many minutes of training instead.")] = None,
    size: Annotated[int, typer.Option(help="Archives: height and width of the training crops.")] = 32,
    clips: Annotated[
        int, typer.Option(help="Validation clips, spread over the val split (of the first archive).")
    ] = 32,
    config: Annotated[
        Path | None,
        typer.Option(help='JSON with other fields of TrainConfig, as in {"samples": 2, "network": {"steps": 3}}.'),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of weights, videos, problems and noise; default: that of --config, or 0."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Train a network on mixed problems, drawn anew at each step; writes weights, curve and state into the folder.

    With `torchrun --nproc-per-node N -m linops_video.cli train …` N processes share the work.
    """
    check_seed(seed or 0)
    check_limit(clips, "--clips")
    check_limit(size, "--size")
    place, fields = parse_device(device), {} if config is None else _settings(config)
    names = parse_names(problems, PROBLEMS, "problem") if problems else None
    archives = [Path(name) for name in data if Path(name).suffix.lower() == ".npz"]
    if archives and (len(archives) < len(data) or root is not None):
        raise SpecError("--data is one data set (with --root), or archives (.npz) alone")
    if not archives and len(data) > 1:
        raise SpecError(f"--data takes one data set, not {', '.join(data)}")
    above = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    check_writable(above / "curve.csv" if above.is_dir() else out)  # folders between them are made
    source = _Archives(archives, size) if archives else _Set(data[0], root)
    base = recipe(solver, data[0], source.channels)
    mixed = fields.get("problems", base.problems)
    for name in mixed:
        check_names(name)
    shares = None if names is None else {name: mixed.get(name, 1.0) for name in names}
    given = {"steps": steps, "minutes": minutes, "seed": seed, "problems": shares}
    chosen = {name: value for name, value in given.items() if value is not None}
    start = None if weights is None else load_network(weights)
    if start is not None and (start.config.form, start.config.channels) != (base.network.form, source.channels):
        raise SpecError(
            f"the weights {weights!r} are a {start.config.form} for videos with C = {start.config.channels}, "
            f"not a {base.network.form} for C = {source.channels}: take other weights, or begin without"
        )
    form = base.network if start is None else start.config
    sizes = {"channels": source.channels, **fields.pop("network", {})}
    if start is not None and any(json.dumps(getattr(form, k, v)) != json.dumps(v) for k, v in sizes.items()):
        raise SpecError("the network in --config differs from that of --weights: leave it out, or begin without them")
    network = dataclasses.replace(form, **sizes)
    if network.channels != source.channels:
        raise SpecError(
            f"the videos have C = {source.channels}, not {network.channels}: leave channels out of --config"
        )
    settings = dataclasses.replace(base, **{**fields, **chosen, "network": network})
    videos, validation = source.videos(settings), source.validation(settings, clips)
    torch.set_flush_denormal(True)  # outputs are zero at the start: training is 7 times as slow without it
    known = not archives and data != ["video"]  # archives and folders do not say
    terms = "that of the data" if known else "unknown"
    about: dict[str, Any] = {"data": [Path(name).name for name in data], "license": terms}
    if weights is not None:
        about["start"] = Path(weights).name
    console = Console()
    with processes(place) as team, _progress(team.rank == 0) as on_step:
        train_network(settings, videos, validation, out, solver, about, start, resume, team, on_step)
        leads = team.rank == 0
    if leads:
        console.print(f"weights: {out / solver}.safetensors (the best validation)", markup=False, soft_wrap=True)
        console.print(f"curve: {out / 'curve.csv'}, {out / 'curve.png'}", markup=False, soft_wrap=True)


class _Archives:
    """Crops of archives; validation clips of the first."""

    def __init__(self, paths: list[Path], size: int) -> None:
        self.paths, self.size = paths, size
        loaded = {path: load_videos(path, "train") for path in paths}  # once, even if it is given twice
        self.training = tuple(loaded[path] for path in paths)
        self.held_out = load_videos(paths[0], "val")
        self.channels = self.held_out.shape[2]

    def videos(self, settings: TrainConfig) -> Videos:
        length, size = max(settings.frames), self.size
        for path, archive in zip((*self.paths, self.paths[0]), (*self.training, self.held_out), strict=True):
            if archive.shape[1] < length or min(archive.shape[-2:]) < size:
                raise ShapeError(
                    f"the clips of {path} are {'×'.join(map(str, archive.shape[1:]))}: "
                    f"too small for {length} frames of {size}×{size}: give a smaller --size, or frames in --config"
                )
        return Crops(self.training, (1.0,) * len(self.training), size)

    def validation(self, settings: TrainConfig, clips: int) -> Tensor:
        chosen = self.held_out[spread(len(self.held_out), clips)]
        return chosen[:, : max(settings.frames)].float() / 255


class _Set:
    """A data set by its name."""

    def __init__(self, name: str, root: Path | None) -> None:
        self.training, self.held_out = dataset(name, "train", root), dataset(name, "val", root)
        self.channels = self.training.shape[1]

    def videos(self, settings: TrainConfig) -> Videos:
        return Drawn(self.training)

    def validation(self, settings: TrainConfig, clips: int) -> Tensor:
        return self.held_out.videos(spread(len(self.held_out), clips))


@contextmanager
def _progress(shown: bool) -> Iterator[OnStep]:
    """Give an `on_step` that draws loss, last validation, speed and time left."""
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    console = Console(stderr=True)
    last: dict[str, float] = {}
    with Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as bar:
        job = bar.add_task("", total=1.0)

        def on_step(state: State) -> None:
            text = (
                f"step {state.step}, loss {state.loss:.3f}, {state.videos_per_second:.1f} videos/s, "
                f"{state.seconds_left / 60:.0f} min left"
            )
            bar.update(job, completed=state.done, description=text)
            if shown and state.scores and state.scores != last:
                last.update(state.scores)
                scores = ", ".join(f"{name} {value:.2f}" for name, value in state.scores.items())
                bar.console.print(f"step {state.step}: {scores} dB", markup=False, highlight=False)

        yield on_step


def _settings(path: Path) -> dict[str, Any]:
    """Fields of `TrainConfig` from a JSON file, those of its network in a dict."""
    fields = read_json(path)
    network = fields.get("network", {})
    if not isinstance(network, dict):
        raise SpecError("network in --config must be a JSON object of fields")
    rest = checked(TrainConfig, {name: value for name, value in fields.items() if name != "network"}, path)
    return rest | {"network": checked(Config, network, path)}
