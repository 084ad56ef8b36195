"""Progress bars: for a solver, with its residual, and for windows and files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


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
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=steps, residual="–")

        def on_step(step: int, state: Any, residual: float) -> None:
            bar.update(task, completed=step, residual=f"{residual:.1e}")

        yield on_step


@contextmanager
def bar(name: str, total: int | None, done: int = 0) -> Iterator[Callable[..., None]]:
    """Give an `advance(done)` that draws how many of `total` things (None: who knows) are done, `done` already.

    Drawn as `progress` is; a bar within another one stands below it. `advance` also takes another `name` or
    `total`; `done` None leaves the number as it is.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(name, total=total, completed=done)

        def advance(done: int | None, name: str | None = None, total: int | None = None) -> None:
            bars.update(task, completed=done, description=name, total=total)

        yield advance
