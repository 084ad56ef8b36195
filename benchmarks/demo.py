"""The command of the README, with 16 and with 32 frames: PSNR beside the yardsticks, and the peak of resident memory.

    python benchmarks/demo.py [--json benchmarks/results/demo.json]

Exit code 1 where the network is less than 1 dB above bicubic or 0.4 dB above admm-tv, or takes more than 3 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from record import COMMAND, save

ABOVE = {"bicubic": 1.0, "admm-tv": 0.4}
MOST_MEMORY = 3000
"""MB."""


def demo(frames: int, folder: Path) -> dict:
    """The numbers of one run, in a process of its own."""
    options = ["--frames", str(frames), "--json", str(folder / "demo.json"), "--figure", str(folder / "demo.png")]
    command = [sys.executable, "-c", COMMAND, "solve", "--op", "sr4", "--solver", "videoonet", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    report = json.loads((folder / "demo.json").read_text())
    baselines = {name: entry["psnr"] for name, entry in report["baselines"].items()}
    return {
        "psnr": {**baselines, report["solver"]: report["psnr"]},
        "peak [MB]": int(said.split()[-1]) / 1024,
        "fields": report["fields"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_name("results") / "demo.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = {str(frames): demo(frames, Path(name)) for frames in (16, 32)}
    for frames, row in rows.items():
        numbers = ", ".join(f"{solver} {psnr:.2f}" for solver, psnr in row["psnr"].items())
        print(f"{frames} frames: {numbers} dB; {row['peak [MB]']:.0f} MB")
    save(arguments.json, {"frames": rows})
    gains = [
        row["psnr"]["videoonet"] - row["psnr"][name] - least for row in rows.values() for name, least in ABOVE.items()
    ]
    sys.exit(min(gains) < 0 or max(row["peak [MB]"] for row in rows.values()) > MOST_MEMORY)


if __name__ == "__main__":
    main()
