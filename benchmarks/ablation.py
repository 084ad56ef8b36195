"""Ablation on Rotated MNIST: the paper's four forms, gradient steps, fewer steps, and our form, with equal budgets.

    python benchmarks/ablation.py mnist.npz --out runs/ablation --minutes 30

The paper's forms have 5 steps of 32 filters in place of 13 of 64, but for the row "full size". Every form sees the same
problems (those of Table 1, drawn uniformly, without noise but for `pid`), loss, optimiser and schedule, and trains for
the same minutes (validation not counted) or, with `--videos`, on as many videos; the row "the paper's training" takes
the paper's loss, rate and batches instead. Ends are compared on test digits, and at equal numbers of videos seen on
validation digits. A run that was broken off goes on where it was; forms that are done are not trained again. Writes
`ablation.json`, `ablation.md` and the curves, `ablation.png`, into the folder after every form.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from record import machine, save, write

from linops_video.datasets import dataset, spread
from linops_video.solvers.learned.checkpoint import load_network
from linops_video.solvers.learned.config import TrainConfig
from linops_video.solvers.learned.data import Drawn
from linops_video.solvers.learned.objective import validate
from linops_video.solvers.learned.recipes import recipe
from linops_video.solvers.learned.train import train

DATA = "rotated-mnist"
PAPER = ("onenet-cnn", "onenet-bcrnn", "videoonet-cnn", "videoonet-bcrnn")
NO_LEAST_SQUARES = {"data_step": "gradient", "start": "adjoint", "consistent": False}

SMALL = {"steps": 5, "features": 32}
"""Of the paper's forms, where their 13 steps of 64 filters see too few videos in the time of one core."""

FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, SMALL) for name in PAPER},
    "videoonet": ("videoonet", {}),
    "videoonet-bcrnn, 3 steps": ("videoonet-bcrnn", SMALL | {"steps": 3}),
    "videoonet-bcrnn, no least squares": ("videoonet-bcrnn", SMALL | NO_LEAST_SQUARES),
    "videoonet-bcrnn, consistent at the end": ("videoonet-bcrnn", SMALL | {"consistent": True}),
    "videoonet-bcrnn, full size": ("videoonet-bcrnn", {}),
    "videoonet, 1 step": ("videoonet", {"steps": 1}),
    "videoonet, gradient steps": ("videoonet", {"data_step": "gradient"}),
    "videoonet, 4 steps": ("videoonet", {"steps": 4}),
    "onenet": ("onenet", {}),
}
"""Row -> recipe, and fields of its network in place of the recipe's."""

PAPERS_TRAINING = "videoonet-bcrnn, the paper's training"


def settings(row: str, args: argparse.Namespace) -> TrainConfig:
    """How a row is trained."""
    budget = {"minutes": None if args.videos else args.minutes, "patience": 10**6, "seed": args.seed}
    own = recipe("videoonet-bcrnn", DATA, 1)
    if row == PAPERS_TRAINING:
        every = {"steps": (args.videos or 10**9) // (own.samples * own.groups), "validate_every": args.every // 8}
        return replace(own, **budget, **every)
    name, fields = FORMS[row]
    network = replace(recipe(name, DATA, 1).network, **fields)
    steps, every = (args.videos or 10**9) // args.samples, max(1, args.every // args.samples)
    return TrainConfig(
        network,
        dict.fromkeys(own.problems, 1.0),
        steps=steps,
        samples=args.samples,
        frames=(9,),
        learning_rate=args.rate,
        average=0.995,
        noisy=0.0,
        noisy_blurs=False,
        validate_every=every,
        precision=args.precision,
        **budget,
    )


def at_videos(rows: list[Mapping[str, float]], videos: float) -> float | None:
    """The mean validation PSNR after so many videos, between two rows of the curve; None before the first."""
    seen = [row["videos"] for row in rows]
    return float(np.interp(videos, seen, [row["mean"] for row in rows])) if seen[0] <= videos <= seen[-1] else None


def run_row(row: str, args: argparse.Namespace) -> dict[str, Any]:
    """Train a row, or go on with it; its scores on test digits."""
    folder = args.out / row.replace(", ", "-").replace(" ", "-")
    done = folder / "result.json"
    if done.exists():
        return json.loads(done.read_text())
    config = settings(row, args)
    held_out = dataset(DATA, "val", args.mnist)
    validation = held_out.videos(spread(len(held_out), args.clips))
    resume = (folder / "state.pt").exists()
    source = Drawn(dataset(DATA, "train", args.mnist))
    train(config, source, validation, folder, resume=resume)
    state = torch.load(folder / "state.pt", weights_only=True)
    network = load_network(folder / "network.safetensors")
    test = dataset(DATA, "test", args.mnist)
    scores = validate(network, test.videos(spread(len(test), args.test)), config.problems, noisy_blurs=False, batch=16)
    result = {
        "parameters": sum(p.numel() for p in network.parameters()),
        "videos": state["videos"],
        "minutes": state["seconds"] / 60,
        "psnr": scores,
        "curve": state["rows"],
    }
    write(done, json.dumps(result))
    return result


def table(results: Mapping[str, dict[str, Any]]) -> str:
    """Markdown: test PSNR of each problem at the end, and the validation mean at equal numbers of videos."""
    problems = list(next(iter(results.values()))["psnr"])
    common = min(r["videos"] for r in results.values())
    lines = [
        f"| form | parameters | videos seen | minutes | {' | '.join(problems)} | mean | "
        f"validation mean at {common} videos |",
        "| --- " * (len(problems) + 6) + "|",
    ]
    best = {p: max(r["psnr"][p] for r in results.values()) for p in problems}
    for row, r in results.items():
        cells = [f"**{v:.1f}**" if v > best[p] - 0.05 else f"{v:.1f}" for p, v in r["psnr"].items()]
        mean, equal = sum(r["psnr"].values()) / len(problems), at_videos(r["curve"], common)
        plain = f"{row} | {r['parameters']:,} | {r['videos']:,} | {r['minutes']:.1f}"
        lines.append(f"| {plain} | {' | '.join(cells)} | {mean:.2f} | {'–' if equal is None else f'{equal:.2f}'} |")
    return "\n".join(lines) + "\n"


def draw(results: Mapping[str, dict[str, Any]], path: Path) -> None:
    """Mean validation PSNR over the videos seen, and over the minutes of training."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for row, result in results.items():
        psnr = [point["mean"] for point in result["curve"]]
        axes[0].plot([point["videos"] / 1000 for point in result["curve"]], psnr, label=row)
        axes[1].plot([point["seconds"] / 60 for point in result["curve"]], psnr)
    axes[0].set(xlabel="videos seen, thousands", ylabel="mean PSNR on validation digits [dB]")
    axes[1].set(xlabel="minutes of one core")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mnist", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30.0, help="of training, for each row")
    parser.add_argument("--videos", type=int, help="in place of minutes")
    parser.add_argument("--rows", default=";".join([*FORMS, PAPERS_TRAINING]), help="separated by semicolons")
    parser.add_argument("--samples", type=int, default=8, help="videos in a step")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--precision", default="float32", help="bfloat16 on CPUs that multiply in it")
    parser.add_argument("--every", type=int, default=4000, help="videos between validations")
    parser.add_argument("--clips", type=int, default=16, help="validation digits")
    parser.add_argument("--test", type=int, default=256, help="test digits")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    results = {}
    for row in args.rows.split(";"):
        results[row] = run_row(row, args)
        scores = results[row]["psnr"]
        print(f"{row}: mean {sum(scores.values()) / len(scores):.2f} dB, {results[row]['videos']} videos", flush=True)
        save(args.out / "ablation.json", {"minutes": args.minutes, "videos": args.videos, "results": results})
        head = f"`{machine()}`; {args.test} test digits; the PSNR of each video at most 60 dB.\n\n"
        (args.out / "ablation.md").write_text(f"{head}Mean PSNR [dB]:\n\n{table(results)}")
        draw(results, args.out / "ablation.png")


if __name__ == "__main__":
    main()
