"""What the shipped networks reach on the clips of `baselines_table.py`, beside the best classical way of its results.

    python benchmarks/learned_table.py video64.npz video32.npz --baselines benchmarks/results/baselines.json \
        --json benchmarks/results/learned.json

The same clips, masks, matrices, angles and noise as there. `color` is given a second time without the clips that are
gray themselves: their PSNR with gray is above 100 dB, and no network can know from the luma that a clip has no colour.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from baselines_table import EIGHT_BIT, Cell, spread
from record import save
from torch import Tensor

from linops_video import PROBLEMS
from linops_video.solvers.evaluation import Result, evaluate
from linops_video.solvers.learned.data import load_videos

NETWORKS = ("onenet", "videoonet")


def cell(result: Result, keep: Tensor | None = None) -> Cell:
    psnr = result.psnr if keep is None else result.psnr[keep]
    return {
        "psnr": psnr.mean().item(),
        "std": psnr.std().item(),
        "clips": len(psnr),
        "seconds": result.seconds,
    }


def rows(videos: Tensor, problem: str, eight_bit: bool, solvers: tuple[str, ...]) -> dict[str, dict[str, Cell]]:
    """Name of the row -> solver -> its numbers."""
    if problem != "color":
        found = evaluate(videos, [problem], solvers, eight_bit=eight_bit)
        return {f"{problem}, 8 bit" if eight_bit else problem: {r.solver: cell(r) for r in found}}
    found = evaluate(videos, [problem], (*solvers, "gray"))
    coloured = (videos != videos[:, :, :1]).flatten(1).any(1)
    return {
        "color": {r.solver: cell(r) for r in found},
        "color, clips with colour": {r.solver: cell(r, coloured) for r in found},
    }


def markdown(table: dict[str, dict[str, Cell]], classical: dict[str, dict[str, Cell]]) -> str:
    lines = ["| problem | best classical | PSNR | onenet | videoonet | gain |", "| --- |" + " --- |" * 5]
    for problem, cells in table.items():
        others = {**classical.get(problem, {}), **{k: v for k, v in cells.items() if k not in NETWORKS}}
        found = {name: cells[name]["psnr"] for name in NETWORKS if name in cells}
        values = [f"{found[name]:.2f}" if name in found else "" for name in NETWORKS]
        if others:
            name, best = max(((n, c["psnr"]) for n, c in others.items()), key=lambda pair: pair[1])
            gain = f"{found['videoonet'] - best:+.2f}" if "videoonet" in found else ""
            lines.append(f"| {problem} | {name} | {best:.2f} | {values[0]} | {values[1]} | {gain} |")
        else:
            lines.append(f"| {problem} | | | {values[0]} | {values[1]} | |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video64", type=Path)
    parser.add_argument("video32", type=Path)
    parser.add_argument("--clips", type=int, default=44, help="cs takes a quarter of them: each has its own matrix")
    parser.add_argument("--problems", default=",".join(PROBLEMS))
    parser.add_argument("--solvers", default=",".join(NETWORKS))
    parser.add_argument("--baselines", type=Path, help="results of baselines_table.py for the same clips")
    parser.add_argument("--json", type=Path, required=True, help="beside it a table in markdown is written")
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    videos64 = spread(load_videos(args.video64, "test"), args.clips, 8)
    videos32 = spread(load_videos(args.video32, "test"), max(1, args.clips // 4), 4)
    classical = json.loads(args.baselines.read_text())["table"] if args.baselines else {}
    table: dict[str, dict[str, Cell]] = {}
    for problem in args.problems.split(","):
        videos = videos32 if problem == "cs" else videos64
        for eight_bit in (False, True) if problem in EIGHT_BIT else (False,):
            table |= rows(videos, problem, eight_bit, tuple(args.solvers.split(",")))
            save(args.json, {"table": table})
            args.json.with_suffix(".md").write_text(markdown(table, classical))
            print(problem, {name: round(c["psnr"], 2) for name, c in list(table.values())[-1].items()}, flush=True)


if __name__ == "__main__":
    main()
