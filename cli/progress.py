"""A progress bar for solvers, with their residual."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def progress(name: str, steps: int) -> Iterator[Callable[[int, Any, float], None]]:
    """Give an `on_step(step, state, residual)` that draws the bar of a solver with at most `steps` steps.

    Drawn on standard error while the block runs, and only on a terminal: reports and pipes stay clean.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("residual {task.fields[residual]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=steps, residual="–")

        def on_step(step: int, state: Any, residual: float) -> None:
            bar.update(task, completed=step, residual=f"{residual:.1e}")

        yield on_step
