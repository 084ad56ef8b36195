"""Set-up and 13 data steps: the structured inverse against a dense one.

For every problem of the table, in turns in one run, float32, processor time of one thread, which leaves out what other
programs take:

- ours: `NormalSolver.of(A)`, then 13 times `normal.prox`;
- pinv, the paper's way: the pseudoinverse of [A; √ρ I], then 13 times a product with it (numpy's where torch's SVD does
  not converge, which happens to tdd: its singular values are repeated many times);
- Cholesky: of AᵀA + ρI, then 13 times a triangular solve.

The dense ways get the matrix of A as a gift: building it is not counted. A dense way that takes longer than `--limit`
seconds is stopped, and its ratio is a lower bound (≥). Memory is the growth of the peak resident size in a process of
its own, in MB, the matrix of A included where the way needs one.

With `--json`, each row is kept as it is measured, and a run that was stopped goes on with the next one.

    OMP_NUM_THREADS=1 python benchmarks/speed.py --json benchmarks/results/speed.json --markdown docs/speed.md
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from record import between, write

from linops_video import PROBLEMS, LinearOperator, NormalSolver, forward_model

RHO, STEPS = 0.3, 13
SMALL, LARGE = (4, 3, 16, 16), (4, 3, 32, 32)
CASES = [(name, SMALL) for name in PROBLEMS if name != "denoise"] + [(name, LARGE) for name in ("sr2", "dd", "cs")]
CHEAP = {"pid", "bi", "si", "sr2", "sr4", "color", "fi2", "fi4", "fp25", "fp50", "fp75"}
"""Masks, super resolution, grayscale, frames: to be 1000 and 100 times as fast as dense ways; others 50 and 3."""


def ours(A: LinearOperator, v: torch.Tensor, y: torch.Tensor) -> None:
    normal = NormalSolver.of(A)
    for _ in range(STEPS):
        v = normal.prox(RHO, v, y)


def by_pinv(M: torch.Tensor, v: torch.Tensor, y: torch.Tensor, pinv: Callable = torch.linalg.pinv) -> None:
    inverse = pinv(torch.cat([M, math.sqrt(RHO) * torch.eye(M.shape[1])]))
    z, flat = v.flatten(), y.flatten()
    for _ in range(STEPS):
        z = inverse @ torch.cat([flat, math.sqrt(RHO) * z])


def by_cholesky(M: torch.Tensor, v: torch.Tensor, y: torch.Tensor) -> None:
    factor = torch.linalg.cholesky(M.T @ M + RHO * torch.eye(M.shape[1]))
    z, flat = v.flatten(), y.flatten()
    for _ in range(STEPS):
        z = torch.cholesky_solve((M.T @ flat + RHO * z).unsqueeze(1), factor).squeeze(1)


WAYS: dict[str, Callable[..., None]] = {"ours": ours, "pinv": by_pinv, "cholesky": by_cholesky}


def seconds(way: str, name: str, shape: tuple[int, ...], limit: int) -> tuple[float, float]:
    """Seconds of one run, and the growth of the peak resident size in MB; after `limit` seconds the system ends it."""
    torch.set_num_threads(1)
    A = forward_model(name, shape).operator
    generator = torch.Generator().manual_seed(0)
    v, y = torch.randn(shape, generator=generator), torch.randn(A.out_shape, generator=generator)
    for first in ("sr2", "dd"):  # what torch loads for the first product, convolution or factorisation is not A's
        B = forward_model(first, (2, 3, 8, 8)).operator
        NormalSolver.of(B).prox(RHO, torch.zeros(B.in_shape), torch.zeros(B.out_shape))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    given = A if way == "ours" else A.to_dense(torch.float32)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + limit, resource.RLIM_INFINITY))
    clock, times = time.thread_time, []  # under a limit, Linux counts the time of the process in ticks only
    for _ in range(3 if way == "ours" else 1):
        start = clock()
        try:
            WAYS[way](given, v, y)
        except torch.linalg.LinAlgError:
            start = clock()
            by_pinv(given, v, y, lambda stacked: torch.from_numpy(np.linalg.pinv(stacked.numpy())))
        times.append(clock() - start)
    return statistics.median(times), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def measure(way: str, name: str, shape: tuple[int, ...], limit: int) -> dict[str, float | bool | None]:
    """`seconds` in a process of its own; stopped at the limit."""
    command = [sys.executable, __file__, "--one", way, name, ",".join(map(str, shape)), "--limit", str(limit)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == -signal.SIGXCPU:
        return {"seconds": limit, "megabytes": None, "stopped": True}
    done.check_returncode()
    took, megabytes = json.loads(done.stdout)
    return {"seconds": took, "megabytes": megabytes, "stopped": False}


def table(rows: list[dict]) -> str:
    head = "| problem | video | inverse | ours, ms | pinv / ours | Cholesky / ours | MB: ours | pinv | Cholesky |\n"
    lines = [head + "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for row in rows:
        cells = [row["problem"], "×".join(map(str, row["shape"])), row["method"], f"{1e3 * row['ours']['seconds']:.2f}"]
        base = row["ours"]["seconds"]
        cells += [
            ("≥ " if row[w]["stopped"] else "") + f"{row[w]['seconds'] / base:,.0f}" for w in ("pinv", "cholesky")
        ]
        cells += ["–" if row[w]["stopped"] else f"{row[w]['megabytes']:,.0f}" for w in WAYS]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=180, help="seconds after which a dense way is stopped")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--one", nargs=3, metavar=("WAY", "PROBLEM", "SHAPE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        way, name, shape = args.one
        print(json.dumps(seconds(way, name, tuple(map(int, shape.split(","))), args.limit)))
        return
    rows = json.loads(args.json.read_text()) if args.json and args.json.exists() else []
    for name, shape in CASES:
        if any((row["problem"], tuple(row["shape"])) == (name, shape) for row in rows):
            continue
        method = NormalSolver.of(forward_model(name, shape).operator).method
        row: dict = {"problem": name, "shape": shape, "method": method}
        row.update({way: measure(way, name, shape, args.limit) for way in WAYS})
        rows.append(row)
        print(table([row]).splitlines()[-1], flush=True)
        if args.json:
            write(args.json, json.dumps(rows, indent=1) + "\n")
    short = []
    for row in rows:
        goals = {"pinv": 1000, "cholesky": 100} if row["problem"] in CHEAP else {"pinv": 50, "cholesky": 3}
        short += [
            f"{row['problem']} {w}" for w, goal in goals.items() if row[w]["seconds"] < goal * row["ours"]["seconds"]
        ]
    if args.markdown:
        between(args.markdown, "table", table(rows))
    print("short of the goals: " + (", ".join(short) or "none"))


if __name__ == "__main__":
    main()
