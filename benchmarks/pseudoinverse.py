"""How exactly the pseudoinverse solves the paper's blurs without noise: Rotated MNIST in and out in float32.

    python benchmarks/pseudoinverse.py mnist.npz [--videos 1000] [--json benchmarks/results/pseudoinverse.json]

Tables cap the PSNR of a video at 100 dB; here it is not. Exit code 1 where the mean is below AT_LEAST.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from record import save

from linops_video import forward_model
from linops_video.datasets import dataset
from linops_video.metrics import psnr
from linops_video.solvers import solve

AT_LEAST = {"dd": 95.0, "tdd": 110.0, "md3": 110.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mnist", type=Path)
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_name("results") / "pseudoinverse.json")
    arguments = parser.parse_args()
    videos = dataset("rotated-mnist", "test", arguments.mnist).videos(range(arguments.videos))
    rows = {}
    for name in AT_LEAST:
        problem = forward_model(name, tuple(videos.shape[1:])).measure(videos)
        decibels = psnr(solve(problem, "pinv").x, videos)
        rows[name] = {"mean": float(decibels.mean()), "least": float(decibels.min())}
        print(f"{name}: {rows[name]['mean']:.1f} dB in the mean, {rows[name]['least']:.1f} dB at least")
    save(arguments.json, {"videos": arguments.videos, "psnr": rows})
    sys.exit(any(rows[name]["mean"] < least for name, least in AT_LEAST.items()))


if __name__ == "__main__":
    main()
