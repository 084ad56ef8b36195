"""The tables and the JSON of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from linops_video.cli.report import finite, write_json
from linops_video.datasets import VideoSet
from linops_video.datasets.table1 import PUBLISHED
from linops_video.media.files import replacing
from linops_video.solvers.evaluation import CAP, Result, summary

Cells = dict[str, dict[str, float | None]]
"""Method -> problem -> value."""

STATISTICS = {
    "psnr_mean": ("Mean PSNR [dB]", 2),
    "psnr_median": ("Median PSNR [dB]", 2),
    "psnr_std": ("Standard deviation of the PSNR over the videos [dB]", 2),
    "ssim_mean": ("Mean SSIM", 4),
    "seconds_per_video": ("Seconds a video", 4),
}
"""Key in the JSON -> title and digits of its table."""


@dataclass(frozen=True)
class Comparison:
    """What an evaluation was asked for, and what it found."""

    data: str
    videos: VideoSet
    limit: int | None
    noise: float | None
    eight_bit: bool
    problems: Sequence[str]
    solvers: Sequence[str]
    results: Sequence[Result]

    @property
    def published(self) -> Cells:
        """The paper's numbers for these problems, where it has any; none for measurements of another noise."""
        if self.noise is not None or self.eight_bit:
            return {}
        rows = PUBLISHED.get(self.videos.name, {})
        found = {f"paper: {row}": {p: cells[p] for p in self.problems if p in cells} for row, cells in rows.items()}
        return {row: dict(cells) for row, cells in found.items() if cells}

    def cells(self, key: str) -> Cells:
        """One statistic of every method on every problem."""
        rows: Cells = {solver: {} for solver in self.solvers}
        for result in self.results:
            rows[result.solver][result.problem] = summary(result)[key]
        return rows

    def title(self) -> str:
        """What was measured, in a line."""
        count = self.results[0].psnr.numel() if self.results else 0
        size = "×".join(map(str, self.videos.shape))
        noise = "" if self.noise is None else f", noise σ = {self.noise:g}"
        rounded = ", measurements of 8 bits" if self.eight_bit else ""
        return f"{count:,} videos of {size}{noise}{rounded}; {self.videos.note}"

    def best(self, problem: str, rows: Cells) -> float | None:
        """The best mean of ours, and of the paper's where its videos are the same."""
        compared = rows | (self.published if self.videos.complete else {})
        return max((v for cells in compared.values() if (v := cells.get(problem)) is not None), default=None)

    def print(self, console: Console) -> None:
        """Print the means, a problem a line."""
        rows = self.cells("psnr_mean")
        columns = rows | self.published
        console.print(f"{STATISTICS['psnr_mean'][0]}, {self.title()}", highlight=False, markup=False)
        table = Table("problem")
        for name in columns:
            table.add_column(Text(name), justify="right", overflow="fold")
        for problem in self.problems:
            best = self.best(problem, rows)
            texts = [
                Text(_text(cells.get(problem), 2 if name in rows else 1), "bold" if cells.get(problem) == best else "")
                for name, cells in columns.items()
            ]
            table.add_row(Text(problem), *texts)
        console.print(table)

    def write_json(self, path: Path) -> None:
        """Write {"data", "split", "limit", "results": solver -> problem -> statistics}."""
        found: dict[str, dict[str, object]] = {solver: {} for solver in self.solvers}
        for result in self.results:
            found[result.solver][result.problem] = {key: finite(value) for key, value in summary(result).items()}
        write_json(path, {"data": self.data, "split": self.videos.split, "limit": self.limit, "results": found})

    def write_markdown(self, path: Path) -> None:
        """Write the tables, a method a line as in the paper, the best means in bold."""
        parts = [f"{self.title()}. PSNR of each video at most {CAP:g} dB."]
        for key, (title, digits) in STATISTICS.items():
            rows = self.cells(key)
            if any(value is not None for cells in rows.values() for value in cells.values()):
                parts.append(f"{title}:\n\n{self._markdown(key, rows, digits)}")
        with replacing(path) as temporary:
            temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8", errors="backslashreplace")

    def _markdown(self, key: str, rows: Cells, digits: int) -> str:
        means = key == "psnr_mean"
        lines = [f"| method | {' | '.join(self.problems)} |", "| --- " * (1 + len(self.problems)) + "|"]
        for name, cells in (rows | (self.published if means else {})).items():
            texts = []
            for problem in self.problems:
                value = cells.get(problem)
                text = _text(value, digits if name in rows else 1)
                best = means and value is not None and value == self.best(problem, rows)
                texts.append(f"**{text}**" if best else text)
            lines.append(f"| {name} | {' | '.join(texts)} |")
        return "\n".join(lines)


def _text(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
