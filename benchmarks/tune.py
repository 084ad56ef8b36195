"""Tunes admm-wavelet and admm-tv for every named problem and prints the table of `linops_video/solvers/defaults.py`.

    python benchmarks/tune.py video64.npz video32.npz

Coordinate search by mean PSNR on a few windows of the val split: 8 frames, the central 32×32 of 64×64 (cs: 4 frames of
32×32). The step number is the smallest within 0.02 dB of the best one on whole windows. ρ is searched as weight/κ: κ,
the threshold that the prior applies in each step, is in units of the video.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from linops_video import PROBLEMS, InverseProblem, forward_model
from linops_video.metrics import psnr
from linops_video.solvers import AdmmTV, AdmmWavelet, run
from linops_video.solvers.admm import AdmmBase
from linops_video.solvers.learned.data import load_videos
from linops_video.solvers.tuning import coordinate_search

EIGHT_BIT = 1 / (255 * 12**0.5)
DEBLURRING = ("dd", "tdd", "md", "md3")
Point = dict[str, object]


@dataclass(frozen=True)
class Task:
    """A problem at a noise level, with the true videos."""

    name: str
    noise_std: float
    problem: InverseProblem
    truth: Tensor


def windows(path: Path, frames: int, count: int) -> Tensor:
    """The first frames of `count` clips of the val split, drawn at random: (count, frames, C, H, W) in [0, 1]."""
    videos = load_videos(path, "val")
    chosen = np.sort(np.random.default_rng(0).permutation(len(videos))[:count])
    return videos[torch.from_numpy(chosen), :frames].float() / 255


def noise_levels(name: str) -> list[float]:
    """Deblurring is tuned for y rounded to 8 bits too, and for visible noise; noisy problems for two levels."""
    if name in DEBLURRING:
        return [0.0, EIGHT_BIT, 0.03]
    return [0.1, 0.02] if PROBLEMS[name].noise_std else [0.0]


def task(name: str, noise_std: float, truth: Tensor) -> Task:
    """The problem posed for some videos."""
    shape = tuple(truth.shape[1:] if name in ("cs", "vcs") else truth.shape)  # one matrix for all: its SVD is slow
    model = replace(forward_model(name, shape), noise_std=noise_std)
    if noise_std == EIGHT_BIT:
        y = (model.operator(truth) * 255).round() / 255
        return Task(name, noise_std, InverseProblem(model.operator, y, noise_std, name), truth)
    return Task(name, noise_std, model.measure(truth), truth)


def trace(solver: AdmmBase, task: Task) -> list[float]:
    """Mean PSNR after each step."""
    values: list[float] = []
    run(
        solver,
        task.problem,
        lambda step, state, residual: values.append(psnr(state.estimate, task.truth).mean().item()),
    )
    return values


def search(
    task: Task, make: Callable[[Point, int], AdmmBase], start: Point, axes: dict[str, list], steps: int
) -> Point:
    """The point with the best PSNR at any step, 0.01 dB or more above its neighbours."""
    return coordinate_search(lambda point: max(trace(make(point, steps), task)), start, axes, gain=0.01)


def make_tv(point: Point, steps: int) -> AdmmTV:
    weight, kappa = float(point["weight"]), float(point["kappa"])  # type: ignore[arg-type]
    return AdmmTV(
        rho=weight / kappa,
        weight=weight,
        max_steps=steps,
        tol=0.0,
        time_weight=float(point["time_weight"]),  # type: ignore[arg-type]
    )


def make_wavelet(point: Point, steps: int) -> AdmmWavelet:
    weight, kappa = float(point["weight"]), float(point["kappa"])  # type: ignore[arg-type]
    return AdmmWavelet(
        rho=weight / kappa,
        weight=weight,
        max_steps=steps,
        tol=0.0,
        wavelet=point["wavelet"],  # type: ignore[arg-type]
        levels=point["levels"],  # type: ignore[arg-type]
    )


def weights(name: str, noise_std: float) -> list[float]:
    """λ = c σ² for a Laplacian prior of scale 1/c; without noise, small enough to leave the data alone."""
    if noise_std:
        return [c * noise_std**2 for c in (0.7, 1.5, 3, 6, 12, 25, 50)]
    return [1e-9] if name in DEBLURRING else [1e-5, 1e-4, 1e-3]


KAPPAS = [0.003, 0.006, 0.012, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6]
TV_AXES = {"kappa": KAPPAS, "time_weight": [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0]}
WAVELET_AXES = {
    "kappa": KAPPAS,
    "wavelet": ["haar", ("haar", "db2", "db2"), ("haar", "db4", "db4")],
    "levels": [(1, 2, 2), (2, 2, 2), (3, 2, 2), (3, 3, 3), (3, 4, 4)],
}
TV_START: Point = {"time_weight": 4.0}
WAVELET_START: Point = {"wavelet": ("haar", "db4", "db4"), "levels": (3, 2, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video64", type=Path)
    parser.add_argument("video32", type=Path)
    parser.add_argument("--problems", default=",".join(PROBLEMS))
    parser.add_argument("--solvers", default="admm-tv,admm-wavelet")
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument(
        "--steps", type=int, default=60, help="steps of a run in the search; the last run has twice as many"
    )
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    whole, small = windows(args.video64, 8, args.windows), windows(args.video32, 4, 2 * args.windows)
    crops = whole[..., 16:48, 16:48]
    ways = {"admm-tv": (make_tv, TV_AXES), "admm-wavelet": (make_wavelet, WAVELET_AXES)}
    for solver, name in itertools.product(args.solvers.split(","), args.problems.split(",")):
        make, axes = ways[solver]
        for noise_std in noise_levels(name):
            begin = time.perf_counter()
            exact = name in DEBLURRING and not noise_std  # the pseudoinverse is the truth: there is nothing to search
            grid = {"weight": weights(name, noise_std), **({} if exact else axes)}
            weight = grid["weight"][len(grid["weight"]) // 2]
            start: Point = {"weight": weight, "kappa": 0.1, **(TV_START if make is make_tv else WAVELET_START)}
            if exact:
                start["kappa"] = KAPPAS[0]  # ρ stays above what float32 can take
            searched = task(name, noise_std, small if name == "cs" else crops)
            best = search(searched, make, start, grid, args.steps)
            final = searched if name == "cs" else task(name, noise_std, whole)
            values = trace(make(best, 2 * args.steps), final)
            steps = next(i for i, v in enumerate(values, 1) if v >= max(values) - 0.02)
            fields = ", ".join(f"{key}={value!r}" for key, value in best.items() if key != "kappa")
            rho = float(best["weight"]) / float(best["kappa"])  # type: ignore[arg-type]
            print(
                f'("{solver}", "{name}", {noise_std:.3g}): dict(rho={rho:.3g}, max_steps={steps}, {fields}),'
                f"  # {values[steps - 1]:.2f} dB, {time.perf_counter() - begin:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
