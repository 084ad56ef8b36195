"""Films: seams, time per pixel, memory, a killed run, two processes, threads, and how much faster the network runs.

    python benchmarks/films.py seams FILM            windows and tiles against the same clip in one piece
    python benchmarks/films.py scale FILM            processor time per pixel at 240p, 480p and 1080p
    python benchmarks/films.py memory FILM           peak memory for 64 and for 256 frames, two processes at once
    python benchmarks/films.py kill FILM             kill -9 in the middle of 256 frames, then the same command again
    python benchmarks/films.py processes FILM        8 files by 1 and by 2 processes of torchrun, one thread each
    python benchmarks/films.py threads FILM          reading ahead and writing behind, against one after another
    python benchmarks/films.py reuse FILM            freed memory used again, against handed back to the system
    python benchmarks/films.py network FILM          the network as `solve` runs it, against eager float32

FILM is any video file; the numbers in docs/films.md are for one of 960×540. One thread. `--json FILE` adds the
results to a file under the name of the measurement. Times are processor times, which a busy machine changes less than
those of the clock; `processes` takes the clock, and `threads` both.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stdout, suppress
from pathlib import Path
from unittest.mock import patch

import torch
import torch.nn.functional as F
from record import COMMAND, COMMIT, machine, seconds, write
from torch import Tensor

from linops_video import forward_model
from linops_video.cli import main as command
from linops_video.films.film import Source, simulated_film
from linops_video.media.video import read_video, stream_video, write_video
from linops_video.metrics import psnr
from linops_video.solvers import run
from linops_video.solvers.film import solve_film, windows_of
from linops_video.solvers.registry import build, fast_fields
from linops_video.solvers.tiles import run_in_tiles, tiles_of

SOLVERS = ("admm-tv", "videoonet")
SIZES = {"240p": (240, 424), "480p": (480, 848), "1080p": (1080, 1920)}
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
CLI = [sys.executable, "-m", "linops_video.cli", "solve"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    measurements = {f.__name__: f for f in (seams, scale, memory, kill, processes, threads, reuse, network)}
    parser.add_argument("what", choices=measurements)
    parser.add_argument("film", type=Path)
    parser.add_argument("--solver", action="append", help=f"default: {SOLVERS[0]} and {SOLVERS[1]}")
    parser.add_argument("--op", default="sr4")
    counts = (
        "of `seams` (60, a tenth of them for tiles), `scale` (4), `network` (2), `kill` (256), `threads` (104), "
        "`reuse` (48)"
    )
    parser.add_argument("--frames", type=int, help=counts)
    parser.add_argument("--size", choices=SIZES, default="240p", help="of `memory` and `reuse`")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for solver in arguments.solver or SOLVERS:
        more = (arguments.size,) if arguments.what in ("memory", "reuse") else ()
        row = measurements[arguments.what](arguments.film, arguments.op, solver, arguments.frames, *more)
        print(json.dumps(row), flush=True)
        if arguments.json is not None:
            known = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
            name = " ".join((solver, arguments.op, *more))
            known.setdefault(arguments.what, {})[name] = {"machine": machine(), "commit": COMMIT, **row}
            write(arguments.json, json.dumps(known, indent=1) + "\n")


def seams(film: Path, op: str, solver: str, frames: int | None) -> dict:
    """Whole against tiles, then whole against windows (of small frames, which are not tiled)."""
    clip = read_video(film, (frames or 60) // 10).frames
    clip = clip[..., : clip.shape[-2] // 8 * 8, : clip.shape[-1] // 8 * 8]
    problem = forward_model(op, tuple(clip.shape)).measure(clip)
    ready = build(problem, solver)
    rows, columns = tiles_of(*clip.shape[-2:])
    cuts = [(-2, rows), (-1, columns)]
    result = {"tiles": _compare(run(ready, problem).x, run_in_tiles(ready, problem).x, clip, cuts)}
    clip = read_video(film, frames or 60).frames
    clip = F.interpolate(clip, (144, 256), mode="area") if clip.shape[-1] > 300 else clip
    source = Source(lambda: iter(clip), tuple(clip.shape), 25.0, 0.0, ((0,), clip[:1]))
    x = torch.cat([w.frames for w in solve_film(simulated_film(source, op), solver)])
    problem = forward_model(op, tuple(clip.shape)).measure(clip)
    whole = run(build(problem, solver), problem).x
    return result | {"windows": _compare(whole, x, clip, [(-4, windows_of(len(clip)))])}


def _compare(whole: Tensor, parts: Tensor, truth: Tensor, cuts: list) -> dict:
    """PSNR of both; jumps of the error between neighbours, the mean and the largest over a seam, beyond all others."""
    excess = {"mean jump beyond others [1/255]": -1e9, "largest jump beyond others [1/255]": -1e9}
    difference = parts - whole
    added = 0.0
    for dim, spans in cuts:
        seam = sorted({end for a, b in spans for end in (a, b)} - {0, truth.shape[dim]})
        if not seam:
            continue
        for name, reduce in (("mean", torch.mean), ("largest", torch.amax)):
            error = (parts - truth).diff(dim=dim).abs()
            axes = tuple(d for d in range(-4, 0) if d != dim)
            jumps = reduce(error, axes)
            others = [i for i in range(len(jumps)) if i + 1 not in seam]
            at = [s - 1 for s in seam]
            key = f"{name} jump beyond others [1/255]"
            excess[key] = max(excess[key], 255 * float(jumps[at].max() - jumps[others].max()))
        step = difference.diff(dim=dim).abs()
        added = max(added, float(step.index_select(dim, torch.tensor([s - 1 for s in seam])).max()))
    return {
        "shape": list(truth.shape),
        "parts": [len(spans) for _, spans in cuts],
        "whole [dB]": float(psnr(whole, truth)),
        "in parts [dB]": float(psnr(parts, truth)),
        "largest difference to whole [1/255]": 255 * float(difference.abs().max()),
        "largest jump that parts add at a seam [1/255]": 255 * added,
        **excess,
    }


def scale(film: Path, op: str, solver: str, frames: int | None) -> dict:
    frame = read_video(film, frames or 4).frames
    result = {}
    for name, (height, width) in SIZES.items():
        clip = F.interpolate(frame, (height, width), mode="bicubic").clamp(0, 1)
        problem = forward_model(op, tuple(clip.shape)).measure(clip)
        ready = build(problem, solver)
        best = min(seconds(lambda p=problem, r=ready: run_in_tiles(r, p)) for _ in range(2))
        result[name] = 1e6 * best / (len(clip) * height * width)
        print(f"  {solver} {name}: {result[name]:.3f} µs per pixel", file=sys.stderr, flush=True)
    return {"µs per pixel": result, "relative to 240p": {n: t / result["240p"] for n, t in result.items()}}


def _looped(film: Path, frames: int, folder: Path) -> Path:
    """The film, back and forth until it has so many frames."""
    clip = F.interpolate(read_video(film, 60).frames, (144, 176), mode="area")
    path = folder / f"{frames}.mkv"
    write_video(path, clip[_back_and_forth(len(clip), frames)], 25)
    return path


def _back_and_forth(length: int, frames: int) -> list[int]:
    """Numbers of the frames of a clip, to its end and back, until there are so many."""
    return [min(i % (2 * length), 2 * length - 1 - i % (2 * length)) for i in range(frames)]


def memory(film: Path, op: str, solver: str, frames: int | None, size: str = "240p") -> dict:
    """Of a film that was measured: without the truth, with which nothing is compared. `op` measures frames alone. Both
    lengths at the same time, each by a process with one thread: memory does not depend on what else runs.

    VmHWM is of the command alone, where `ru_maxrss` begins at what the process had that started it.
    """
    running, peaks = {}, {}
    with tempfile.TemporaryDirectory() as name:
        for count in (64, 256):
            path = _measured(film, op, count, size, Path(name))
            command = _command(path, op, solver)
            running[str(count)] = subprocess.Popen(command, env=ONE_THREAD, stdout=subprocess.PIPE, text=True)
        for count, process in running.items():
            said, _ = process.communicate()
            if process.returncode:
                raise subprocess.CalledProcessError(process.returncode, process.args)
            peaks[count] = int(said.split()[-1]) / 1024
    return {"size": size, "peak [MB]": peaks, "256 relative to 64": peaks["256"] / peaks["64"]}


def _measured(film: Path, op: str, frames: int, size: str, folder: Path) -> Path:
    """What `op`, which measures frames alone, gives of the film at a size, back and forth until it has the frames."""
    path = folder / f"{frames} measured.mkv"
    clip = F.interpolate(read_video(film, 60).frames, SIZES[size], mode="area")
    measured = torch.cat([forward_model(op, (1, *f.shape)).operator(f[None]) for f in clip])
    write_video(path, measured[_back_and_forth(len(measured), frames)], 25)
    return path


def _command(path: Path, op: str, solver: str, before: str = "") -> list[str]:
    """The command in a process whose last word is the peak of its memory; `before`: what Python is to do first."""
    out = str(path.with_suffix(".out.mkv"))
    return [sys.executable, "-c", before + COMMAND, "solve", str(path), "--op", op, "--solver", solver, "-o", out]


def reuse(film: Path, op: str, solver: str, frames: int | None, size: str = "240p") -> dict:
    """Processor time and peak memory of the command, and of one that leaves the heap as glibc has it; best of 2."""
    ways = {"used again": "", "handed back": "import linops_video.cli.app as a; a.reuse_freed_memory = lambda: None"}
    taken, peaks = {}, {}
    with tempfile.TemporaryDirectory() as name:
        path = _measured(film, op, frames or 48, size, Path(name))
        for way in 2 * list(ways):
            start = _children()
            command = _command(path, op, solver, ways[way])
            said = subprocess.run(command, env=ONE_THREAD, check=True, capture_output=True, text=True).stdout
            taken[way] = min(taken.get(way, float("inf")), _children() - start)
            peaks[way] = max(peaks.get(way, 0.0), int(said.split()[-1]) / 1024)
    return {
        "size": size,
        "seconds": taken,
        "times faster": taken["handed back"] / taken["used again"],
        "peak [MB]": peaks,
    }


def _children() -> float:
    """Processor time of the processes that were started and have ended, the system's for them included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def kill(film: Path, op: str, solver: str, frames: int | None) -> dict:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = _looped(film, frames or 256, folder)
        command = [*CLI, str(path), "--simulate", "--op", op, "--solver", solver, "-o"]
        subprocess.run([*command, str(folder / "whole.mkv")], check=True, capture_output=True)
        process = subprocess.Popen([*command, str(folder / "out.mkv")], stdout=subprocess.DEVNULL)
        half = folder / "out.mkv.parts" / f"{len(windows_of(frames or 256)) // 2:06d}.mkv"
        while not half.exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed = process.returncode == -signal.SIGKILL and not (folder / "out.mkv").exists()
        again = subprocess.run([*command, str(folder / "out.mkv")], check=True, capture_output=True, text=True)
        pairs = zip(stream_video(folder / "out.mkv"), stream_video(folder / "whole.mkv"), strict=True)
        return {
            "killed": killed,
            "said": again.stdout.splitlines()[0],
            "frames equal": all(torch.equal(a, b) for a, b in pairs),
        }


def processes(film: Path, op: str, solver: str, frames: int | None) -> dict:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "films").mkdir()
        for number in range(8):
            shutil.copy(_looped(film, (frames or 40) + number, folder), folder / "films" / f"{number}.mkv")
        taken = {}
        for count in (1, 2):
            command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={count}", *CLI[1:]]
            command += [str(folder / "films"), "--simulate", "--op", op, "--solver", solver]
            command += ["-o", str(folder / f"{count}")]
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=ONE_THREAD)
            taken[str(count)] = time.perf_counter() - start
        equal = all(torch.equal(a, b) for i in range(8) for a, b in _frames(folder / "1", folder / "2", f"{i}.mkv"))
    return {"seconds": taken, "times faster": taken["1"] / taken["2"], "frames equal": equal}


def threads(film: Path, op: str, solver: str, frames: int | None) -> dict:
    """The command with its threads, and with reading, solving and writing one after another, in turns, best of 3.

    PyTorch has one thread; on one core there is nothing to gain.
    """
    one_thread = {"linops_video.solvers.film.ahead": iter, "linops_video.cli.films.behind": map}
    ways: dict[str, dict] = {"threads": {}, "one after another": one_thread}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = _looped(film, frames or 104, folder)
        for _ in range(3):
            for way, replaced in ways.items():
                (folder / way).mkdir(exist_ok=True)
                out = folder / way / "out.mkv"
                out.unlink(missing_ok=True)
                clock, processor = time.perf_counter(), time.process_time()
                with ExitStack() as stack, redirect_stdout(io.StringIO()), suppress(SystemExit):
                    for place, function in replaced.items():
                        stack.enter_context(patch(place, function))
                    command(["solve", str(path), "--op", op, "--solver", solver, "-o", str(out)])
                taken[way].append((time.perf_counter() - clock, time.process_time() - processor))
        pairs = _frames(folder / "threads", folder / "one after another", "out.mkv")
        equal = all(torch.equal(a, b) for a, b in pairs)
    best = {way: {"clock": min(c for c, _ in t), "processor": min(p for _, p in t)} for way, t in taken.items()}
    faster = {kind: best["one after another"][kind] / best["threads"][kind] for kind in ("clock", "processor")}
    cores = len(os.sched_getaffinity(0))
    return {"cores": cores, "seconds": best, "times faster": faster, "frames equal": equal}


def _frames(a: Path, b: Path, name: str) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(stream_video(a / name), stream_video(b / name), strict=True)


def network(film: Path, op: str, solver: str, frames: int | None) -> dict:
    """480p: in one piece and eager float32, against tiles and the precision that `solve` takes; in turns, best of 2."""
    clip = F.interpolate(read_video(film, frames or 2).frames, SIZES["480p"], mode="bicubic").clamp(0, 1)
    problem = forward_model(op, tuple(clip.shape)).measure(clip)
    ways = {
        "whole, float32": (run, {}),
        "whole, as measured": (run, fast_fields(solver, "cpu")),
        "tiles, as measured": (run_in_tiles, fast_fields(solver, "cpu")),
    }
    taken: dict[str, float] = {}
    quality = {}
    for _ in range(2):
        for name, (solve, fields) in ways.items():
            ready = build(problem, solver, **fields)
            once = seconds(lambda s=solve, r=ready: quality.update(x=s(r, problem).x))
            taken[name] = min(once, taken.get(name, once))
            quality[name] = float(psnr(quality.pop("x"), clip))
    first = taken["whole, float32"]
    return {"seconds": taken, "times faster": {n: first / s for n, s in taken.items()}, "PSNR [dB]": quality}


if __name__ == "__main__":
    main()
