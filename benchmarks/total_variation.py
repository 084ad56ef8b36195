"""Total variation in three measurements: seconds to within 1e-3 of the minimum, beside other libraries.

    python benchmarks/total_variation.py CLIP.mp4 --sizes 8x1x128x128,8x3x256x256
    python benchmarks/total_variation.py CLIP.mp4 --agreement --sizes 8x1x128x128

½‖y − A x‖² + 0.01 · TV(x), TV isotropic over time, rows, columns and channels, A a mask that drops half of the
entries, means over 4×4 boxes, or a circular Gaussian blur (σ = 2 pixels), noise 0.02, float32, one thread, every method
in turns in one process: first the iterations that each needs are counted, then set-up and so many iterations are timed,
in processor time, and the best of the turns is taken. All begin at the same video. Where a peer has no exact proximal
operator of the data term it is given one, so that the methods are compared, not their inner solvers; JAX compiles
before the clock starts. Libraries that are not installed are left out. `--agreement`: float64, means over 2×2 boxes in
the place of 4×4, the objectives that the convex solvers reach.

Tensors of all methods that use PyTorch take pages of 2 MB, as arrays of NumPy do.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read by PyTorch at the first tensor

import numpy as np
import torch
from record import command, machine, save, seconds
from torch import Tensor

from linops_video import BoxMean, Convolution, Diagonal, InverseProblem, NormalSolver
from linops_video.media.video import read_video
from linops_video.operators.kernels import gaussian
from linops_video.solvers import Admm, Fista, PreconditionedPrimalDual, PrimalDual, ProximalGradient, TotalVariation
from linops_video.solvers.start import start

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
from optional import import_deepinv

WEIGHT, NOISE_STD, GAP = 0.01, 0.02, 1e-3
PRIOR = TotalVariation(WEIGHT)
RELAXATION = 1.6
"""Of our methods: 1.5 to 1.7 need the fewest iterations on all three problems, 1.8 a tenth and 1.9 a quarter more."""
OURS: dict[str, Any] = {"admm": Admm, "primal-dual": PrimalDual, "primal-dual-fft": PreconditionedPrimalDual}
GRID = (0.4, 0.8, 1.6, 3.2, 0.28, 1.13, 0.2, 2.26, 0.14)
"""Values of ρ that are tried, the likely ones first."""

Method = Callable[[InverseProblem], Iterator[Tensor]]
"""Set-up at the first `next`, then one iterate each."""


def middle(path: Path, shape: tuple[int, ...]) -> Tensor:
    """The middle of a clip, in color or, of one channel, in gray."""
    frames, channels, height, width = shape
    video = read_video(path, frames=frames).frames
    top, left = (video.shape[-2] - height) // 2, (video.shape[-1] - width) // 2
    video = video[..., top : top + height, left : left + width]
    return video.contiguous() if channels == 3 else video.mean(1, keepdim=True)


def problems(path: Path, shape: tuple[int, ...], box: int = 4) -> dict[str, InverseProblem]:
    """The three measurements of the middle of a clip."""
    video = middle(path, shape)
    generator = torch.Generator().manual_seed(0)
    operators = {
        "mask": Diagonal((torch.rand(shape, generator=generator) >= 0.5).float(), shape),
        f"sr{box}": BoxMean(box, shape),
        "blur": Convolution(gaussian(13, 2.0).float(), shape, "circular"),
    }
    results = {}
    for name, A in operators.items():
        y = A(video)
        results[name] = InverseProblem(A, y + NOISE_STD * torch.randn(y.shape, generator=generator), NOISE_STD)
    return results


def objective(problem: InverseProblem, x: Tensor, prior: TotalVariation = PRIOR) -> float:
    """In float64."""
    return float(Admm(prior).objective(problem.to(dtype=torch.float64), x.double()))  # type: ignore[arg-type]


def ours(solver) -> Method:
    """The steps of one of our solvers."""

    def method(problem: InverseProblem) -> Iterator[Tensor]:
        state = solver.init(problem)
        while True:
            state = solver.step(problem, state)
            yield state.estimate

    return method


def relaxed(name: str, rho: float) -> Method:
    """One of `OURS` with `RELAXATION`."""
    return ours(OURS[name](PRIOR, rho=rho, relaxation=RELAXATION))


def steps(rho: float, shape: tuple[int, ...]) -> tuple[float, float]:
    """τ and σ of a primal-dual method from one number, as in `PrimalDual`."""
    return 1 / rho, rho / PRIOR.norm(shape) ** 2


def deepinv_pdcp(rho: float) -> Method:
    """deepinv's iteration of Chambolle and Pock, with its L12 prior, the gradient's directions last."""
    deepinv = import_deepinv()

    def gradient(x: Tensor) -> Tensor:
        return torch.stack([torch.diff(x, dim=d, append=x.narrow(d, -1, 1)) for d in (-4, -2, -1)], -1)

    def adjoint(p: Tensor) -> Tensor:
        return PRIOR.synthesise(p.movedim(-1, -5))

    class Data(deepinv.optim.data_fidelity.L2):
        def prox(self, x, y, physics, *args, gamma=1.0, **kwargs):
            return physics.prox(1 / gamma, x, y)

    def method(problem: InverseProblem) -> Iterator[Tensor]:
        shape = problem.operator.in_shape
        normal = NormalSolver.of(problem.operator)
        tau, sigma = steps(rho, shape)
        iteration = deepinv.optim.optim_iterators.CPIteration(g_first=True, has_cost=False)
        axis = -1 if shape[1] == 1 else (-4, -1)  # of (1, T, C, H, W, 3)
        prior = deepinv.optim.prior.L12Prior(l2_axis=axis)
        numbers = {"stepsize": tau, "stepsize_dual": sigma, "beta": 1.0, "lambda": WEIGHT, "g_param": None}
        x = start(problem)[1][None]
        state = {"est": (x, x, gradient(x) * 0), "cost": None}
        params = {**numbers, "K": gradient, "K_adjoint": adjoint}
        while True:
            state = iteration(state, Data(), prior, params, problem.y[None], normal)
            yield state["est"][0][0]

    return method


def pyproximal_primal_dual(rho: float) -> Method:
    """pyproximal.optimization.primaldual.PrimalDual on (C, T, H, W) arrays; its callback hands the iterates on."""
    import pylops
    import pyproximal

    class Data(pyproximal.ProxOperator):
        def __init__(self, problem: InverseProblem) -> None:
            super().__init__(None, False)
            self.normal, self.y, self.shape = NormalSolver.of(problem.operator), problem.y, problem.operator.in_shape

        def prox(self, x, tau):
            video = as_video(x, self.shape)
            return as_vector(self.normal.prox(1 / float(np.ravel(tau)[0]), video, self.y))

        def __call__(self, x):
            return 0.0

    def as_video(x: np.ndarray, shape: tuple[int, ...]) -> Tensor:
        return torch.from_numpy(x.reshape(shape[1], shape[0], *shape[2:])).transpose(0, 1)

    def as_vector(x: Tensor) -> np.ndarray:
        return x.transpose(0, 1).contiguous().numpy().ravel()

    def method(problem: InverseProblem) -> Iterator[Tensor]:
        from pyproximal.optimization.cls_primaldual import PrimalDual as Peer

        frames, channels, height, width = shape = problem.operator.in_shape
        tau, sigma = steps(rho, shape)
        dims = (channels, frames, height, width)
        dtype = problem.y.numpy().dtype
        rows = [pylops.FirstDerivative(dims, axis=a, kind="forward", dtype=dtype) for a in (1, 2, 3)]
        data, peer = Data(problem), Peer()
        x = as_vector(start(problem)[1])
        gradient = pylops.VStack(rows, dtype=dtype)
        group = pyproximal.L21(ndim=3 * channels, sigma=WEIGHT)
        x, ahead, y = peer.setup(data, group, gradient, x, tau, sigma, niter=10**6)
        while True:
            x, ahead, y = peer.step(x, ahead, y)
            yield as_video(x, shape)

    return method


def scico_pdhg(rho: float) -> Method:
    """scico.optimize.PDHG with its finite differences and L21 norm, and the exact data step in jax.numpy."""
    import jax
    import jax.numpy as jnp
    import scico.functional
    import scico.linop
    import scico.optimize

    def data_prox(problem: InverseProblem):
        A = problem.operator
        y = jnp.asarray(problem.y.numpy())
        if isinstance(A, Diagonal):
            mask = jnp.asarray(A.diagonal.numpy())
            return jax.jit(lambda v, lam: (lam * mask * y + v) / (lam * mask + 1))
        if isinstance(A, BoxMean):
            frames, channels, height, width = A.in_shape
            k = A.factor

            def boxes(v, lam):
                mean = v.reshape(frames, channels, height // k, k, width // k, k).mean((3, 5))
                moved = (y - mean) * (lam / (1 + lam / k**2)) / k**2
                return v + jnp.repeat(jnp.repeat(moved, k, 2), k, 3)

            return jax.jit(boxes)
        impulse = torch.zeros(1, 1, *A.in_shape[-2:])
        impulse[..., 0, 0] = 1
        response = A(impulse.expand(A.in_shape))[0, 0]
        H = jnp.fft.rfft2(jnp.asarray(response.numpy()))
        Y = jnp.conj(H) * jnp.fft.rfft2(y)
        G = jnp.abs(H) ** 2
        return jax.jit(lambda v, lam: jnp.fft.irfft2((jnp.fft.rfft2(v) + lam * Y) / (1 + lam * G), s=A.in_shape[-2:]))

    def method(problem: InverseProblem) -> Iterator[Tensor]:
        shape = problem.operator.in_shape
        prox = data_prox(problem)

        class Data(scico.functional.Functional):
            has_eval, has_prox = False, True

            def prox(self, v, lam=1.0, **kwargs):
                return prox(v, lam)

        tau, sigma = steps(rho, shape)
        differences = scico.linop.FiniteDifference(shape, input_dtype=np.float32, axes=(0, 2, 3), append=0, jit=True)
        axis = 0 if shape[1] == 1 else (0, 2)
        x0 = jnp.asarray(start(problem)[1].numpy())
        group = WEIGHT * scico.functional.L21Norm(l2_axis=axis)
        peer = scico.optimize.PDHG(Data(), group, differences, tau, sigma, alpha=1.0, x0=x0, maxiter=10**6)
        while True:
            peer.step()
            jax.block_until_ready((peer.x, peer.z))
            yield torch.from_numpy(np.array(peer.x))

    return method


def available(rho: float, wanted: str) -> dict[str, Method]:
    """Those of the wanted peers that can be imported."""
    peers = {"deepinv": ("PDCP", deepinv_pdcp), "pyproximal": ("PrimalDual", pyproximal_primal_dual)}
    peers["scico"] = ("PDHG", scico_pdhg)
    peers = {name: peer for name, peer in peers.items() if name in wanted.split(",")}
    found = {name for name in peers if importlib.util.find_spec(name) is not None}
    for name in peers.keys() - found:
        print(f"{name} is not installed: left out")
    return {f"{name} {method}": make(rho) for name, (method, make) in peers.items() if name in found}


def count(
    method: Method, problem: InverseProblem, target: float, limit: int, prior: TotalVariation = PRIOR
) -> int | None:
    """Iterations until the objective is at most `target`; None if the limit comes first."""
    iterates = method(problem)
    for k in range(1, limit + 1):
        x = next(iterates)
        if (k < 20 or k % 2 == 0) and objective(problem, x, prior) <= target:
            return k
    return None


def after(method: Method, problem: InverseProblem, iterations: int) -> Tensor:
    """The iterate after the set-up and so many iterations."""
    return next(islice(method(problem), iterations - 1, None))


def minimum(problem: InverseProblem, iterations: int) -> float:
    """The least objective seen by two methods that are run for long, every tenth iterate."""
    best = float("inf")
    for solver in (Admm(PRIOR, rho=0.5), PrimalDual(PRIOR, rho=2.0)):
        iterates = ours(solver)(problem)
        for k in range(iterations):
            x = next(iterates)
            if k % 10 == 9 and k > iterations / 2:
                best = min(best, objective(problem, x))
    return best


def tuned(make: Callable[[float], Method], problem: InverseProblem, target: float) -> float:
    """The ρ of `GRID` that needs the fewest iterations."""
    best, limit = GRID[0], 300
    for rho in GRID:
        needed = count(make(rho), problem, target, limit)
        if needed is not None:
            best, limit = rho, max(needed - 1, 1)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--sizes", default="8x1x128x128,8x3x256x256")
    parser.add_argument("--problems", default="mask,sr4,sr2,blur", help="a part of these")
    parser.add_argument("--peers", default="deepinv,pyproximal,scico", help="a part of these")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400, help="iterations that find the minimum")
    parser.add_argument("--agreement", action="store_true")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/total_variation.json"))
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    shapes = [tuple(map(int, size.split("x"))) for size in args.sizes.split(",")]
    with torch.no_grad():
        (agreement if args.agreement else compare)(args, shapes)
    print(machine())


def keep(args: argparse.Namespace, row: dict) -> None:
    """Write a row, in the place of an earlier one of the same size and problem; the others stay."""
    known = json.loads(args.json.read_text()) if args.json.exists() else {}
    tables = {name: known.get(name, []) for name in ("speed", "agreement")}
    table = tables["agreement" if args.agreement else "speed"]
    row = {"command": command(), **row, "shape": list(row["shape"])}
    table[:] = [r for r in table if (r["shape"], r["problem"]) != (row["shape"], row["problem"])] + [row]
    save(args.json, {"gap": GAP, "weight": WEIGHT, **tables})


def compare(args: argparse.Namespace, shapes: list[tuple[int, ...]]) -> None:
    """Time to the gap of every method on every problem and size; ρ is the best of `GRID` there, for peers that of a
    `PrimalDual` without relaxation, which is their iteration."""
    for shape in shapes:
        for name, problem in problems(args.clip, shape).items():
            if name not in args.problems.split(","):
                continue
            target = (1 + GAP) * minimum(problem, args.steps)
            plain = tuned(lambda rho: ours(PrimalDual(PRIOR, rho=rho, relaxation=1.0)), problem, target)
            chosen = {key: tuned(partial(relaxed, key), problem, target) for key in OURS}
            own = {key: relaxed(key, rho) for key, rho in chosen.items()}
            methods = own | available(plain, args.peers)
            counts = {key: count(method, problem, target, 400) for key, method in methods.items()}  # which compiles
            taken: dict[str, list[float]] = {key: [] for key in methods}
            for _ in range(args.turns):
                for key, method in methods.items():
                    needed = counts[key]
                    work = None if needed is None else partial(after, method, problem, needed)
                    taken[key].append(float("inf") if work is None else seconds(work))
            best = {key: min(values) for key, values in taken.items()}
            row = {
                "shape": shape,
                "problem": name,
                "seconds": best,
                "iterations": counts,
                "rho": {**chosen, "peers": plain},
            }
            others = [value for key, value in best.items() if key not in own]
            row["ratio"] = min(others, default=float("nan")) / min(best[key] for key in own)
            shown = "  ".join(f"{key} {value:.3f} s ({counts[key]})" for key, value in best.items())
            print(f"{shape} {name}: {shown}  ratio {row['ratio']:.1f}", flush=True)
            keep(args, row)


def agreement(args: argparse.Namespace, shapes: list[tuple[int, ...]]) -> None:
    """The objectives that the solvers reach in float64; one iteration of the last two is 20 of their prior."""
    iterations = args.steps
    shape = shapes[0]
    for name, single in problems(args.clip, shape, 2).items():
        if name not in args.problems.split(","):
            continue
        problem = single.to(dtype=torch.float64)
        solvers = {
            "admm": (ours(Admm(PRIOR, rho=0.4)), iterations),
            "primal-dual": (ours(PrimalDual(PRIOR, rho=1.6)), 2 * iterations),
            "primal-dual-fft": (ours(PreconditionedPrimalDual(PRIOR, rho=0.3)), 2 * iterations),
            "fista": (ours(Fista(PRIOR, inner=20)), iterations // 4),
            "proximal-gradient": (ours(ProximalGradient(PRIOR, inner=20)), iterations),
        }
        peers = available(1.6, args.peers)
        solvers |= {key: (peers[key], 2 * iterations) for key in ("pyproximal PrimalDual",) if key in peers}
        values = {key: objective(problem, after(method, problem, n)) for key, (method, n) in solvers.items()}
        spread = max(values.values()) / min(values.values()) - 1
        keep(args, {"shape": shape, "problem": name, "objectives": values, "spread": spread})
        print(f"{shape} {name}: spread {spread:.1e}  {values}", flush=True)


if __name__ == "__main__":
    main()
