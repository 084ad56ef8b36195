"""Moving clips from still photographs, to train with beside real video: `photographs.py FOLDER OUT.npz`.

A camera pans, zooms and turns over a photograph, and in half of the clips something cut from another one moves in front
of it. Every pixel is the mean of 4×4 points of the photograph: details move by parts of a pixel, as in the archives of
area-averaged video. Each clip has 8 frames of 64×64 and is marked "train".

Weights carry the terms of the photographs that they were trained on: those of BSDS500 are for research.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor

from linops_video.media.files import replacing
from linops_video.media.video import read_video

FRAMES, SIZE, POINTS = 8, 64, 4
"""Frames, height and width, and points along each side of a pixel."""

SHRUNK = (1.5, 5.0)
"""Pixels of the photograph along each side of a pixel of the clip, log-uniform; its sides differ by up to a quarter."""

SPEED = (0.03, 3.0)
"""Pixels a frame, log-uniform, for those that move."""

STILL, OBJECT, GRAY = 0.25, 0.5, 0.03
"""Shares: of cameras and objects that stand still, of clips with an object, and of those without colour."""


class Film:
    """Clips of a list of photographs (3, H, W) in [0, 1]; all that is random comes from one generator."""

    def __init__(self, photographs: list[Tensor], seed: int) -> None:
        self.photographs = photographs
        self.generator = torch.Generator().manual_seed(seed)

    def clip(self) -> Tensor:
        """One clip (T, 3, H, W) in [0, 1]."""
        points = self._take()
        if self._uniform() < OBJECT:
            mask, opacity = self._object()
            points = torch.lerp(points, self._take(), mask * opacity)
        video = F.avg_pool2d(points, POINTS)
        if self._uniform() < GRAY:
            video = video.mean(1, keepdim=True).expand_as(video)
        return video.flip(-1) if self._uniform() >= 0.5 else video

    def _take(self) -> Tensor:
        """What a moving camera sees of a photograph, `POINTS` points along the sides of a pixel: (T, 3, 4·64, 4·64)."""
        photograph = self.photographs[int(self._uniform() * len(self.photographs))]
        height, width = photograph.shape[-2:]
        shrunk, aspect = self._log_uniform(*SHRUNK), self._log_uniform(0.8, 1.25)
        steps = torch.tensor([shrunk * aspect, shrunk / aspect]).clamp(max=min(height, width) / SIZE)
        path = self._path() * steps  # (T, 2), columns and rows of the photograph
        room = torch.tensor([float(width), float(height)]) - SIZE * steps
        centre = SIZE * steps / 2 + room * torch.rand(2, generator=self.generator)
        time = torch.arange(FRAMES) - (FRAMES - 1) / 2
        zoom = torch.exp(time * self._signed(0.01))
        angle = time * self._signed(math.radians(0.7))
        across = (torch.arange(SIZE * POINTS) + 0.5) / POINTS - SIZE / 2
        columns, rows = across[None, None, :] * steps[0], across[None, :, None] * steps[1]
        cos, sin = (zoom * angle.cos())[:, None, None], (zoom * angle.sin())[:, None, None]
        x = centre[0] + path[:, 0, None, None] + cos * columns - sin * rows
        y = centre[1] + path[:, 1, None, None] + sin * columns + cos * rows
        grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], -1)
        frames = photograph.expand(FRAMES, -1, -1, -1)
        return F.grid_sample(frames, grid, mode="bilinear", padding_mode="reflection", align_corners=False)

    def _object(self) -> tuple[Tensor, float]:
        """A moving shape: its mask (T, 1, H, W) at the points, and how opaque it is."""
        across = (torch.arange(SIZE * POINTS) + 0.5) / POINTS
        path = self._path() + SIZE * torch.rand(2, generator=self.generator)
        x = across[None, None, :] - path[:, 0, None, None]
        y = across[None, :, None] - path[:, 1, None, None]
        waves = torch.randn(4, 2, generator=self.generator) * torch.tensor([0.25, 0.15, 0.1, 0.08])[:, None]
        angle = torch.atan2(y, x)
        outline = 1 + sum(a * torch.cos(n * angle) + b * torch.sin(n * angle) for n, (a, b) in enumerate(waves, 1))
        size, tall = self._log_uniform(4.0, 22.0), self._log_uniform(0.6, 1.8)
        distance = torch.sqrt((x * tall) ** 2 + (y / tall) ** 2) - size * outline
        softness = self._log_uniform(0.1, 1.0)
        return torch.sigmoid(-distance / softness)[:, None], 1.0 if self._uniform() < 0.9 else 0.5

    def _path(self) -> Tensor:
        """Places (T, 2) in pixels: a steady velocity that may turn, and a shaking hand."""
        if self._uniform() < STILL:
            return torch.zeros(FRAMES, 2)
        speed, heading = self._log_uniform(*SPEED), 2 * math.pi * self._uniform()
        headings = heading + self._signed(0.3) * torch.arange(FRAMES)
        velocity = speed * torch.stack([headings.cos(), headings.sin()], -1)
        shake = 0.15 * self._uniform() ** 2 * torch.randn(FRAMES, 2, generator=self.generator)
        return velocity.cumsum(0) - velocity.sum(0) / 2 + shake

    def _uniform(self) -> float:
        return float(torch.rand((), generator=self.generator))

    def _signed(self, most: float) -> float:
        """Mostly small, up to ±`most`."""
        return most * (2 * self._uniform() - 1) ** 3

    def _log_uniform(self, least: float, most: float) -> float:
        return math.exp(math.log(least) + (math.log(most) - math.log(least)) * self._uniform())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with photographs (.jpg, .png)")
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    files = sorted(path for path in args.folder.iterdir() if path.suffix in (".jpg", ".png"))
    if not files:
        parser.error(f"{args.folder} has no .jpg or .png")
    film = Film([read_video(path).frames[0] for path in files], args.seed)
    video = np.empty((args.clips, FRAMES, SIZE, SIZE, 3), np.uint8)
    for n in track(range(args.clips), "clips"):
        video[n] = (film.clip() * 255).round().byte().permute(0, 2, 3, 1).numpy()
    with replacing(args.out) as temporary:
        np.savez(temporary, video=video, split=np.full(args.clips, "train"))


if __name__ == "__main__":
    main()
