"""The data step of other libraries beside ours: error, seconds and memory at equal error.

    python benchmarks/data_steps.py
    python benchmarks/data_steps.py --sizes 4x3x32x32 --problems blur --libraries ours,scico

argmin_z 1/2 ‖y − A z‖² + ρ/2 ‖z − v‖² with ρ = 0.01, random y and v, float32, one thread. Each library is asked by its
documented call: deepinv's `prox_l2`, pyproximal's `L2(…, solver="cg").prox` with PyLops' operators, SCICO's
`SquaredL2Loss.prox`, and `NormalSolver.prox`. Where theirs has no closed form it iterates: the number of iterations is
doubled until the error is at most `ENOUGH` or a call takes `LIMIT` seconds, so that seconds are those of equal answers;
the error of the call with its defaults stands beside. Errors are against our solve in float64, whose own residual is
kept in the JSON.

Each library, problem and size runs in a process of its own, one after another. The first call sets up and compiles and
is not counted, then the best of three is taken, in processor time. Memory is what the process peaks at above what it
held with y and v, set-up included, in videos of that size. Rows are kept, and replaced by those of a later run.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from growth import LEAST
from peers import relative
from record import between, machine, resident, save, seconds
from torch import Tensor

from linops_video import BoxMean, Convolution, Diagonal, LinearOperator, NormalSolver
from linops_video.operators.kernels import gaussian

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
from optional import import_deepinv

RHO, ENOUGH, MOST, LIMIT = 0.01, 1e-5, 512, 60.0
SIZES = "4x3x32x32,8x3x256x256,8x3x480x856"
LIBRARIES = "ours,deepinv,pylops,scico"
PROBLEMS = ("mask", "sr4", "blur", "sr2 of a mask")
Step = Callable[[int | None], Tensor]
"""The data step with so many iterations; None: with the defaults of the library."""


def mask(shape: tuple[int, ...]) -> Tensor:
    """The same for all frames and channels, with as many axes as `shape`."""
    plane = torch.rand(shape[-2:], generator=torch.Generator().manual_seed(1)) >= 0.5
    return plane.float().reshape(*(1 for _ in shape[:-2]), *shape[-2:])


def operator(problem: str, shape: tuple[int, ...]) -> LinearOperator:
    return posed(
        problem,
        lambda: Diagonal(mask(shape), shape),
        lambda factor: BoxMean(factor, shape),
        lambda: Convolution(gaussian(13, 2.0).float(), shape, "circular"),
    )


def posed(problem: str, diagonal: Callable[[], Any], boxes: Callable[[int], Any], circular: Callable[[], Any]) -> Any:
    """The operator of a problem, from those that a library has; only what is needed is made."""
    if problem == "blur":
        return circular()
    if problem == "sr4":
        return boxes(4)
    return diagonal() if problem == "mask" else boxes(2) @ diagonal()


def ours(problem: str, y: Tensor, v: Tensor) -> Step:
    normal = NormalSolver.of(operator(problem, tuple(v.shape)))
    return lambda iterations: normal.prox(RHO, v, y)


def deepinv(problem: str, y: Tensor, v: Tensor) -> Step:
    """Frames are images of a batch."""
    physics, event = import_deepinv().physics, tuple(v.shape[1:])
    inpainting = physics.Inpainting(event, mask=mask(event).expand(event))

    def means(factor: int) -> Tensor:  # of the pixel and those after it; a kernel of odd size, with zeros before them
        kernel = torch.zeros(1, 1, 2 * factor - 1, 2 * factor - 1)
        kernel[..., :factor, :factor] = 1 / factor**2
        return kernel

    def boxes(factor: int) -> object:
        return physics.Downsampling(img_size=event, filter=means(factor), factor=factor, padding="circular")

    A = {
        "mask": lambda: inpainting,
        "sr4": lambda: boxes(4),
        "blur": lambda: physics.BlurFFT(event, filter=gaussian(13, 2.0).float()[None, None]),
        "sr2 of a mask": lambda: physics.forward.compose(inpainting, boxes(2)),
    }[problem]()

    def step(iterations: int | None) -> Tensor:
        more = {} if iterations is None else {"max_iter": iterations, "tol": 1e-12}
        return A.prox_l2(v, y, 1 / RHO, **more)

    assert relative(A.A(v), operator(problem, tuple(v.shape))(v).double()) < 1e-5
    return step


def pylops(problem: str, y: Tensor, v: Tensor) -> Step:
    import pylops
    import pyproximal

    dims, h, w = tuple(v.shape), *v.shape[-2:]
    keep = torch.zeros(dims, dtype=torch.bool)

    def diagonal() -> object:
        return pylops.Diagonal(mask(dims).expand(dims).numpy().ravel(), dtype="float32")

    def boxes(factor: int) -> object:
        """A convolution by the box, then every `factor`-th pixel; the box is that of the pixel and those after it."""
        kernel = np.full((factor, factor), 1 / factor**2, np.float32)
        blur = pylops.signalprocessing.ConvolveND(dims, kernel, offset=(factor - 1,) * 2, axes=(2, 3), dtype="float32")
        blur.forceflat = True  # pyproximal adds vectors
        keep[:, :, ::factor, ::factor] = True
        return pylops.Restriction(math.prod(dims), np.flatnonzero(keep.numpy()), dtype="float32") @ blur

    def circular() -> object:
        spectrum = torch.fft.rfft2(torch.roll(torch.nn.functional.pad(line, (0, w - 13, 0, h - 13)), (-6, -6), (0, 1)))
        F = pylops.signalprocessing.FFTND(dims, axes=(2, 3), real=True, dtype="float32")
        D = pylops.Diagonal(spectrum.expand(*dims[:2], -1, -1).numpy().ravel(), dtype="complex64")
        return F.H @ D @ F

    line = gaussian(13, 2.0).float()
    Op = posed(problem, diagonal, boxes, circular)
    applied = torch.from_numpy(np.real(Op @ v.numpy().ravel()).copy())
    assert relative(applied.view(y.shape), operator(problem, dims)(v).double()) < 1e-5

    def step(iterations: int | None) -> Tensor:
        more = {} if iterations is None else {"niter": iterations, "kwargs_solver": {"tol": 1e-20}}
        data = pyproximal.L2(Op, y.numpy().ravel(), warm=False, solver="cg", **more)
        found = data.prox(v.numpy().ravel(), 1 / RHO)
        return torch.from_numpy(np.real(found).astype(np.float32).reshape(dims))

    return step


def scico(problem: str, y: Tensor, v: Tensor) -> Step:
    import jax.numpy as jnp
    import scico.linop
    import scico.loss

    dims = tuple(v.shape)
    t, c, h, w = dims

    def diagonal() -> object:
        return scico.linop.Diagonal(jnp.broadcast_to(jnp.asarray(mask(dims).numpy()), dims))

    def boxes(k: int) -> object:
        def mean(x):
            return x.reshape(t, c, h // k, k, w // k, k).mean((3, 5))

        return scico.linop.LinearOperator(dims, (t, c, h // k, w // k), eval_fn=mean, input_dtype=np.float32, jit=True)

    def circular() -> object:
        kernel = jnp.asarray(gaussian(13, 2.0).float().numpy())
        centre = np.array([6, 6])
        return scico.linop.CircularConvolve(kernel, dims, ndims=2, h_center=centre, input_dtype=np.float32)

    A = posed(problem, diagonal, boxes, circular)
    start, data = jnp.asarray(v.numpy()), jnp.asarray(y.numpy())
    assert relative(torch.from_numpy(np.array(A(start))), operator(problem, dims)(v).double()) < 1e-5

    def step(iterations: int | None) -> Tensor:
        more = {} if iterations is None else {"prox_kwargs": {"maxiter": iterations, "tol": 1e-12}}
        loss = scico.loss.SquaredL2Loss(y=data, A=A, **more)
        return torch.from_numpy(np.array(loss.prox(start, 1 / RHO)))

    return step


MAKERS = {"ours": ours, "deepinv": deepinv, "pylops": pylops, "scico": scico}


def measure(library: str, problem: str, shape: tuple[int, ...]) -> dict:
    """One library, problem and size, in this process."""
    A, random = operator(problem, shape), torch.Generator().manual_seed(0)
    v = torch.rand(shape, generator=random)
    y = torch.rand(A.out_shape, generator=random)
    MAKERS[library](problem, *small(problem))(None)  # imports, and what is compiled once
    Path("/proc/self/clear_refs").write_text("5")  # the most so far is what there is now
    held = resident("VmHWM")
    step = MAKERS[library](problem, y, v)
    default = step(None)
    peak = resident("VmHWM") - held
    double = NormalSolver.of(A.to(dtype=torch.float64))
    truth = double.prox(RHO, v.double(), y.double())
    B = double.operator
    residual = B.H(B(truth) - y.double()) + RHO * (truth - v.double())
    error = relative(default, truth)
    iterations, found, once = None, error, 0.0
    while found > ENOUGH and (iterations or 0) < MOST and once < LIMIT:
        iterations = 2 * (iterations or 4)
        begin = time.process_time()
        x = step(iterations)
        once = time.process_time() - begin
        before, found = found, relative(x, truth)
        if found == before:  # a closed form
            iterations = None
            break
    taken = min(seconds(lambda: step(iterations)) for _ in range(3))
    return {
        "seconds": taken,
        "error": found,
        "iterations": iterations,
        "default_error": error,
        "videos": peak / v.nbytes if v.nbytes >= LEAST else None,
        "residual_of_truth": float(residual.norm() / (B.H(y.double()) + RHO * v.double()).norm()),
        "method": double.method if library == "ours" else None,
    }


def small(problem: str) -> tuple[Tensor, Tensor]:
    shape = (2, 3, 16, 16)
    return torch.rand(operator(problem, shape).out_shape), torch.rand(shape)


def table(rows: list[dict]) -> str:
    lines = [
        "| size | problem | library | s | by ours | error | iterations | error, defaults | memory, videos |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    order = {library: i for i, library in enumerate(MAKERS)}
    rows = sorted(
        rows,
        key=lambda r: (math.prod(map(int, r["size"].split("x"))), PROBLEMS.index(r["problem"]), order[r["library"]]),
    )
    own = {(row["size"], row["problem"]): row["seconds"] for row in rows if row["library"] == "ours"}
    for row in rows:
        if row["seconds"] is None:
            lines.append(f"| {row['size'].replace('x', '×')} | {row['problem']} | {row['library']} |" + " – |" * 6)
            continue
        size, ratio = row["size"].replace("x", "×"), row["seconds"] / own[row["size"], row["problem"]]
        memory = "–" if row["videos"] is None else f"{row['videos']:.1f}"
        iterations = "–" if row["iterations"] is None else str(row["iterations"])
        lines.append(
            f"| {size} | {row['problem']} | {row['library']} | {row['seconds']:.2g} | {ratio:.1f} "
            f"| {row['error']:.0e} | {iterations} | {row['default_error']:.0e} | {memory} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=SIZES)
    parser.add_argument("--problems", default=",".join(PROBLEMS))
    parser.add_argument("--libraries", default=LIBRARIES, help="a part of these")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/data_steps.json"))
    parser.add_argument("--markdown", type=Path, help="a page with the table between its markers")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    warnings.simplefilter("ignore")
    if args.one:
        with torch.no_grad():
            print(json.dumps(measure(args.libraries, args.problems, tuple(map(int, args.sizes.split("x"))))))
        return
    rows = json.loads(args.json.read_text())["data_steps"] if args.json.exists() else []
    for size in args.sizes.split(","):
        for problem in args.problems.split(","):
            for library in args.libraries.split(","):
                alone = [sys.executable, __file__, "--one", "--sizes", size, "--problems", problem]
                done = subprocess.run([*alone, "--libraries", library], capture_output=True, text=True)
                failed = {"seconds": None, "why": done.stderr.strip().rpartition("\n")[2]}
                cell = failed if done.returncode else json.loads(done.stdout.splitlines()[-1])
                row = {"size": size, "problem": problem, "library": library, **cell}
                rows[:] = [r for r in rows if any(r[key] != row[key] for key in ("size", "problem", "library"))] + [row]
                print(row, flush=True)
                save(args.json, {"data_steps": rows})
    print(table(rows))
    if args.markdown:
        between(args.markdown, "data steps", table(rows))
    print(machine())


if __name__ == "__main__":
    main()
