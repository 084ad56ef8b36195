"""What benchmarks share: time and memory of a call, and results with the command, the machine and the commit."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

COMMAND = """
import sys
from linops_video.cli import main
try: main(sys.argv[1:])
except SystemExit as end: assert not end.code, end.code
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""
"""The command `linops-video` in a process of its own, whose last word is the peak of its memory in kB."""


def seconds(work: Callable[[], object]) -> float:
    """Processor time of a call, of all threads."""
    start = time.process_time()
    work()
    return time.process_time() - start


def resident(field: str) -> int:
    """Bytes of memory that this process has: "VmRSS" now, "VmHWM" at most so far."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def machine() -> str:
    """Processor, threads used and versions, in one line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return f"{model}, {torch.get_num_threads()} thread(s), CPU only, torch {torch.__version__}"


PEERS = ("numpy", "pylops", "PyWavelets", "deepinv", "ptwt", "pyproximal", "scico", "scikit-image")


def versions() -> dict[str, str]:
    """The versions of the libraries that are compared with, where they are installed."""
    found = {}
    for name in PEERS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def command() -> str:
    """The command that runs; data, and whatever has an absolute path, by file name only."""
    data = (".npz", ".mp4", ".mpg", ".avi")
    words = (Path(w).name if w.endswith(data) or Path(w).is_absolute() else w for w in sys.argv)
    return shlex.join(["python", *words])


def commit() -> str | None:
    """The commit of this checkout, with "-dirty" if files differ from it; None where there is no repository."""
    describe = ["git", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(describe, cwd=Path(__file__).parent, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None


COMMIT = commit()
"""Of when the run began: a run that writes a page of the repository makes it dirty."""


def between(page: Path, name: str, text: str) -> None:
    """Put a text between the markers of a name on a page."""
    start, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = page.read_text().split(start)
    write(page, f"{before}{start}\n{text}\n{end}{rest.split(end)[1]}")


def write(path: Path, text: str) -> None:
    """Write a file that a later run may read, whole or not at all."""
    from linops_video.media.files import replacing  # here: `total_variation` chooses pages before any tensor is made

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text)


def save(path: Path, results: dict) -> None:
    """Write results, command, machine and commit as JSON."""
    made = {"command": command(), "machine": machine(), "commit": COMMIT, "versions": versions()}
    write(path, json.dumps({**made, **results}, indent=1) + "\n")
