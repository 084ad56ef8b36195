"""Rotated MNIST: digits turned by phase + 40° t, t = 0 … 8, and cropped to 14×14 (Milacski et al., ICML 2020)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

FRAMES, STEP_DEGREES, CROP = 9, 40.0, 14


def rotated_mnist(path: str | Path, split: str, count: int, seed: int) -> Tensor:
    """`count` videos (count, 9, 1, 14, 14) of digits and phases drawn at random from "train" or "test".

    Turned about the centre of the 28×28 image, bilinear, zero outside.
    """
    rng = np.random.default_rng(seed)
    with np.load(path) as archive:
        digits = archive[f"x_{split}"]
    digits = digits[rng.choice(len(digits), count, replace=False)]
    images = torch.from_numpy(digits).float().div(255).unsqueeze(1)
    phase = torch.from_numpy(rng.uniform(0, 360, count)).float()
    return torch.stack([_turn(images, phase + STEP_DEGREES * t) for t in range(FRAMES)], 1)


def _turn(images: Tensor, degrees: Tensor) -> Tensor:
    angle = degrees * (math.pi / 180)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    maps = torch.stack((torch.stack((cos, -sin, zero), -1), torch.stack((sin, cos, zero), -1)), -2)
    grid = F.affine_grid(maps, list(images.shape), align_corners=True)
    return F.grid_sample(images, grid, mode="bilinear", align_corners=True)[..., :CROP, :CROP]
