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

from linops_video.media.files import replacing
from linops_video.solvers.learned.colour import luma

CROP, ASPECT = (0.72, 1.0), 1.27
BRIGHTNESS, GAMMA, SATURATION = (0.8, 1.15), 1.28, 0.15
"""Factors of the values, the largest exponent (the least is its inverse), and how far saturation differs from 1."""

TOGETHER = 500


class Variants:
    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def of(self, clips: np.ndarray) -> np.ndarray:
        """One variant of each clip (T, H, W, 3), uint8."""
        video = rearrange(torch.from_numpy(clips), "n t h w c -> n (t c) h w") / 255
        count, side = len(clips), self._between(*CROP, len(clips))
        stretch = self._between(-0.5, 0.5, count).mul(np.log(ASPECT)).exp()
        sides = torch.stack([side * stretch, side / stretch], 1).clamp(max=1)
        where = torch.zeros(count, 2, 3)
        where[:, [0, 1], [0, 1]] = sides
        where[:, :, 2] = (1 - sides) * self._between(-1, 1, 2 * count).reshape(count, 2)
        grid = F.affine_grid(where, list(video.shape), align_corners=False)
        part = F.grid_sample(video, grid, "bicubic", "reflection", align_corners=False).clamp(1e-4, 1)
        part = rearrange(part, "n (t c) h w -> n t c h w", c=3)
        bright, gamma, saturation = (
            values.reshape(-1, 1, 1, 1, 1)
            for values in (
                self._between(*BRIGHTNESS, count),
                self._between(-1, 1, count).mul(np.log(GAMMA)).exp(),
                self._between(1 - SATURATION, 1 + SATURATION, count),
            )
        )
        part = bright * part**gamma
        part = torch.lerp(luma(part).expand_as(part), part, saturation).clamp(0, 1)
        return rearrange((255 * part).round().byte(), "n t c h w -> n t h w c").numpy()

    def _between(self, least: float, most: float, count: int) -> Tensor:
        return least + (most - least) * torch.rand(count, generator=self.generator)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path, help=".npz with `video` (N, T, H, W, 3), uint8, and `split`")
    parser.add_argument("out", type=Path)
    parser.add_argument("--times", type=int, default=1, help="variants of each clip")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with np.load(args.archive) as archive:
        clips, split = archive["video"], archive["split"]
    own, val = clips[split == "train"], clips[split == "val"]
    variants = Variants(args.seed)
    parts = [own[i : i + TOGETHER] for i in range(0, len(own), TOGETHER)]
    made = [variants.of(part) for part in track(args.times * parts, "variants")]
    video = np.concatenate([*made, val])
    with replacing(args.out) as temporary:
        np.savez(temporary, video=video, split=np.repeat(["train", "val"], [len(video) - len(val), len(val)]))
    print(f"{len(video) - len(val)} variants of {len(own)} clips, {len(val)} as they were")


if __name__ == "__main__":
    main()
