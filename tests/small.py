"""Small arrays and operators that several tests of the normal solve share."""

from __future__ import annotations

import torch

from linops_video import Convolution, Diagonal, LinearOperator
from linops_video.operators.kernels import disk

SMALL = (2, 3, 4, 4)
KERNEL = torch.tensor([[0.1, 0.2, 0.0], [0.2, 0.3, 0.1], [0.0, 0.1, 0.1]], dtype=torch.float64)


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def keep_most(*shape: int) -> torch.Tensor:
    return (random(*shape, seed=5) > -0.5).double()


def masked_blur(shape: tuple[int, ...]) -> LinearOperator:
    mask = (random(*shape) > 0).double()
    return Diagonal(mask, shape) @ Convolution(disk(4, 2.0).double(), shape, "circular")
