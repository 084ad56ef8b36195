"""Against peers: deepinv's and PyLops' operators, `torch.clone`, `torch.fft.rfftn`, and the time to import torch.

Everything in turns in one process, round after round: first theirs, then ours. A ratio is the median over the rounds of
theirs by ours of the same round, so that what slows the machine for a while slows both. Times are processor time of one
thread, which leaves out what other programs take. float32. Errors are against the same solve in float64, whose own
residual is printed with them.

deepinv and PyLops are asked for nothing but their documented calls, with their defaults; blurs are deepinv's own
`gaussian_blur`. They are not dependencies of this benchmark: what is not installed is left out.

    OMP_NUM_THREADS=1 python benchmarks/peers.py --json benchmarks/results/peers.json --markdown docs/peers.md
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from record import between, resident, save, seconds
from torch import Tensor

from linops_video import AxisMatrix, BoxMean, Convolution, Diagonal, Difference, LinearOperator, NormalSolver, Select
from linops_video.operators.select import decimate

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
from optional import import_deepinv

ROUNDS, BUDGET = 15, 10.0
IMAGES = (8, 3, 256, 256)
PLANES = (16, 256, 256)
VIDEOS = (32, 3, 720, 1280)
Job = Callable[[], object]


def turns(theirs: Job, ours: Job) -> dict[str, float]:
    """Median processor seconds of each, and the median ratio theirs / ours; the first round does not count.

    As many rounds as `ROUNDS`, but no more than `BUDGET` seconds of them after the third.
    """
    seconds(theirs), seconds(ours)
    times, end = [], time.perf_counter() + BUDGET
    while len(times) < 3 or (len(times) < ROUNDS and time.perf_counter() < end):
        times.append((seconds(theirs), seconds(ours)))
    return {
        "rounds": len(times),
        "theirs": statistics.median(a for a, _ in times),
        "ours": statistics.median(b for _, b in times),
        "ratio": statistics.median(a / b for a, b in times),
    }


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def gaussian(size: int, sigma: float) -> Tensor:
    """A kernel of sum 1, turned a little off symmetric so that a flipped kernel would be noticed."""
    line = torch.exp(-0.5 * ((torch.arange(size) - size // 2) / sigma) ** 2)
    kernel = line.unsqueeze(1) * line * (1 + 0.1 * torch.arange(size) / size)
    return kernel / kernel.sum()


def relative(x: Tensor, truth: Tensor) -> float:
    return float(torch.linalg.vector_norm(x.double() - truth) / torch.linalg.vector_norm(truth))


# --- deepinv


def against_deepinv() -> Iterator[dict]:
    """`prox_l2` on 8 images of 3×256×256: argmin_x γ/2 ‖A x − y‖² + ½ ‖x − z‖²."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _deepinv_cases():
            for gamma in (1.0, 1000.0):
                yield _deepinv_row(name, gamma)


def _deepinv_cases() -> dict[str, tuple[Callable[[], object], LinearOperator]]:
    """Name -> their physics and our operator."""
    physics = import_deepinv().physics
    event, gaussian_blur = IMAGES[1:], physics.functional.blur.gaussian_blur
    first, second = (gaussian_blur(sigma=(sigma, sigma))[0, 0] for sigma in (2.0, 1.0))  # 15×15 and 9×9
    mask = (random(*event, seed=1) > 0).float()

    def blur(kernel: Tensor, factor: int = 0) -> object:
        filter = kernel[None, None]
        if factor:
            return physics.Downsampling(img_size=event, filter=filter, factor=factor, padding="circular")
        return physics.Blur(filter=filter, padding="circular")

    def decimation() -> object:
        return physics.Downsampling(img_size=event, filter=None, factor=2)

    A, B = Convolution(first, event, "circular"), Convolution(second, event, "circular")
    # 2×2 in the corner of 3×3: their adjoint takes no kernel of an even size
    box = torch.nn.functional.pad(torch.full((2, 2), 0.25), (0, 1, 0, 1))
    return {
        "Downsampling(circular), closed form": (lambda: blur(first, 2), decimate(2, event) @ A),
        "circular @ circular": (lambda: physics.forward.compose(blur(first), blur(second)), B @ A),
        "decimate @ circular": (lambda: physics.forward.compose(blur(first), decimation()), decimate(2, event) @ A),
        "sr @ mask": (
            lambda: physics.forward.compose(physics.Inpainting(event, mask=mask), blur(box, 2)),
            BoxMean(2, event) @ Diagonal(mask, event),
        ),
    }


def _deepinv_row(name: str, gamma: float) -> dict:
    make, A = _deepinv_cases()[name]
    physics: object = make()
    x, z = random(*IMAGES, seed=2), random(*IMAGES, seed=3)
    y = A(x)
    normal = NormalSolver.of(A)
    double = NormalSolver.of(A.to(dtype=torch.float64))
    truth = double.prox(1 / gamma, z.double(), y.double())
    B = double.operator
    slope = B.H(B(truth) - y.double()) + (truth - z.double()) / gamma
    times = turns(lambda: physics.prox_l2(z, y, gamma), lambda: normal.prox(1 / gamma, z, y))  # type: ignore[attr-defined]
    return {
        "operator": name,
        "gamma": gamma,
        "inverse": normal.method,
        **times,
        "error_theirs": relative(physics.prox_l2(z, y, gamma), truth),  # type: ignore[attr-defined]
        "error_ours": relative(normal.prox(1 / gamma, z, y), truth),
        "error_of_rounding": relative(truth.float(), truth),
        "residual_of_truth": float(slope.norm() / (B.H(y.double()) + z.double() / gamma).norm()),
        "same_operator_to": relative(physics.A(x), y.double()),  # type: ignore[attr-defined]
    }


# --- PyLops


def against_pylops() -> Iterator[dict]:
    """Apply and adjoint on 16×256×256, one after the other's data, NumPy arrays for them and tensors for us."""
    import pylops
    from pylops.signalprocessing import ConvolveND

    kernel, mask = gaussian(9, 2.0), (random(*PLANES, seed=1) > 0).float()
    rows, columns = list(range(0, 256, 2)), list(range(0, 256, 2))
    half = (PLANES[0], 128, 256)

    # their default, by FFT; method="direct" takes 200 times as long
    blur = ConvolveND(PLANES, kernel.numpy(), offset=(4, 4), axes=(1, 2), dtype="float32")

    def restrict() -> object:
        first = pylops.Restriction(PLANES, rows, axis=1, dtype="float32")
        return pylops.Restriction(half, columns, axis=2, dtype="float32") @ first

    def derivative(axis: int) -> object:
        return pylops.FirstDerivative(PLANES, axis=axis, kind="forward", dtype="float32")

    cases: list[tuple[str, object, LinearOperator]] = [
        ("mask", pylops.Diagonal(mask.numpy().ravel(), dtype="float32"), Diagonal(mask, PLANES)),
        ("blur 9×9", blur, Convolution(kernel, PLANES, "same")),
        ("every second row and column", restrict(), decimate(2, PLANES)),
        *((f"differences along axis {axis}", derivative(axis), Difference(axis, PLANES)) for axis in range(3)),
    ]
    for name, L, A in cases:
        for way, theirs, ours, shape in (
            ("apply", L.matvec, A, A.in_shape),  # type: ignore[attr-defined]
            ("adjoint", L.rmatvec, A.H, A.out_shape),  # type: ignore[attr-defined]
        ):
            x = random(*shape)
            # their differences keep the size and end with a zero, which the adjoint takes back
            padded = x
            if "differences" in name and way == "adjoint":
                axis = int(name[-1])
                padded = torch.cat((x, torch.zeros_like(x.narrow(axis, 0, 1))), axis)
            array = np.ascontiguousarray(padded.numpy()).ravel()
            expected = torch.from_numpy(np.asarray(theirs(array))).reshape(-1)
            got = ours(x)
            if "differences" in name and way == "apply":
                got = torch.cat((got, torch.zeros_like(got.narrow(int(name[-1]), 0, 1))), int(name[-1]))
            assert expected.dtype == torch.float32
            yield {
                "operator": name,
                "way": way,
                **turns(lambda theirs=theirs, array=array: theirs(array), lambda ours=ours, x=x: ours(x)),
                "difference": relative(got.flatten(), expected.double()),
            }


# --- torch itself


def against_clone() -> Iterator[dict]:
    """Time per byte read and written, as a multiple of that of `torch.clone`, on 32×3×720×1280."""
    x = torch.rand(VIDEOS)
    mask = (torch.rand(VIDEOS) > 0.5).float()
    luma = torch.tensor([[0.299, 0.587, 0.114]])
    cases: dict[str, tuple[LinearOperator, int]] = {
        "mask, one value an entry": (Diagonal(mask, VIDEOS), mask.nbytes),
        "mask, the same for all frames": (Diagonal(mask[:1, :1], VIDEOS), mask[:1, :1].nbytes),
        "grayscale": (AxisMatrix(luma, 1, VIDEOS), 0),
        "every second frame": (Select(tuple(range(0, 32, 2)), 0, VIDEOS), -x.nbytes // 2),  # half is never read
        "sr 2": (BoxMean(2, VIDEOS), 0),
        "sr 4": (BoxMean(4, VIDEOS), 0),
    }
    for name, (A, more) in cases.items():
        y = A(x)
        moved = x.nbytes + y.nbytes + more
        times = turns(x.clone, lambda A=A: A(x))
        yield {
            "operator": name,
            "seconds": times["ours"],
            "clone_seconds": times["theirs"],
            "per_byte": 2 * x.nbytes / moved / times["ratio"],
        }


def against_rfftn() -> Iterator[dict]:
    """The fast transform of compressive sensing at 10 % on 16×3×256×256: time by rfftn's, memory by the video's."""
    from linops_video.operators.hadamard import random_hadamard

    shape = (16, 3, 256, 256)
    x = torch.rand(shape)
    A = random_hadamard(round(0.1 * math.prod(shape)), shape)
    y = A(x)
    alone = subprocess.run([sys.executable, __file__, "--memory"], capture_output=True, text=True, check=True)
    memory = int(alone.stdout) / x.nbytes
    for way, ours in (("apply", lambda: A(x)), ("adjoint", lambda: A.H(y))):
        times = turns(lambda: torch.fft.rfftn(x), ours)
        yield {"way": way, "by_rfftn": 1 / times["ratio"], "seconds": times["ours"], "memory": memory}


def memory_of_the_transform() -> int:
    """Bytes that making the operator and one apply add to the peak, the video's own not counted."""
    from linops_video.operators.hadamard import random_hadamard

    shape = (16, 3, 256, 256)
    x = torch.rand(shape)
    small = (2, 1, 8, 8)
    random_hadamard(10, small)(torch.rand(small))
    Path("/proc/self/clear_refs").write_text("5")  # the peak of the imports does not count (Linux)
    before = resident("VmRSS")
    random_hadamard(round(0.1 * math.prod(shape)), shape)(x)
    return resident("VmHWM") - before


def import_time() -> Iterator[dict]:
    """Processor seconds of a fresh Python that imports torch, and of one that imports linops_video."""
    rows = [(_import_seconds("torch"), _import_seconds("linops_video")) for _ in range(6)][1:]
    yield {
        "torch": statistics.median(a for a, _ in rows),
        "linops_video": statistics.median(b for _, b in rows),
        "ratio": statistics.median(b / a for a, b in rows),
    }


def _import_seconds(module: str) -> float:
    before = os.times()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


# --- report

PARTS: dict[str, Callable[[], Iterator[dict]]] = {
    "deepinv": against_deepinv,
    "pylops": against_pylops,
    "clone": against_clone,
    "rfftn": against_rfftn,
    "import": import_time,
}


def table(rows: list[dict], columns: dict[str, tuple[str, str]]) -> str:
    """Markdown; columns: heading -> key and format."""
    head = "| " + " | ".join(columns) + " |"
    line = "| " + " | ".join("---" if not spec else "---:" for _, spec in columns.values()) + " |"
    body = ["| " + " | ".join(format(row[key], spec) for key, spec in columns.values()) + " |" for row in rows]
    return "\n".join([head, line, *body])


def milliseconds(rows: list[dict]) -> list[dict]:
    return [{**row, **{f"{k}_ms": 1e3 * row[k] for k in ("theirs", "ours", "seconds") if k in row}} for row in rows]


COLUMNS: dict[str, dict[str, tuple[str, str]]] = {
    "deepinv": {
        "operator": ("operator", ""),
        "γ": ("gamma", ".0f"),
        "theirs, ms": ("theirs_ms", ".1f"),
        "ours, ms": ("ours_ms", ".1f"),
        "theirs / ours": ("ratio", ".1f"),
        "their error": ("error_theirs", ".1e"),
        "our error": ("error_ours", ".1e"),
        "rounding": ("error_of_rounding", ".1e"),
        "our inverse": ("inverse", ""),
    },
    "pylops": {
        "operator": ("operator", ""),
        "": ("way", ""),
        "theirs, ms": ("theirs_ms", ".2f"),
        "ours, ms": ("ours_ms", ".2f"),
        "theirs / ours": ("ratio", ".1f"),
    },
    "clone": {"operator": ("operator", ""), "ms": ("seconds_ms", ".0f"), "by clone, per byte": ("per_byte", ".2f")},
    "rfftn": {
        "way": ("way", ""),
        "ms": ("seconds_ms", ".0f"),
        "by rfftn": ("by_rfftn", ".2f"),
        "memory by the video's": ("memory", ".1f"),
    },
    "import": {"torch, s": ("torch", ".2f"), "linops_video, s": ("linops_video", ".2f"), "ratio": ("ratio", ".3f")},
}


def short_of_the_goals(part: str, rows: list[dict]) -> list[str]:
    """What misses the goals that the project has set itself, in words."""
    missed = []
    for row in rows:
        name = " ".join(str(row[key]) for key in ("operator", "gamma", "way") if key in row) or part
        missed += [f"{name}: {what}" for what, misses in failings(part, row).items() if misses]
    if part == "pylops" and statistics.median(row["ratio"] for row in rows) < 2:
        missed.append("PyLops: median below 2")
    return missed


def failings(part: str, row: dict) -> dict[str, bool]:
    """What a row may fall short in -> whether it does."""
    if part == "deepinv" and "closed" in row["operator"]:
        return {"slower": row["ratio"] < 1, "error": row["error_ours"] > 1e-6}
    if part == "deepinv":
        return {
            "less than 10 times faster": row["ratio"] < 10,
            "less than 100 times less error": row["error_theirs"] < 100 * row["error_ours"],
            "float32 allows no less": row["error_theirs"] < 100 * row["error_of_rounding"],
        }
    if part == "pylops":
        return {"slower": row["ratio"] < 1}
    if part == "clone":
        return {"over 3": row["per_byte"] > 3}
    if part == "rfftn":
        return {"over 3": row["by_rfftn"] > 3, "memory over 6": row["memory"] > 6}
    return {"over 1.15": row["ratio"] > 1.15}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="these parts (default: all)")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path, help="a page with the tables between its markers")
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.memory:
        print(memory_of_the_transform())
        return
    results, missed = {}, []
    for part in args.only or PARTS:
        try:
            results[part] = []
            for row in PARTS[part]():
                results[part].append(row)
                print(part, row, file=sys.stderr, flush=True)
        except ImportError as error:
            del results[part]
            print(f"{part} is left out: {error}")
            continue
        missed += short_of_the_goals(part, results[part])
        print(f"\n{part}\n{table(milliseconds(results[part]), COLUMNS[part])}", flush=True)
        if args.markdown:
            between(args.markdown, part, table(milliseconds(results[part]), COLUMNS[part]))
    if args.json:
        save(args.json, results)
    print("\nshort of the goals: " + ("; ".join(missed) or "none"))


if __name__ == "__main__":
    main()
