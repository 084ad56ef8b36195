"""OneNet as first published: the prior is trained alone, as a projector of perturbed videos onto clean ones.

Source: Chang et al., One Network to Solve Them All, ICCV 2017, and the settings of its authors' runs. What differs: the
projector is trained on the squared error alone, without the two adversarial critics; its network is the paper's p
(`PaperNetwork`) for whole videos; perturbations are those below, the maps of noise the same in all frames.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_NOISE, MOST_NOISE = 0.05, 0.5
"""Range of the noise level of a video, drawn uniformly."""

COARSEST = 0.1
"""Most points of the coarse map of noise, relative to the frame's height or width."""

BLOCKY, LEAST_RATIO, MOST_RATIO = 0.3, 0.2, 0.95
"""Share of the videos that are first reduced and enlarged again by nearest neighbours, and by which ratios."""


def perturb(truth: Tensor, generator: torch.Generator) -> Tensor:
    """Videos (B, T, C, H, W) as ADMM may hand them to its prior: blocky, and with noise whose level varies in space.

    x + σ m ⊙ ε with ε ~ N(0, I), σ uniform in [0.05, 0.5] for each video, and m a map for each channel: uniform in
    [−√3, √3] (variance 1) on a coarse grid, enlarged by bicubic interpolation.

    Example:
        >>> perturb(torch.zeros(2, 9, 1, 14, 14), torch.Generator().manual_seed(0)).shape
        torch.Size([2, 9, 1, 14, 14])
    """
    return torch.stack([_perturbed(video, generator) for video in truth])


def _perturbed(video: Tensor, generator: torch.Generator) -> Tensor:
    channels, height, width = video.shape[1:]
    blocky, ratio, level, rows, columns = torch.rand(5, generator=generator).tolist()
    if blocky < BLOCKY:
        ratio = LEAST_RATIO + (MOST_RATIO - LEAST_RATIO) * ratio
        small = F.interpolate(video, (_points(height, ratio), _points(width, ratio)), mode="nearest")
        video = F.interpolate(small, (height, width), mode="nearest")
    points = (_points(height, COARSEST * rows), _points(width, COARSEST * columns))
    coarse = math.sqrt(3) * (2 * torch.rand(1, channels, *points, generator=generator) - 1)
    noise_map = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
    noise = torch.randn(video.shape, generator=generator) * noise_map
    return video + (LEAST_NOISE + (MOST_NOISE - LEAST_NOISE) * level) * noise.to(video)


def _points(size: int, ratio: float) -> int:
    return max(1, round(size * ratio))
