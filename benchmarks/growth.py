"""How time and memory of a total-variation solver grow with pixels and frames, beside other libraries.

    python benchmarks/growth.py
    python benchmarks/growth.py --sizes 4x3x32x32,32x3x1080x1920 --methods primal-dual,scico

Means over 4×4 boxes of random numbers, float32, one thread, each method and size in a process of its own, one after
another. Two iterations set everything up (JAX compiles in them); those after them are timed, in processor time. Memory
is what the process peaks at, set-up and start included, above what it held with the measurement alone, in videos of
that size; below `LEAST` it is a matter of pages and left out. The methods are those of `benchmarks/total_variation.py`.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import torch
from record import machine, resident, save
from total_variation import NOISE_STD, OURS, PRIOR, RELAXATION, Method, available, ours

from linops_video import BoxMean, InverseProblem

SIZES = "4x3x32x32,8x3x64x64,8x3x128x128,8x3x256x256,32x3x256x256,32x3x480x856,32x3x1080x1920"
METHODS = "admm,primal-dual,primal-dual-fft,deepinv,pyproximal,scico"
LEAST = 20e6
"""Bytes of a video from which its memory is told apart from that of Python."""
WORK = 1e8
"""Entries that an iteration has, times the iterations that are timed; at least two are."""

Cell = dict[str, float | None]
"""What `measure` gives, by name."""


def methods(wanted: str) -> dict[str, Method]:
    """Our own solvers, and the peers that are installed, by name."""
    own = {name: ours(kind(PRIOR, relaxation=RELAXATION)) for name, kind in OURS.items() if name in wanted.split(",")}
    return own | available(1.6, wanted)


def measure(name: str, shape: tuple[int, ...]) -> Cell:
    """Nanoseconds an entry and iteration, and videos of memory, of one method in this process."""
    entries = math.prod(shape)
    (method,) = methods(name).values()
    operator = BoxMean(4, shape)
    y = torch.rand(operator.out_shape, generator=torch.Generator().manual_seed(0))
    problem = InverseProblem(operator, y, NOISE_STD)
    Path("/proc/self/clear_refs").write_text("5")  # the most so far is what there is now
    before = resident("VmHWM")
    iterates = method(problem)
    for _ in islice(iterates, 2):
        pass
    count = max(2, min(200, round(WORK / entries)))
    begin = time.process_time()
    for _ in islice(iterates, count):
        pass
    taken = time.process_time() - begin
    memory = (resident("VmHWM") - before) / (4 * entries) if 4 * entries >= LEAST else None
    return {"nanoseconds": taken / count / entries * 1e9, "videos": memory}


def table(rows: dict[str, dict[str, Cell]]) -> str:
    """Rows by method, columns by size: nanoseconds, and videos of memory in brackets."""
    sizes = list(next(iter(rows.values())))
    heads = ["ns an entry and iteration (memory, in videos)", *(size.replace("x", "×") for size in sizes)]
    lines = ["| " + " | ".join(heads) + " |", "| --- |" + " ---: |" * len(sizes)]
    for name, cells in rows.items():
        shown = []
        for size in sizes:
            value, memory = cells[size]["nanoseconds"], cells[size]["videos"]
            text = "–" if value is None else f"{value:.1f}"
            shown.append(text if memory is None else f"{text} ({memory:.1f})")
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=SIZES)
    parser.add_argument("--methods", default=METHODS, help="a part of these")
    parser.add_argument("--one", action="store_true", help="the one method and size given, here, as JSON")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/growth.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if args.one:
        with torch.no_grad():
            print(json.dumps(measure(args.methods, tuple(map(int, args.sizes.split("x"))))))
        return
    rows: dict[str, dict[str, Cell]] = {}
    for size in args.sizes.split(","):
        for name in args.methods.split(","):
            alone = [sys.executable, __file__, "--one", "--sizes", size, "--methods", name]
            done = subprocess.run(alone, capture_output=True, text=True)
            failed: Cell = {"nanoseconds": None, "videos": None}
            rows.setdefault(name, {})[size] = failed if done.returncode else json.loads(done.stdout.splitlines()[-1])
            print(name, size, rows[name][size], done.stderr[-200:] if done.returncode else "", flush=True)
            save(args.json, {"growth": rows})
    print(table(rows))
    print(machine())


if __name__ == "__main__":
    main()
