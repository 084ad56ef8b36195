"""Enlarged crops of the small clips of an archive, as further clips to train with: `variants.py ARCHIVE.npz OUT.npz`.

Each has a part of the frame of any place, 72 to 100 % of its sides, which differ in scale by up to a quarter, enlarged
to the size of the frame; another brightness, gamma and saturation. For networks of colours: what a few small
pictures have in common by chance is learned less. Clips under "val" stay as they are, once.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from rich.progress import track
from torch import Tensor

from linops_video.datasets.archive import load_archive
from linops_video.media.files import replacing
from linops_video.solvers.learned.colour import luma

CROP, ASPECT = (0.72, 1.0), 1.27
BRIGHTNESS, GAMMA, SATURATION = (0.8, 1.15), 1.28, 0.15
"""Factors of the values, the largest exponent (the least is its inverse), and how far saturation differs from 1."""

TOGETHER = 500


def variants(clips: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """One of each clip (T, H, W, 3), uint8."""

    def between(least: float, most: float, *shape: int) -> Tensor:
        return least + (most - least) * torch.rand(len(clips), *shape, generator=generator)

    video = rearrange(torch.from_numpy(clips), "n t h w c -> n (t c) h w") / 255
    side, stretch = between(*CROP), between(-0.5, 0.5).mul(np.log(ASPECT)).exp()
    sides = torch.stack([side * stretch, side / stretch], 1).clamp(max=1)
    where = torch.zeros(len(clips), 2, 3)
    where[:, [0, 1], [0, 1]] = sides
    where[:, :, 2] = (1 - sides) * between(-1, 1, 2)
    grid = F.affine_grid(where, list(video.shape), align_corners=False)
    part = F.grid_sample(video, grid, "bicubic", "reflection", align_corners=False).clamp(1e-4, 1)
    part = rearrange(part, "n (t c) h w -> n t c h w", c=3)
    one = (1, 1, 1, 1)
    bright, gamma = between(*BRIGHTNESS, *one), between(-1, 1, *one).mul(np.log(GAMMA)).exp()
    part = bright * part**gamma
    part = torch.lerp(luma(part).expand_as(part), part, between(1 - SATURATION, 1 + SATURATION, *one)).clamp(0, 1)
    return rearrange((255 * part).round().byte(), "n t c h w -> n t h w c").numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path, help=".npz with `video` (N, T, H, W, 3), uint8, and `split`")
    parser.add_argument("out", type=Path)
    parser.add_argument("--times", type=int, default=1, help="variants of each clip")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    archive = load_archive(args.archive)
    own, val = (archive["video"][archive["split"] == split] for split in ("train", "val"))
    generator = torch.Generator().manual_seed(args.seed)
    parts = [own[i : i + TOGETHER] for i in range(0, len(own), TOGETHER)]
    made = [variants(part, generator) for part in track(args.times * parts, "variants")]
    video = np.concatenate([*made, val])
    with replacing(args.out) as temporary:
        np.savez(temporary, video=video, split=np.repeat(["train", "val"], [len(video) - len(val), len(val)]))
    print(f"{len(video) - len(val)} variants of {len(own)} clips, {len(val)} as they were")


if __name__ == "__main__":
    main()
