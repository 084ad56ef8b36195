"""One training step of the paper's full-size network: this library against a plain transcription of the paper.

    python benchmarks/training_step.py --json benchmarks/results/training_step.json

VideoOneNet BCRNN for Rotated MNIST: 64 filters, 13 iterations, 8 videos of 9×1×14×14, each with a fresh operator of its
own, float32; forward, backward and one step of Adam. The transcription (`tests/paper_twin.py`) has dense matrices, the
pseudoinverses of A and [A; √ρ I], and Python loops; making its dense matrices is not counted. Every figure comes from a
process of its own, in turns. Seconds are those of the processor, so that others on the machine count little; the best
round stands. Memory: the peak of the process above what it held before the step's operators were made.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from record import machine, save

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import paper_twin

from linops_video import InverseProblem, NormalSolver, forward_model
from linops_video.batch import Ragged, batch
from linops_video.solvers.learned.form import paper_config
from linops_video.solvers.learned.objective import mse
from linops_video.solvers.learned.unrolled import Unrolled

SHAPE = (9, 1, 14, 14)
PROBLEMS = ("pid", "sr2", "cs", "vcs", "dd", "tdd", "md", "fi2")
"""One a video: every kind of operator of Table 1 (masks, box means, dense, blurs in space and time, frames)."""

Step = tuple[Callable[[], Any], Callable[[Any], torch.Tensor]]
"""Set-up, and forward pass from what it made."""


def problems() -> tuple[torch.Tensor, list[InverseProblem]]:
    truth = torch.rand(len(PROBLEMS), *SHAPE, generator=torch.Generator().manual_seed(0))
    posed = [forward_model(n, SHAPE, i).measure(x, i) for i, (n, x) in enumerate(zip(PROBLEMS, truth, strict=True))]
    return truth, posed


def plain(network: Unrolled, posed: list[InverseProblem]) -> Step:
    matrices = [p.operator.to_dense(torch.float32) for p in posed]
    y = [p.y.reshape(-1) for p in posed]
    weights = dict(network.named_parameters())

    def forward(ready: Any) -> torch.Tensor:
        return paper_twin.reconstruct(weights, True, 13, 0.3, matrices, y, ready, SHAPE)

    return lambda: paper_twin.inverses(matrices, 0.3), forward


def ours(network: Unrolled, posed: list[InverseProblem]) -> Step:
    operator = batch([p.operator for p in posed])
    problem = InverseProblem(operator, Ragged(p.y for p in posed))

    def set_up() -> NormalSolver:
        normal = NormalSolver.of(operator)
        normal.prox(0.3, normal.pinv(problem.y), problem.y)  # what is put off until it is needed is set-up too
        return normal

    return set_up, lambda normal: network(problem, normal)


def measure(kind: str, steps: int) -> dict[str, float]:
    """Seconds of set-up and of the rest of a step, and the peak memory, in this process."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    network = Unrolled(paper_config())
    network.checkpointing = "checkpointing" in kind
    network.network_dtype = torch.bfloat16 if "bfloat16" in kind else None
    for part in (*network.prior, *network.data) if kind == "compile" else ():
        part.compile()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, betas=(0.0, 0.9))
    truth, posed = problems()
    set_up, forward = (plain if kind == "plain" else ours)(network, posed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    ready = set_up()
    middle = time.process_time()
    rest = []
    for _ in range(steps):
        start = time.process_time()
        optimizer.zero_grad(set_to_none=True)
        loss = mse(forward(ready), truth)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        rest.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"set_up": middle - began, "rest": min(rest), "mebibytes": peak / 1024, "loss": loss.item()}


KINDS = {
    "plain": "plain transcription",
    "ours": "ours",
    "checkpointing": "ours, activation checkpointing",
    "bfloat16": "ours, networks in bfloat16",
    "compile": "ours, networks compiled by torch",
}


def table(results: dict[str, dict[str, float]]) -> str:
    base = results["plain"]
    lines = [
        "| one training step, 8 videos | set-up of 8 operators, s | the rest, s | whole step, s | of plain | "
        "the rest, of plain | peak memory, MiB | of plain |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, r in results.items():
        whole, base_whole = r["set_up"] + r["rest"], base["set_up"] + base["rest"]
        lines.append(
            f"| {KINDS[kind]} | {r['set_up']:.2f} | {r['rest']:.2f} | {whole:.2f} | {whole / base_whole:.3f} | "
            f"{r['rest'] / base['rest']:.2f} | {r['mebibytes']:.0f} | {r['mebibytes'] / base['mebibytes']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2, help="steps in a process, of which the fastest counts")
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument("--markdown", type=Path, help="write the table there")
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile too, which takes minutes at its first step"
    )
    parser.add_argument("--kind", choices=list(KINDS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.kind:
        print(json.dumps(measure(args.kind, args.steps)))
        return
    torch.set_num_threads(1)
    results: dict[str, dict[str, float]] = {}
    for _ in range(args.rounds):
        for kind in [k for k in KINDS if args.compile or k != "compile"]:
            words = [sys.executable, __file__, "--kind", kind, "--steps", str(args.steps)]
            found = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
            print(KINDS[kind], {name: round(value, 4) for name, value in found.items()}, flush=True)
            best = results.setdefault(kind, found)
            results[kind] = {name: min(best[name], found[name]) for name in found}
    text = table(results)
    print(text)
    if args.json:
        save(args.json, {"results": results})
    if args.markdown:
        args.markdown.write_text(f"{text}\nMachine: {machine()}; seconds of one core's time.\n")


if __name__ == "__main__":
    main()
