"""The tables of docs/results.md that need no training: `python benchmarks/classical_tables.py DATA [NAME …]`.

Calls `linops-video evaluate` once for each table and writes `benchmarks/results/NAME.json` and `.md`; tables that are
there are kept. DATA is a folder with the data sets, as `--root` takes it. `python docs/results.py` fills the page.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
CLASSICAL = "paper-wavelet,pinv,admm-wavelet,admm-tv"
INTERPOLATION = "bicubic-consistent,hold,linear,motion,gray"
ALL_BUT_CS = "pid,bi,si,sr2,sr4,vcs,dd,tdd,md3,fi2,fp25,fp50,fp75,color"
TABLES: dict[str, tuple[str, ...]] = {
    "rotated_mnist_wavelet": ("--data", "rotated-mnist", "--solvers", "paper-wavelet,pinv", "--problems", "table1"),
    "rotated_mnist_classical": (
        *("--data", "rotated-mnist", "--solvers", f"{CLASSICAL},bicubic-consistent,hold,linear,motion"),
        *("--problems", "table1", "--limit", "200"),
    ),
    **{
        f"{data.replace('-', '_')}_noise_{noise}": (
            *("--data", data, "--solvers", f"{CLASSICAL},videoonet(weights='{data}')"),
            *("--problems", problems, "--limit", limit, "--noise", noise),
        )
        for data, problems, limit in (
            ("rotated-mnist", "table1", "50"),
            ("scanned-cifar10", "table1", "50"),
            ("ucf101", ALL_BUT_CS, "38"),
        )
        for noise in ("0.02", "0.05")
    },
    "scanned_cifar10_classical": (
        *("--data", "scanned-cifar10", "--solvers", f"{CLASSICAL},{INTERPOLATION}"),
        *("--problems", "table1", "--limit", "60"),
    ),
    "ucf101_classical": (
        *("--data", "ucf101", "--solvers", f"{CLASSICAL},{INTERPOLATION}", "--problems", ALL_BUT_CS, "--limit", "38"),
    ),
    "ucf101_classical_cs": (*("--data", "ucf101", "--solvers", CLASSICAL, "--problems", "cs", "--limit", "4"),),
}
"""Name of a table -> its options. On UCF-101 `cs` has a matrix of 1,229×12,288 for every video, which takes long."""


def main() -> None:
    root, names = sys.argv[1], sys.argv[2:] or TABLES
    for name in names:
        options = TABLES[name]
        if (RESULTS / f"{name}.md").exists():
            continue
        files = ("--json", str(RESULTS / f"{name}.json"), "--markdown", str(RESULTS / f"{name}.md"))
        subprocess.run(
            [sys.executable, "-m", "linops_video.cli", "evaluate", *options, "--root", root, *files], check=True
        )


if __name__ == "__main__":
    main()
