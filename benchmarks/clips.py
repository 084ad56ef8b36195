"""Windows of real clips, packed as frame differences (uint8, modulo 256), xz-compressed, in one npz."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def clips(path: str | Path, split: str, frames: int, count: int | None = None, seed: int = 0) -> Tensor:
    """Videos (N, frames, C, H, W) in [0, 1] of one split: all of them, or `count` drawn at random.

    The archive holds `delta_xz`, the compressed differences of each frame to the one before along axis 1 of `shape`
    (N, T, H, W, 3), and `split` (N,).
    """
    with np.load(path) as archive:
        delta = np.frombuffer(lzma.decompress(archive["delta_xz"].tobytes()), np.uint8).reshape(archive["shape"])
        chosen = np.flatnonzero(archive["split"] == split)
    if count is not None:
        chosen = np.sort(np.random.default_rng(seed).permutation(chosen)[:count])
    windows = np.cumsum(delta[chosen], axis=1, dtype=np.uint8)[:, :frames]
    return torch.from_numpy(windows).permute(0, 1, 4, 2, 3).float().div(255).contiguous()
