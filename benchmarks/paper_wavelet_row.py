"""Whether an evaluation meets the row "3-D wavelet sparsity" of the paper's Table 1 on Rotated MNIST.

    linops-video evaluate --data rotated-mnist --solvers paper-wavelet,pinv --problems table1 --json row.json
    python benchmarks/paper_wavelet_row.py row.json

Exit code 1 if a column of `paper-wavelet` is further from the paper than TOLERANCE, or the pseudoinverse alone, which
solves full blurs without noise exactly, falls below PINV_AT_LEAST.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from linops_video.datasets.table1 import PUBLISHED

PAPER = PUBLISHED["rotated-mnist"]["3-D wavelet"]
TOLERANCE = {name: {"tdd": 0.3, "md3": 0.5}.get(name, 0.2) for name in PAPER}
PINV_AT_LEAST = {"dd": 90.0, "tdd": 95.0, "md3": 95.0}
"""dB, of means over PSNRs of at most 100."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", type=Path)
    report = json.loads(parser.parse_args().json.read_text())
    rows = report["results"]
    failed = 0
    print(f"{report['data']}, {report['split']}, limit {report['limit']}")
    print(f"{'problem':8} {'videos':>7} {'ours':>7} {'paper':>6} {'diff':>6} {'limit':>5} {'pinv':>7}")
    for name, paper in PAPER.items():
        cell, pinv = rows["paper-wavelet"][name], rows["pinv"][name]["psnr_mean"]
        difference = cell["psnr_mean"] - paper
        good = abs(difference) <= TOLERANCE[name] and pinv >= PINV_AT_LEAST.get(name, 0.0)
        failed += not good
        print(
            f"{name:8} {cell['videos']:7} {cell['psnr_mean']:7.2f} {paper:6.1f} {difference:+6.2f} "
            f"{TOLERANCE[name]:5.1f} {pinv:7.2f}{'' if good else '  OUTSIDE'}"
        )
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
