"""Total-variation denoising: seconds to within 1e-3 of the minimum, beside scikit-image.

    python benchmarks/denoising.py CLIP.mp4
    python benchmarks/denoising.py CLIP.mp4 --sizes 8x1x128x128 --weights 0.05

½‖y − x‖² + λ TV(x), TV isotropic over time, rows and columns of a gray clip with noise of 0.05, float32, one thread.
`skimage.restoration.denoise_tv_chambolle` solves this and no other data term. Its stopping rule is switched off, and
the least number of iterations that is enough is found first, by doubling and bisection. Ours is `PrimalDual` with the
best ρ of five; the peer has no such parameter. Then both are timed in turns in one process, set-up included, in
processor time, and the best of the turns is taken.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from record import machine, save, seconds
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor
from total_variation import GAP, after, count, middle, objective, ours

from linops_video import Identity, InverseProblem
from linops_video.solvers import Admm, PrimalDual, TotalVariation, run

NOISE_STD, LIMIT = 0.05, 4096
RHO = (1.6, 3.2, 6.4, 12.8, 25.6)


def noisy(path: Path, shape: tuple[int, ...]) -> InverseProblem:
    """The middle of a clip in gray, with noise."""
    video = middle(path, shape)
    noise = torch.randn(video.shape, generator=torch.Generator().manual_seed(0))
    return InverseProblem(Identity(tuple(video.shape)), video + NOISE_STD * noise, NOISE_STD)


def peer(problem: InverseProblem, weight: float, steps: int) -> Tensor:
    """scikit-image's video after so many iterations."""
    return torch.from_numpy(denoise_tv_chambolle(problem.y[:, 0].numpy(), weight, eps=0, max_num_iter=steps))[:, None]


def needed(enough: Callable[[int], bool]) -> int:
    """The least number of iterations that is enough."""
    high = 1
    while not enough(high):
        high *= 2
        if high > LIMIT:
            raise RuntimeError(f"{LIMIT} iterations are not enough")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def compare(problem: InverseProblem, weight: float, turns: int) -> dict:
    """Iterations and seconds of each, and how much longer the peer takes."""
    prior = TotalVariation(weight)
    best = run(Admm(prior, rho=1.0, max_steps=300, tol=0), problem.to(dtype=torch.float64)).x
    target = (1 + GAP) * objective(problem, best, prior)
    methods = {rho: ours(PrimalDual(prior, rho=rho, relaxation=1.6)) for rho in RHO}
    counts = {rho: count(method, problem, target, 400, prior) or LIMIT for rho, method in methods.items()}
    rho = min(RHO, key=lambda rho: counts[rho])
    steps = needed(lambda k: objective(problem, peer(problem, weight, k), prior) <= target)
    taken: list[tuple[float, float]] = []
    for _ in range(turns):
        mine = seconds(lambda: after(methods[rho], problem, counts[rho]))
        taken.append((mine, seconds(lambda: peer(problem, weight, steps))))
    mine, theirs = (min(column) for column in zip(*taken, strict=True))
    return {
        "iterations": {"primal-dual": counts[rho], "scikit-image": steps},
        "seconds": {"primal-dual": mine, "scikit-image": theirs},
        "rho": rho,
        "ratio": theirs / mine,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--sizes", default="8x1x128x128,16x1x256x256")
    parser.add_argument("--weights", default="0.02,0.05")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/denoising.json"))
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    rows = []
    with torch.no_grad():
        for size in args.sizes.split(","):
            shape = tuple(map(int, size.split("x")))
            for weight in map(float, args.weights.split(",")):
                row = {"shape": shape, "weight": weight, **compare(noisy(args.clip, shape), weight, args.turns)}
                rows.append(row)
                print(row, flush=True)
                save(args.json, {"gap": GAP, "noise_std": NOISE_STD, "rows": rows})
    print(machine())


if __name__ == "__main__":
    main()
