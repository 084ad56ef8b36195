"""A solver against the best of others on the same videos: the gain, with its interval by scene.

    python benchmarks/paired.py ucf101 --root DIR --solver videoonet --limit 152

For each problem the best of `--against` by its mean PSNR, the mean gain over it (each PSNR at most 100 dB, both on the
same measurements), and the 95 % interval of that mean: scenes are drawn with replacement, all videos of a scene
together, as those of one scene are not independent. Choosing the best of several on the same videos counts for them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from record import machine, save

from linops_video.datasets import dataset, spread
from linops_video.datasets.table1 import PUBLISHED, table1_problems
from linops_video.solvers.evaluation import Result, evaluate
from linops_video.solvers.methods import split_list

AGAINST = "pinv,hold,linear,bicubic,bicubic-consistent,gray,admm-wavelet,admm-tv"
DRAWS = 10_000


def interval(gains: np.ndarray, scenes: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean gain, by scene."""
    names, which = np.unique(scenes, return_inverse=True)
    sums, counts = np.bincount(which, gains), np.bincount(which)
    drawn = np.random.default_rng(seed).integers(len(names), size=(DRAWS, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def row(solver: str, results: list[Result], scenes: np.ndarray) -> dict[str, object]:
    """The numbers of a problem."""
    ours = next(result for result in results if result.solver == solver)
    best = max((r for r in results if r.solver != solver), key=lambda r: r.capped.mean().item())
    gains = (ours.capped - best.capped).numpy()
    low, high = interval(gains, scenes)
    means = {"psnr": ours.capped.mean().item(), "best": best.solver, "best_psnr": best.capped.mean().item()}
    return {**means, "gain": float(gains.mean()), "low": low, "high": high, "videos": len(gains)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--root", type=Path)
    parser.add_argument("--solver", required=True, help="as `linops-video evaluate` takes them")
    parser.add_argument("--against", default=AGAINST)
    parser.add_argument("--problems", help="default: the paper's")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path, help="the table, as `docs/results.py` takes it")
    args = parser.parse_args()
    data = dataset(args.data, "test", args.root)
    indices = spread(len(data), args.limit)
    videos, scenes = data.videos(indices), np.array([data.scenes[int(i)] for i in indices])
    headline = f"{data.note}; {len(indices)} videos of {len(set(scenes.tolist()))} scenes; {machine()}"
    head = "| problem | solver | best of the others | PSNR | gain | 95 % interval | paper's best |"
    lines = [head, "| --- " * 7 + "|"]
    print(headline, *lines, sep="\n")
    paper, table = PUBLISHED.get(data.name, {}), {}
    for problem in split_list(args.problems) if args.problems else table1_problems(data.name, data.shape[1]):
        found = row(args.solver, evaluate(videos, [problem], [args.solver, *split_list(args.against)]), scenes)
        table[problem] = found
        printed = [cells[problem] for cells in paper.values() if problem in cells]
        lines.append(
            f"| {problem} | {found['psnr']:.2f} | {found['best']} | {found['best_psnr']:.2f} | {found['gain']:+.2f} | "
            f"{found['low']:+.2f} … {found['high']:+.2f} | {max(printed) if printed else '–'} |"
        )
        print(lines[-1], flush=True)
    if args.markdown:
        args.markdown.write_text("\n\n".join([headline, "Mean PSNR [dB]:", "\n".join(lines)]) + "\n")
    if args.json:
        save(args.json, {"data": data.note, "scenes": len(set(scenes.tolist())), "table": table})


if __name__ == "__main__":
    main()
