"""Moving clips from still photographs, to train with beside real video: `photographs.py FOLDER OUT.npz`.

A camera pans, zooms and turns over a photograph, and in half of the clips something cut from another one moves in front
of it. Every pixel is the mean of 4×4 points of the photograph: details move by parts of a pixel, as in the archives of
area-averaged video. Each clip has 8 frames of 64×64, or with `--size 32` 6 frames of 32×32, and is marked "train".

Weights carry the terms of the photographs that they were trained on: those of BSDS500 are for research.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor

from linops_video.media.files import replacing
from linops_video.media.video import read_video

POINTS = 4
"""Points along each side of a pixel."""

OBJECT, GRAY = 0.5, 0.03
"""Shares of clips with an object, and of those without colour."""


@dataclass(frozen=True)
class Style:
    """How clips look.

    Attributes:
        frames: of each clip.
        size: height and width in pixels.
        shrunk: pixels of the photograph along each side of a pixel of the clip, log-uniform; its sides differ by up to
            a quarter.
        speed: pixels a frame, log-uniform, of cameras and objects that move.
        still: share of those that stand still.
    """

    frames: int
    size: int
    shrunk: tuple[float, float]
    speed: tuple[float, float]
    still: float


STYLES = {64: Style(8, 64, (1.5, 5.0), (0.03, 3.0), 0.25), 32: Style(6, 32, (3.0, 9.0), (0.02, 2.0), 0.4)}


class Film:
    """Clips of a list of photographs (3, H, W) in [0, 1]; all that is random comes from one generator."""

    def __init__(self, photographs: list[Tensor], style: Style, seed: int) -> None:
        self.photographs = photographs
        self.style = style
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
        """What a moving camera sees of a photograph, `POINTS` points along the sides of a pixel: (T, 3, 4·H, 4·W)."""
        photograph = self.photographs[int(self._uniform() * len(self.photographs))]
        height, width = photograph.shape[-2:]
        shrunk, aspect = self._log_uniform(*self.style.shrunk), self._log_uniform(0.8, 1.25)
        steps = torch.tensor([shrunk * aspect, shrunk / aspect]).clamp(max=min(height, width) / self.style.size)
        path = self._path() * steps  # (T, 2), columns and rows of the photograph
        room = torch.tensor([float(width), float(height)]) - self.style.size * steps
        centre = self.style.size * steps / 2 + room * torch.rand(2, generator=self.generator)
        time = torch.arange(self.style.frames) - (self.style.frames - 1) / 2
        zoom = torch.exp(time * self._signed(0.01))
        angle = time * self._signed(math.radians(0.7))
        across = (torch.arange(self.style.size * POINTS) + 0.5) / POINTS - self.style.size / 2
        columns, rows = across[None, None, :] * steps[0], across[None, :, None] * steps[1]
        cos, sin = (zoom * angle.cos())[:, None, None], (zoom * angle.sin())[:, None, None]
        x = centre[0] + path[:, 0, None, None] + cos * columns - sin * rows
        y = centre[1] + path[:, 1, None, None] + sin * columns + cos * rows
        grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], -1)
        frames = photograph.expand(self.style.frames, -1, -1, -1)
        return F.grid_sample(frames, grid, mode="bilinear", padding_mode="reflection", align_corners=False)

    def _object(self) -> tuple[Tensor, float]:
        """A moving shape: its mask (T, 1, H, W) at the points, and how opaque it is."""
        across = (torch.arange(self.style.size * POINTS) + 0.5) / POINTS
        path = self._path() + self.style.size * torch.rand(2, generator=self.generator)
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
        if self._uniform() < self.style.still:
            return torch.zeros(self.style.frames, 2)
        speed, heading = self._log_uniform(*self.style.speed), 2 * math.pi * self._uniform()
        headings = heading + self._signed(0.3) * torch.arange(self.style.frames)
        velocity = speed * torch.stack([headings.cos(), headings.sin()], -1)
        shake = 0.15 * self._uniform() ** 2 * torch.randn(self.style.frames, 2, generator=self.generator)
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
    parser.add_argument("--size", type=int, choices=STYLES, default=64)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    files = sorted(path for path in args.folder.iterdir() if path.suffix in (".jpg", ".png"))
    if not files:
        parser.error(f"{args.folder} has no .jpg or .png")
    film = Film([read_video(path).frames[0] for path in files], STYLES[args.size], args.seed)
    video = np.empty((args.clips, film.style.frames, args.size, args.size, 3), np.uint8)
    for n in track(range(args.clips), "clips"):
        video[n] = (film.clip() * 255).round().byte().permute(0, 2, 3, 1).numpy()
    with replacing(args.out) as temporary:
        np.savez(temporary, video=video, split=np.full(args.clips, "train"))


if __name__ == "__main__":
    main()
