"""Kills a training run with signal 9 at random steps, resumes it, and compares it with an unbroken run to the last bit.

    python benchmarks/training_resume.py --times 5

Runs `linops-video train` on a small archive that it makes; compares the losses of the curve, weights, running mean,
optimiser and random state. Exit code 1 if anything differs.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from record import save

PARTS = ("network", "average", "optimizer", "generator", "step", "videos", "losses", "best", "waited")
STEPS = 60
CONFIG = {
    "network": {"features": 16, "coarse": 1, "fine": 1},
    "samples": 2,
    "groups": 2,
    "frames": [4],
    "validate_every": 20,
    "save_minutes": 0.0,  # after every step
}


def archive(path: Path) -> Path:
    """Moving waves, 24×24, with training and validation splits."""
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 6, (6, 1, 1, 1, 3)) + 0.3 * np.arange(6).reshape(1, 6, 1, 1, 1)
    wave = np.sin(phase + 0.4 * np.arange(24).reshape(24, 1, 1) + 0.2 * np.arange(24).reshape(24, 1))
    np.savez(path, video=(127 + 100 * wave).astype(np.uint8), split=np.array(["train"] * 5 + ["val"]))
    return path


def command(folder: Path, out: Path, resume: bool) -> list[str]:
    words = [sys.executable, "-m", "linops_video.cli", "train", "--data", str(folder / "waves.npz"), "-o", str(out)]
    words += ["--problems", "pid,sr2,vcs,dd", "--size", "16", "--steps", str(STEPS), "--config", str(folder / "c.json")]
    return [*words, "--resume"] if resume else words


def killed_at(words: list[str], state: Path, kill_step: int) -> int:
    """Start a run and kill it as soon as its state has reached a step; the step of the state that is left."""
    job = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while job.poll() is None:
        time.sleep(0.1)
        if state.exists() and torch.load(state, weights_only=True)["step"] >= kill_step:
            os.kill(job.pid, signal.SIGKILL)
            job.wait()
    if job.returncode != -signal.SIGKILL:
        raise SystemExit(f"the run ended with {job.returncode} before step {kill_step}")
    return torch.load(state, weights_only=True)["step"]


def same(a: object, b: object) -> bool:
    """Whether two values of a state, however nested, are equal bit for bit."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def losses(out: Path) -> list[str]:
    with (out / "curve.csv").open() as file:
        return [row["loss"] for row in csv.DictReader(file)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the steps at which runs are killed")
    parser.add_argument("--json", type=Path, help="write the results there")
    args = parser.parse_args()
    chance = random.Random(args.seed)
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive(folder / "waves.npz")
        (folder / "c.json").write_text(json.dumps(CONFIG))
        subprocess.run(command(folder, folder / "whole", False), check=True, capture_output=True)
        whole = torch.load(folder / "whole" / "state.pt", weights_only=True)
        print(f"unbroken: losses {', '.join(losses(folder / 'whole'))}", flush=True)
        for i in range(args.times):
            out, aim = folder / f"killed{i}", chance.randrange(1, STEPS)
            left = killed_at(command(folder, out, False), out / "state.pt", aim)
            subprocess.run(command(folder, out, True), check=True, capture_output=True)
            again = torch.load(out / "state.pt", weights_only=True)
            different = [part for part in PARTS if not same(whole[part], again[part])]
            equal = losses(out) == losses(folder / "whole")
            results.append({"left_at_step": left, "losses_equal": equal, "different": different})
            print(
                f"killed at step {left} of {STEPS}: losses equal: {equal}; different: {different or 'nothing'}",
                flush=True,
            )
    if args.json:
        save(args.json, {"steps": STEPS, "runs": results})
    if not all(r["losses_equal"] and not r["different"] for r in results):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
