"""The table and the JSON of a reconstruction."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from linops_video import InverseProblem
from linops_video.media.files import replacing
from linops_video.solvers.defaults import tuned_row
from linops_video.solvers.evaluation import Score
from linops_video.solvers.iteration import Solver


@dataclass(frozen=True)
class Row:
    """One line of the table: who, how good, how long."""

    name: str
    score: Score
    seconds: float


@dataclass(frozen=True)
class Run:
    """How a solver ended: its steps and status, and in how many parts the video was solved."""

    steps: int
    status: str
    windows: int
    tiles: int


def problem_line(op: str, problem: InverseProblem) -> str:
    """What is solved, in a line."""
    video = "×".join(map(str, problem.operator.in_shape))
    y = "×".join(map(str, problem.operator.out_shape))
    sigma = float(problem.noise_std)
    return f"{op}: {y} measured of a {video} video, noise σ = {sigma:.4g}"


def tuning_line(problem: InverseProblem, name: str, solver: Solver, given: Iterable[str]) -> str | None:
    """Which row of the tuned values a solver took, and with what in it; None for one that is not tuned.

    `given`: the fields that were not taken from the table.
    """
    row = tuned_row(name, problem)
    if row is None:
        return None
    of, std = row
    values = ", ".join(f"{field}={_short(value)}" for field, value in fields_of(solver).items())
    own = f"; {', '.join(given)} as given" if given else ""
    return f"{name}, tuned for {of} {f'at σ = {std:.3g}' if std else 'without noise'}{own}: {values}"


def fields_of(solver: Solver) -> dict[str, Any]:
    """The fields that a solver runs with, as JSON has them; what JSON has not, as text."""
    fields = {f.name: getattr(solver, f.name) for f in dataclasses.fields(solver) if f.init}  # type: ignore[arg-type]
    plain = (bool, int, float, str, tuple, type(None))
    return {name: value if isinstance(value, plain) else str(value) for name, value in fields.items()}


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def print_table(console: Console, headline: str, rows: list[Row]) -> None:
    """Print the rows, the last of which is the solver that was asked for, without columns that say nothing."""
    console.print(headline, highlight=False, markup=False)
    columns = {
        escape("PSNR [dB]"): [_fixed(row.score.psnr, 2) for row in rows],
        "SSIM": [_fixed(row.score.ssim, 4) for row in rows],
        "data misfit": [f"{row.score.data_misfit:.1e}" for row in rows],
        "seconds": [f"{row.seconds:.1f}" for row in rows],
    }
    columns = {heading: cells for heading, cells in columns.items() if set(cells) != {"–"}}
    table = Table()
    table.add_column("solver", overflow="fold")  # a narrow terminal cuts off no digit
    for heading in columns:
        table.add_column(heading, justify="right", overflow="fold")
    for row, *cells in zip(rows, *columns.values(), strict=True):
        table.add_row(row.name, *cells, style="bold" if row is rows[-1] else None)
    console.print(table)


def _fixed(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def report_of(
    op: str, seed: int, shape: Sequence[int], noise_std: float, rows: list[Row], run: Run, solver: Solver
) -> dict[str, Any]:
    """The report of a clip or film, the last row that of the solver which was asked for.

    What needs the truth is None without it, and so is a number that is not finite.
    """
    *baselines, row = rows
    psnrs = {baseline.name: {"psnr": finite(baseline.score.psnr)} for baseline in baselines}
    return {
        "op": op,
        "solver": row.name,
        "shape": list(shape),
        "noise_std": finite(noise_std),
        "seed": seed,
        "psnr": finite(row.score.psnr),
        "ssim": finite(row.score.ssim),
        "data_misfit": finite(row.score.data_misfit),
        "seconds": round(row.seconds, 3),
        **dataclasses.asdict(run),
        "baselines": None if row.score.psnr is None else psnrs,
        "fields": fields_of(solver),
    }


def write_json(path: Path, report: dict[str, Any]) -> None:
    """Write a report, whole or not at all; NaN and Infinity, which JSON has not, are refused."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")


def finite(value: float | None) -> float | None:
    """The number, None for NaN and infinite ones."""
    return value if value is not None and math.isfinite(value) else None
