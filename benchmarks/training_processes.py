"""Data-parallel training: two processes against one at the same global batch, in float64.

    python benchmarks/training_processes.py

Starts itself under torchrun with one and with two processes (gloo) for two networks and mixed problems, compares loss
and gradients of one step, and the loss of each of a few steps. Exit code 1 if they differ by more than 1e-10.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from record import save

from linops_video.solvers.learned.config import TrainConfig
from linops_video.solvers.learned.data import Crops
from linops_video.solvers.learned.form import Config, paper_config
from linops_video.solvers.learned.parallel import team as processes
from linops_video.solvers.learned.train import Run, Trainer

BAR = 1e-10
STEPS = 5
BASE = TrainConfig(
    problems={"pid": 1.0, "sr2": 1.0, "vcs": 1.0, "dd": 1.0, "fi2": 1.0, "cs": 1.0},
    precision="float64",
    samples=2,
    groups=4,
    frames=(4,),
    clip=float("inf"),
)
CONFIGS = {
    "videoonet": replace(BASE, network=Config(features=32)),
    "videoonet-bcrnn": replace(
        BASE, network=replace(paper_config(channels=3, features=32), steps=3), objective="mse", samples=1
    ),
    "checkpointing": replace(BASE, network=Config(features=32), checkpointing=True),
}


def work(folder: Path) -> None:
    """What each process does: one step's gradient, then a few steps; process 0 writes."""
    torch.set_flush_denormal(True)
    videos = torch.randint(256, (6, 6, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    device = torch.device("cpu")
    with processes(device) as team:
        for name, config in CONFIGS.items():
            run = Run.new(config, device, None)
            trainer = Trainer(config, run, Crops((videos,), (1.0,), 16), team)
            loss, count = trainer.gradient()
            gradients = {key: p.grad.clone() for key, p in run.network.named_parameters() if p.grad is not None}
            losses = [trainer.step() for _ in range(STEPS)]
            if team.rank == 0:
                found = {"loss": loss, "videos": count, "gradients": gradients, "losses": losses}
                torch.save(found, folder / f"{name}-{team.size}.pt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.work)
        return
    results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in (1, 2):
            torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
            subprocess.run([*torchrun, __file__, "--work", str(folder)], check=True)
        for key in CONFIGS:
            one, two = (torch.load(folder / f"{key}-{count}.pt", weights_only=True) for count in (1, 2))
            assert one["videos"] == two["videos"]
            assert one["gradients"].keys() == two["gradients"].keys()
            gradient = max(float((one["gradients"][k] - two["gradients"][k]).abs().max()) for k in one["gradients"])
            size = max(float(g.abs().max()) for g in one["gradients"].values())
            later = max(abs(a - b) for a, b in zip(one["losses"], two["losses"], strict=True))
            results[key] = {
                "loss": one["loss"],
                "loss_difference": abs(one["loss"] - two["loss"]),
                "largest_gradient": size,
                "gradient_difference": gradient,
                "loss_difference_of_later_steps": later,
            }
            print(
                f"{key:16} loss {one['loss']:.6f}, differs by {results[key]['loss_difference']:.1e}; gradients up to "
                f"{size:.1e} differ by {gradient:.1e}; losses of {STEPS} steps by {later:.1e}",
                flush=True,
            )
    if args.json:
        save(args.json, {"bar": BAR, "configs": results})
    if any(max(r["loss_difference"], r["gradient_difference"]) > BAR for r in results.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
