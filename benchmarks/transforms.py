"""Orthonormal transforms against the FFT, PyWavelets and ptwt, in turns, on one thread: processor time and memory.

ptwt is left out where it is not installed; it transforms the axes of a volume, so it is given only those rows.

    OMP_NUM_THREADS=1 python benchmarks/transforms.py --markdown docs/peers.md
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pywt
import torch
from record import between, machine, save

from linops_video import Cosine, Fourier, LinearOperator, Wavelet, random_hadamard

ptwt: Any = importlib.import_module("ptwt") if importlib.util.find_spec("ptwt") else None

RESULTS = Path(__file__).parent / "results" / "transforms.json"


def in_turns(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The median processor time of each, in milliseconds, of calls made one after the other in every round."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(repeats + 2):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if round_ >= 2:
                times[name].append(1000 * (time.process_time() - start))
    return {name: float(torch.tensor(values).median()) for name, values in times.items()}


def memory(call: Callable[[], object]) -> int:
    """The most bytes of tensors that are alive at one time during a call, those it is given not counted."""
    with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        call()
    inner: Any = profile.profiler
    events = [e for e in inner.kineto_results.events() if e.name() == "[memory]"]
    changes = torch.tensor([e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())])
    return int(changes.cumsum(0).max())


def compressive_sensing(shape: tuple[int, ...]) -> tuple[float, float]:
    """What A x and Aᴴ y take at 10 % in sizes of the video: x, y, the numbers that A stores, and everything between."""
    x, A = torch.rand(shape), random_hadamard(math.prod(shape) // 10, shape)
    y, size = A(x), x.numel() * x.element_size()
    held = sum(t.numel() * t.element_size() for t, _ in A._tensors()) + y.numel() * y.element_size() + size
    return (held + memory(lambda: A(x))) / size, (held + memory(lambda: A.H(y))) / size


def of_peers(name: str, W: Wavelet, x: torch.Tensor) -> dict[str, Callable[[], object]]:
    """The same transform and its inverse by PyWavelets and, of three axes, by ptwt."""
    levels, wavelet = W.levels if isinstance(W.levels, tuple) else (W.levels,), W.wavelet
    axes, depth = [axis for axis, n in enumerate(levels) if n], max(levels)
    array, coefficients = x.numpy(), pywt.wavedecn(x.numpy(), wavelet, "periodization", depth, axes)
    calls: dict[str, Callable[[], object]] = {
        name + ", PyWavelets": lambda: pywt.wavedecn(array, wavelet, "periodization", depth, axes),
        name + ", adjoint, PyWavelets": lambda: pywt.waverecn(coefficients, wavelet, "periodization", axes),
    }
    if len(axes) == 3 and ptwt is not None:
        planes = x.movedim(1, 0).contiguous()  # it transforms the last three axes
        volumes = ptwt.wavedec3(planes, wavelet, mode="periodic", level=depth)
        calls[name + ", ptwt"] = lambda: ptwt.wavedec3(planes, wavelet, mode="periodic", level=depth)
        calls[name + ", adjoint, ptwt"] = lambda: ptwt.waverec3(volumes, wavelet)
    return calls


def wavelet_table(times: dict[str, float], wavelets: list[str]) -> str:
    """Markdown: a transform and its inverse a row, and the faster one of the peers by ours."""
    lines = ["| transform |  | PyWavelets, ms | ptwt, ms | ours, ms | the faster one / ours |"]
    lines += ["| --- | --- | ---: | ---: | ---: | ---: |"]
    for name in wavelets:
        for way, key in (("apply", name), ("inverse", f"{name}, adjoint")):
            peers = [times.get(f"{key}, {peer}") for peer in ("PyWavelets", "ptwt")]
            cells = ["–" if t is None else f"{t:.1f}" for t in (*peers, times[key])]
            fastest = min(t for t in peers if t is not None)
            lines.append(f"| {name} | {way} | {' | '.join(cells)} | {fastest / times[key]:.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=4, default=[16, 3, 256, 256])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--markdown", type=Path, help="a page with the table of wavelets between its markers")
    args = parser.parse_args()
    torch.set_num_threads(1)
    shape = tuple(args.shape)
    forward, backward = compressive_sensing(shape)
    print(machine())
    print(f"memory of the random Hadamard transform at 10 %: {forward:.1f} videos, adjoint {backward:.1f}")

    x = torch.rand(shape)
    operators: dict[str, LinearOperator] = {
        "random Hadamard, 10 %": random_hadamard(math.prod(shape) // 10, shape),
        "cosine, T H W": Cosine((0, 2, 3), shape),
        "Fourier, T C H W": Fourier((0, 1, 2, 3), shape),
        "haar, 1 level": Wavelet(shape, "haar", (1, 0, 1, 1)),
        "haar, 3 levels": Wavelet(shape, "haar", (3, 0, 3, 3)),
        "db4, 1 level": Wavelet(shape, "db4", (1, 0, 1, 1)),
        "db4, 2 levels": Wavelet(shape, "db4", (2, 0, 2, 2)),
        "db4, 2 levels in space": Wavelet(shape, "db4", (0, 0, 2, 2)),
    }
    calls: dict[str, Callable[[], object]] = {"rfftn": lambda: torch.fft.rfftn(x)}
    for name, A in operators.items():
        y = A(x)
        calls[name] = lambda A=A: A(x)
        calls[name + ", adjoint"] = lambda A=A, y=y: A.H(y)
        if isinstance(A, Wavelet):
            calls |= of_peers(name, A, x)
    times = in_turns(calls, args.repeats)
    for name, value in times.items():
        print(f"{name:<36}{value:8.1f} ms   {value / times['rfftn']:6.2f} × rfftn")
    if args.markdown:
        wavelets = [name for name, A in operators.items() if isinstance(A, Wavelet)]
        between(args.markdown, "wavelets", wavelet_table(times, wavelets))
    save(RESULTS, {"shape": shape, "memory in videos": [forward, backward], "milliseconds": times})


if __name__ == "__main__":
    main()
