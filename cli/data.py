"""`linops-video data`: the data sets of the paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from linops_video.datasets.fetch import REMOTE
from linops_video.datasets.fetch import fetch as fetch_data

data = typer.Typer(help="The data sets of the paper.")


@data.callback()
def commands() -> None:
    """The data sets of the paper."""


@data.command()
def fetch(
    name: Annotated[str, typer.Argument(help=f"{', '.join(REMOTE)}.")],
    root: Annotated[Path | None, typer.Option(help="Folder for the files; default: one that is looked into.")] = None,
) -> None:
    """Fetch the files of a data set, check them, and go on where an earlier call was cut off."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def on_bytes(file: str, have: int, total: int) -> None:
            if file not in tasks:
                tasks[file] = bars.add_task(file)
            bars.update(tasks[file], completed=have, total=total)

        folder = fetch_data(name, root, on_bytes)
    Console().print(f"{name}: {folder}", markup=False, soft_wrap=True)
