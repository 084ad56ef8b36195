"""Scores of reconstructions."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from linops_video import InverseProblem
from linops_video.metrics import data_misfit, psnr, ssim


@dataclass(frozen=True)
class Score:
    """Quality of one reconstruction; `psnr` and `ssim` are None without the truth, `ssim` for small frames too."""

    psnr: float | None
    ssim: float | None
    data_misfit: float


def score(problem: InverseProblem, x: Tensor, truth: Tensor | None = None) -> Score:
    """Score a reconstruction x (no batch axes) by its measurements and, where it is known, the truth.

    >>> from linops_video import forward_model
    >>> import torch
    >>> problem = forward_model("sr2", (2, 3, 16, 16)).measure(torch.ones(2, 3, 16, 16))
    >>> score(problem, torch.ones(2, 3, 16, 16)).data_misfit
    0.0
    """
    misfit = data_misfit(problem.operator, x, problem.y)
    if truth is None:
        return Score(None, None, misfit)
    similarity = ssim(x, truth)
    return Score(psnr(x, truth).item(), None if similarity is None else similarity.item(), misfit)
