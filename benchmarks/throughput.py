"""Frames per second of each solver at 240p, 480p and 1080p, and the share of what the processor can do.

    python benchmarks/throughput.py CLIP --json throughput.json --markdown throughput.md

Solved as `linops-video solve` does: in tiles, in the precision that is fast here, in memory that is used again.
Operations are those of matrix products and convolutions (`torch.utils.flop_counter`), a multiply-add counted as two;
bytes are those of all tensors that each call of torch reads and writes, views left out. Both are set beside what one
large matrix product (in the solver's precision) and one large copy reach in the same run. Processor time on one thread,
the best of two.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from films import SIZES
from record import machine, save, seconds
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from linops_video import forward_model
from linops_video.films.heap import reuse_freed_memory
from linops_video.media.video import read_video
from linops_video.metrics import psnr
from linops_video.solvers.registry import build, fast_fields
from linops_video.solvers.tiles import run_in_tiles

SOLVERS: dict[str, tuple[str, dict[str, str]]] = {
    "videoonet": ("videoonet", {}),
    "videoonet-fast": ("videoonet", {"weights": "videoonet-fast"}),
    "onenet": ("onenet", {}),
    "admm-tv": ("admm-tv", {}),
}


class Bytes(TorchDispatchMode):
    """Adds up the bytes of the tensors that operations read and write; those that return views move none."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        read = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        storages = {t.untyped_storage().data_ptr() for t in read}
        written = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        new = any(t.untyped_storage().data_ptr() not in storages for t in written)
        if func._schema.is_mutable or (new and "empty" not in func.name()):
            self.total += sum(t.numel() * t.element_size() for t in (*read, *written))
        return result


def faster(work: Callable[[], Any]) -> float:
    """Processor time of the faster of two calls."""
    return min(seconds(work), seconds(work))


def reached(dtype: torch.dtype) -> dict[str, float]:
    """Operations a second of a 2048×2048 product, and bytes a second of a copy of 256 MB."""
    a, b = torch.rand(2, 2048, 2048).to(dtype)
    source, target = torch.rand(2, 2**25)
    torch.mm(a, b)  # the first one sets up
    return {
        "operations": 2 * 2048**3 / faster(lambda: torch.mm(a, b)),
        "bytes": 2**28 / faster(lambda: target.copy_(source)),
    }


def measure(clip: Tensor, op: str, solver: str, weights: dict[str, str]) -> dict[str, float]:
    problem = forward_model(op, tuple(clip.shape)).measure(clip)
    fields = {**fast_fields(solver, "cpu"), **weights}
    ready = build(problem, solver, **fields)
    with FlopCounterMode(display=False) as flops, Bytes() as moved:
        x = run_in_tiles(ready, problem).x
    taken = faster(lambda: run_in_tiles(ready, problem))
    can = reached(torch.bfloat16 if fields.get("precision") == "bfloat16" else torch.float32)
    return {
        "psnr": float(psnr(x, clip)),
        "frames_per_second": len(clip) / taken,
        "gflop_per_frame": flops.get_total_flops() / len(clip) / 1e9,
        "share_of_operations": flops.get_total_flops() / taken / can["operations"],
        "gbyte_per_frame": moved.total / len(clip) / 1e9,
        "share_of_bytes": moved.total / taken / can["bytes"],
    }


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    lines = [
        "| solver | output | frames/s | 10⁹ operations a frame | share of a matrix product's rate | GB a frame | "
        "share of a copy's rate |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for solver in (name for name in SOLVERS if name in results):
        for size, r in results[solver].items():
            lines.append(
                f"| `{solver}` | {size} | {r['frames_per_second']:.3g} "
                f"| {r['gflop_per_frame']:.1f} | {100 * r['share_of_operations']:.0f} % "
                f"| {r['gbyte_per_frame']:.1f} | {100 * r['share_of_bytes']:.0f} % |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--op", default="sr4")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--solvers", nargs="*", default=[*SOLVERS], choices=SOLVERS, help="the others' rows are kept")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    reuse_freed_memory()
    frames = read_video(arguments.clip, arguments.frames).frames
    results: dict[str, dict[str, dict[str, float]]] = {}
    if arguments.json and arguments.json.exists():
        results = json.loads(arguments.json.read_text())["results"]
    for solver in arguments.solvers:
        for name, size in SIZES.items():
            clip = F.interpolate(frames, size, mode="bicubic").clamp(0, 1)
            results.setdefault(solver, {})[name] = measure(clip, arguments.op, *SOLVERS[solver])
            print(solver, name, results[solver][name], flush=True)
            if arguments.json:
                save(arguments.json, {"op": arguments.op, "frames": arguments.frames, "results": results})
    text = f"`{arguments.op}`, {arguments.frames} frames, `{machine()}`.\n\n{table(results)}"
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text)


if __name__ == "__main__":
    main()
