"""The mean of a video along its motion.

Frames of a moving camera see the same scene on other pixels: what the measurement of one frame misses, that of another
may have. The networks' convolutions look at one place of all frames; here frames are moved onto each other first.
"""

from __future__ import annotations

import torch
from torch import Tensor

from linops_video.algebra.slabs import slabs
from linops_video.solvers.motion.flow import moved, optical_flow, places, window_mean

REACH = 4
"""Frames ahead and back that a frame is compared with."""

PASSES = 4
"""Means along the motion, each of a video made consistent: they reach further than one, for less time than a longer
`REACH`. Measured on `sr4`: 4 of 3 frames ahead and back gain as much as 2 of 7 frames."""

DOUBT = 0.04
"""Root mean square difference, of gray values in [0, 1], at which a moved frame counts exp(−½)."""


class Paths:
    """The displacements between the frames of a video (B, T, C, H, W), and how far each is to be trusted.

    `measured` (B, T), 1 or 0: a frame of which nothing was measured stays as it is, and no other is told of it.
    """

    def __init__(self, video: Tensor, measured: Tensor) -> None:
        self.pairs = []
        gray, frames = video.mean(2, keepdim=True), video.shape[1]
        for offset in (d for d in range(-REACH, REACH + 1) if d != 0 and abs(d) < frames):
            start, stop = max(0, -offset), frames - max(0, offset)
            for first, end in slabs(gray[:, start:stop], 1):  # a few frames: what is held on the way is then small
                here = slice(start + first, start + end)
                there = slice(here.start + offset, here.stop + offset)
                grid = places(optical_flow(gray[:, here].flatten(0, 1), gray[:, there].flatten(0, 1)))
                change = moved(video[:, there].flatten(0, 1), grid) - video[:, here].flatten(0, 1)
                trust = torch.exp(-window_mean(change.square().mean(1, keepdim=True)) / (2 * DOUBT**2))
                trust = trust * (measured[:, here] * measured[:, there]).flatten()[:, None, None, None]
                self.pairs.append((here, there, grid, trust))

    def mean(self, video: Tensor) -> Tensor:
        """The weighted mean of each frame and of those that are moved onto it, shape as `video`."""
        total, weight = video.clone(), torch.ones_like(video[:, :, :1])
        for here, there, grid, trust in self.pairs:
            part = video[:, there]
            total[:, here] += (trust * moved(part.flatten(0, 1), grid)).unflatten(0, part.shape[:2])
            weight[:, here] += trust.unflatten(0, part.shape[:2])
        return total / weight
