"""The noise σ that is estimated from the measurements of real clips by the named problems, beside the σ that they have.

    python benchmarks/noise.py CLIP… [--json benchmarks/results/noise.json]

Of each clip the middle 144×176 pixels of 8 frames; of 4 frames fewer pixels for `vcs` and for the blurs whose inverses
are large. Random projections of the whole clip (`cs`) do not tell their σ and are not in the table: G x is as white as
the noise to whoever does not know x.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from record import save
from rich.progress import track
from torch import Tensor

from linops_video import forward_model
from linops_video.expressions.names import PROBLEMS
from linops_video.media.video import demo_clip, read_video
from linops_video.problems.noise import noise_level

LEVELS = (0.01, 0.02, 0.05, 0.1)
FRAMES, ROWS, COLUMNS = 8, 144, 176
SMALL = {"vcs": (4, 64, 80), "dd": (4, 40, 48), "md": (4, 40, 48), "md3": (4, 40, 48)}
"""Frames, rows and columns of what these problems measure."""

LEFT_OUT = ("cs",)


def clip_of(path: Path) -> Tensor:
    """The middle of the first frames (T, 3, H, W)."""
    frames = read_video(path, FRAMES).frames
    top, left = (frames.shape[-2] - ROWS) // 2, (frames.shape[-1] - COLUMNS) // 2
    return frames[..., top : top + ROWS, left : left + COLUMNS]


def estimated(name: str, clip: Tensor, sigma: float) -> float:
    """σ as `noise_level` tells it, relative to what it is."""
    t, h, w = SMALL.get(name, clip.shape[:1] + clip.shape[-2:])
    video = clip[:t, :, :h, :w]
    model = replace(forward_model(name, tuple(video.shape), seed=1), noise_std=sigma)
    return noise_level(model.measure(video, seed=2)) / sigma


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_name("results") / "noise.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    clips = {path.stem: clip_of(path) for path in (demo_clip(), *args.clips)}
    names = [name for name in PROBLEMS if name not in LEFT_OUT]
    table = {
        name: {str(sigma): {clip: estimated(name, video, sigma) for clip, video in clips.items()} for sigma in LEVELS}
        for name in track(names)
    }
    for name, rows in table.items():
        cells = [max((abs(ratio - 1), ratio) for ratio in row.values())[1] for row in rows.values()]
        print(f"{name:8}", *(f"{cell:6.3f}" for cell in cells))
    cells = ((abs(r - 1), n, s, c) for n, rows in table.items() for s, row in rows.items() for c, r in row.items())
    off, name, sigma, clip = max(cells)
    print(f"worst: {name} at {sigma} on {clip}, off by {100 * off:.1f} %")
    save(args.json, {"estimated relative to true": table})


if __name__ == "__main__":
    main()
