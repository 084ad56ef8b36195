"""What every solver reaches on real clips: the classical ways, tuned, and the shipped networks.

    python benchmarks/quality.py video64.npz video32.npz --json benchmarks/results/quality.json

Mean PSNR (dB, peak 1, not clipped) over clips of the test split, 8 frames of 64×64; for cs, 4 frames of 32×32. Rows
"8 bit" have y rounded to 8 bits and are solved as noisy. `color` is given a second time without the clips that are gray
themselves: their PSNR with gray is above 150 dB, and so is that of a network that takes them for gray.

Written after each row, with two tables in markdown beside it. A second run replaces the cells that it measures, keeps
the others, and so new weights need only `--solvers videoonet` on the same clips.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from record import save
from torch import Tensor

from linops_video import PROBLEMS
from linops_video.datasets import spread
from linops_video.errors import SpecError
from linops_video.solvers.baselines import BASELINE_NAMES
from linops_video.solvers.evaluation import Result, evaluate
from linops_video.solvers.learned.data import load_videos

CLASSICAL = ("pinv", *BASELINE_NAMES, "admm-wavelet", "admm-tv")
FAST = "videoonet(weights='videoonet-fast')"
NETWORKS = ("onenet", FAST, "videoonet")
EIGHT_BIT = ("dd", "tdd", "md", "md3")
Cell = dict[str, float]
Table = dict[str, dict[str, Cell]]


def cell(result: Result, keep: Tensor | None = None) -> Cell:
    """Mean and standard deviation of the PSNR, number of clips, seconds per clip."""
    psnr = result.psnr if keep is None else result.psnr[keep]
    return {"psnr": psnr.mean().item(), "std": psnr.std().item(), "clips": len(psnr), "seconds": result.seconds}


def rows(videos: Tensor, problem: str, eight_bit: bool, solvers: tuple[str, ...]) -> Table:
    """Name of the row -> solver -> its numbers."""
    found = evaluate(videos, [problem], solvers, eight_bit=eight_bit)
    table = {f"{problem}, 8 bit" if eight_bit else problem: {r.solver: cell(r) for r in found}}
    if problem == "color":
        colored = (videos != videos[:, :, :1]).flatten(1).any(1)
        table["color, clips with colour"] = {r.solver: cell(r, colored) for r in found}
    return table


def gains(table: Table) -> str:
    """The networks beside the best classical way."""
    head = "| problem | clips | best classical | PSNR | onenet | videoonet-fast | videoonet | gain |"
    lines = [head, "| --- " * 8 + "|"]
    for problem, cells in table.items():
        if all(n in NETWORKS for n in cells):
            continue
        name = max((n for n in cells if n not in NETWORKS), key=lambda n: cells[n]["psnr"])
        best, clips = cells[name]["psnr"], cells[name]["clips"]
        values = [f"{cells[n]['psnr']:.2f}" if n in cells else "" for n in NETWORKS]
        gain = f"{cells['videoonet']['psnr'] - best:+.2f}" if "videoonet" in cells else ""
        lines.append(f"| {problem} | {clips} | {name} | {best:.2f} | {' | '.join(values)} | {gain} |")
    return "\n".join(lines) + "\n"


def classical(table: Table) -> str:
    """The classical ways one by one; the best of each row is bold."""
    used = [name for name in CLASSICAL if any(name in cells for cells in table.values())]
    lines = ["| problem | clips | " + " | ".join(used) + " |", "| --- " * (2 + len(used)) + "|"]
    for problem, cells in table.items():
        if "pinv" not in cells:
            continue
        best = max(cells[name]["psnr"] for name in used if name in cells)
        texts = []
        for name in used:
            value = cells[name]["psnr"] if name in cells else None
            text = "" if value is None else f"{value:.2f}"
            texts.append(f"**{text}**" if value == best else text)
        lines.append(f"| {problem} | {cells['pinv']['clips']} | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video64", type=Path)
    parser.add_argument("video32", type=Path)
    parser.add_argument("--clips", type=int, default=130, help="cs takes a quarter of them: each has its own matrix")
    parser.add_argument("--problems", default=",".join(PROBLEMS))
    parser.add_argument("--solvers", default=",".join((*CLASSICAL, *NETWORKS)))
    parser.add_argument("--json", type=Path, required=True, help="beside it two tables in markdown are written")
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    videos64, videos32 = load_videos(args.video64, "test"), load_videos(args.video32, "test")
    videos64 = videos64[spread(len(videos64), args.clips), :8]
    videos32 = videos32[spread(len(videos32), max(1, args.clips // 4)), :4]
    table: Table = json.loads(args.json.read_text())["table"] if args.json.exists() else {}
    for problem in args.problems.split(","):
        videos = videos32 if problem == "cs" else videos64
        for eight_bit in (False, True) if problem in EIGHT_BIT else (False,):
            for name, cells in rows(videos, problem, eight_bit, tuple(args.solvers.split(","))).items():
                known = table.get(name, {})
                if any(known[s]["clips"] != c["clips"] for s in known for c in cells.values()):
                    raise SpecError(f"{args.json} has {name} on other clips: take another file, or the same --clips")
                table[name] = known | cells
                print(name, {solver: round(c["psnr"], 2) for solver, c in cells.items()}, flush=True)
            save(args.json, {"table": table})
            args.json.with_suffix(".md").write_text(gains(table) + "\n" + classical(table))


if __name__ == "__main__":
    main()
