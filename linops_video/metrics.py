"""Quality of a reconstruction."""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor

from linops_video.algebra.parameters import double
from linops_video.errors import ShapeError

SSIM_WINDOW = 11
"""Side of the Gaussian window of SSIM (Wang et al. 2004), in pixels."""

PIECE = 2**17
"""Entries whose SSIM is computed at a time: a piece takes some thirty times its memory, and fits into caches, which is
4 times as fast as 24 frames of 176×144 at once."""


def psnr(prediction: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, one number per video: 10 log₁₀(1 / mean squared error), peak 1.

    `(*batch, T, C, H, W)` twice -> `(*batch,)`. The mean runs over all T·C·H·W entries; nothing is clipped;
    equal videos give infinity. Computed in float64. Raises `ShapeError` unless both have one shape.

    Example:
        >>> import torch
        >>> psnr(torch.full((2, 4, 3, 8, 8), 0.6), torch.full((2, 4, 3, 8, 8), 0.5)).round()
        tensor([20., 20.], dtype=torch.float64)
    """
    _check_pair(prediction, truth)
    squared = (double(prediction) - double(truth)).abs().square()
    return -10 * torch.log10(squared.mean(dim=(-4, -3, -2, -1)))


def ssim(prediction: Tensor, truth: Tensor) -> Tensor | None:
    """Structural similarity (Wang et al. 2004; 11×11 Gaussian window, σ = 1.5, peak 1), the mean over the frames.

    `(*batch, T, C, H, W)` twice -> `(*batch,)`, or None where a frame is smaller than the window.
    Windows that lie inside the frame, channels averaged; computed by torchmetrics.
    Raises `ShapeError` unless both have one shape.

    Example:
        >>> import torch
        >>> ssim(torch.ones(2, 3, 16, 16), torch.ones(2, 3, 16, 16)).item()
        1.0
    """
    _check_pair(prediction, truth)
    if min(truth.shape[-2:]) < SSIM_WINDOW:
        return None
    from torchmetrics.functional.image import structural_similarity_index_measure  # here: its import takes 3 s

    frames = [rearrange(video, "... c h w -> (...) c h w") for video in (prediction, truth)]
    pieces = [video.split(max(1, PIECE // max(1, frames[1][:1].numel()))) for video in frames]
    edge = SSIM_WINDOW // 2
    inside = slice(edge, -edge)  # windows inside the frame only: versions differ at the border
    means = []
    for a, b in zip(*pieces, strict=True):
        _, full = structural_similarity_index_measure(
            a.float(), b.float(), data_range=1.0, reduction="none", return_full_image=True
        )
        means.append(full[..., inside, inside].mean(dim=(-3, -2, -1)))
    return torch.cat(means).reshape(truth.shape[:-3]).mean(dim=-1).clamp(max=1)  # but for rounding


def data_misfit(operator: Callable[[Tensor], Tensor], prediction: Tensor, y: Tensor) -> float:
    """Root mean square of A x − y over all measurements: near the noise σ for a solution that fits as it should.

    Example:
        >>> import torch
        >>> data_misfit(lambda x: 2 * x, torch.ones(3), torch.full((3,), 2.5))
        0.5
    """
    return double(operator(prediction) - y).abs().square().mean().sqrt().item()


def _check_pair(prediction: Tensor, truth: Tensor) -> None:
    if prediction.shape != truth.shape or truth.ndim < 4:
        shapes = f"{tuple(prediction.shape)} and {tuple(truth.shape)}"
        raise ShapeError(f"prediction and truth must have one shape (*batch, T, C, H, W), not {shapes}")
