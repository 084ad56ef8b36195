"""What every classical way reaches on real clips: the numbers that a learned solver is judged against.

    python benchmarks/baselines_table.py video64.npz video32.npz --clips 44 --json benchmarks/results/baselines.json

Mean PSNR (dB, peak 1, not clipped) over clips spread over the test split: 8 frames of 64×64, for cs 4 frames of 32×32.
Rows "8 bit" have y rounded to 8 bits and are solved as noisy. Written after each problem, so that a run can be stopped;
another adds its rows to what is there.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from record import save
from torch import Tensor

from linops_video import PROBLEMS
from linops_video.solvers.baselines import BASELINE_NAMES
from linops_video.solvers.evaluation import evaluate
from linops_video.solvers.learned.data import load_videos

SOLVERS = ("pinv", *BASELINE_NAMES, "admm-wavelet", "admm-tv")
EIGHT_BIT = ("dd", "tdd", "md", "md3")
Cell = dict[str, float]


def spread(videos: Tensor, count: int, frames: int) -> Tensor:
    """`count` clips at equal distances."""
    return videos[torch.linspace(0, len(videos) - 1, min(count, len(videos))).round().long(), :frames]


def row(videos: Tensor, problem: str, eight_bit: bool) -> dict[str, Cell]:
    """Solver -> mean and standard deviation of the PSNR, number of clips, seconds per clip."""
    found = evaluate(videos, [problem], SOLVERS, eight_bit=eight_bit)
    return {
        r.solver: {
            "psnr": r.psnr.mean().item(),
            "std": r.psnr.std().item(),
            "clips": len(r.psnr),
            "seconds": r.seconds,
        }
        for r in found
    }


def markdown(table: dict[str, dict[str, Cell]]) -> str:
    """One row per problem; the best of each is bold."""
    used = [name for name in SOLVERS if any(name in cells for cells in table.values())]
    lines = ["| problem | clips | " + " | ".join(used) + " |", "| --- | --- |" + " --- |" * len(used)]
    for problem, cells in table.items():
        best = max(cell["psnr"] for cell in cells.values())
        texts = []
        for name in used:
            value = cells[name]["psnr"] if name in cells else None
            text = "" if value is None else f"{value:.2f}"
            texts.append(f"**{text}**" if value == best else text)
        lines.append(f"| {problem} | {cells['pinv']['clips']:.0f} | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video64", type=Path)
    parser.add_argument("video32", type=Path)
    parser.add_argument("--clips", type=int, default=44, help="cs takes a quarter of them: each has its own matrix")
    parser.add_argument("--problems", default=",".join(PROBLEMS))
    parser.add_argument("--json", type=Path, required=True, help="beside it a table in markdown is written")
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    videos64 = spread(load_videos(args.video64, "test"), args.clips, 8)
    videos32 = spread(load_videos(args.video32, "test"), max(1, args.clips // 4), 4)
    table: dict[str, dict[str, Cell]] = json.loads(args.json.read_text())["table"] if args.json.exists() else {}
    for problem in args.problems.split(","):
        videos = videos32 if problem == "cs" else videos64
        for eight_bit in (False, True) if problem in EIGHT_BIT else (False,):
            name = f"{problem}, 8 bit" if eight_bit else problem
            table[name] = row(videos, problem, eight_bit)
            save(args.json, {"table": table})
            args.json.with_suffix(".md").write_text(markdown(table))
            print(name, {solver: round(cell["psnr"], 2) for solver, cell in table[name].items()}, flush=True)


if __name__ == "__main__":
    main()
