"""Progress bars: for windows and files, and for a solver, with its residual."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from linops_video.solvers.iteration import OnStep


@contextmanager
def bar(name: str, total: int | None, done: int = 0) -> Iterator[Callable[..., None]]:
    """Give an `advance(done)` that draws how many of `total` things (None: who knows) are done, `done` already.

    Drawn on standard error while the block runs, and only on a terminal: reports and pipes stay clean. A bar within
    another one stands below it. `advance` also takes another `name` or `total`; `done` None leaves the number as it is.
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


@contextmanager
def progress(name: str, steps: int) -> Iterator[OnStep]:
    """Give an `on_step` that draws a `bar` of at most `steps` steps of a solver, with its residual."""
    with bar(name, steps) as advance:
        yield lambda step, state, residual: advance(step, f"{name}, residual {residual:.1e}")
