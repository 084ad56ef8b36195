"""The table and the JSON of a reconstruction."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from linops_video import InverseProblem, Solution
from linops_video.films.film import Film
from linops_video.films.parts import Tally
from linops_video.media.files import replacing
from linops_video.solvers.defaults import tuned_row
from linops_video.solvers.evaluation import Score
from linops_video.solvers.film import status_of
from linops_video.solvers.registry import build


@dataclass(frozen=True)
class Row:
    """One line of the table: who, how good, how long."""

    name: str
    score: Score
    seconds: float


def problem_line(op: str, problem: InverseProblem) -> str:
    """What is solved, in a line."""
    video = "×".join(map(str, problem.operator.in_shape))
    y = "×".join(map(str, problem.operator.out_shape))
    sigma = float(problem.noise_std)
    return f"{op}: {y} measured of a {video} video, noise σ = {sigma:.4g}"


def tuning_line(solver: str, problem: InverseProblem, fields: dict[str, Any]) -> str | None:
    """Which row of the tuned values a solver took, and with what in it; None for one that is not tuned."""
    row = tuned_row(solver, problem)
    if row is None:
        return None
    name, std = row
    used = build(problem, solver, **fields)
    values = ", ".join(f"{f.name}={_short(getattr(used, f.name))}" for f in dataclasses.fields(used))  # type: ignore[arg-type]
    given = f"; {', '.join(fields)} as given" if fields else ""
    return f"{solver}, tuned for {name} {f'at σ = {std:.3g}' if std else 'without noise'}{given}: {values}"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def print_table(console: Console, headline: str, rows: list[Row]) -> None:
    """Print the rows, the last of which is the solver that was asked for."""
    console.print(headline, highlight=False, markup=False)
    table = Table("solver")
    for heading in (escape("PSNR [dB]"), "SSIM", "data misfit", "seconds"):
        table.add_column(heading, justify="right")
    for index, row in enumerate(rows):
        cells = (
            _fixed(row.score.psnr, 2),
            _fixed(row.score.ssim, 4),
            f"{row.score.data_misfit:.1e}",
            f"{row.seconds:.1f}",
        )
        table.add_row(row.name, *cells, style="bold" if index == len(rows) - 1 else None)
    console.print(table)


def _fixed(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def report_of(
    op: str, seed: int, problem: InverseProblem, solution: Solution, row: Row, baselines: list[Row], tiles: int
) -> dict[str, Any]:
    """The report of a clip; what needs the truth is None without it, and so is a number that is not finite."""
    return {
        "op": op,
        "solver": row.name,
        "shape": list(problem.operator.in_shape),
        "noise_std": finite(float(problem.noise_std)),
        "seed": seed,
        **_scores(row),
        "steps": solution.steps,
        "status": solution.status,
        "windows": 1,
        "tiles": tiles,
        "baselines": _known(row, baselines),
    }


def film_report(op: str, seed: int, film: Film, rows: list[Row], tally: Tally, windows: int) -> dict[str, Any]:
    """The report of a film that was solved in windows; the last row is of the solver, `tally` too."""
    *baselines, row = rows
    return {
        "op": op,
        "solver": row.name,
        "shape": list(film.shape),
        "noise_std": finite(film.noise_std),
        "seed": seed,
        **_scores(row),
        "steps": int(tally["steps"]),
        "status": status_of(tally),
        "windows": windows,
        "tiles": int(tally["tiles"]),
        "baselines": _known(row, baselines),
    }


def _known(row: Row, baselines: list[Row]) -> dict[str, Any] | None:
    """The PSNR of the baselines, where the truth is known."""
    if row.score.psnr is None:
        return None
    return {baseline.name: {"psnr": finite(baseline.score.psnr)} for baseline in baselines}


def _scores(row: Row) -> dict[str, Any]:
    return {
        "psnr": finite(row.score.psnr),
        "ssim": finite(row.score.ssim),
        "data_misfit": finite(row.score.data_misfit),
        "seconds": round(row.seconds, 3),
    }


def write_json(path: Path, report: dict[str, Any]) -> None:
    """Write a report, whole or not at all; NaN and Infinity, which JSON has not, are refused."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")


def finite(value: float | None) -> float | None:
    """The number, None for NaN and infinite ones."""
    return value if value is not None and math.isfinite(value) else None
