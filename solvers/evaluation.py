"""Scores of reconstructions, one clip at a time or over a data set."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from linops_video import InverseProblem, forward_model
from linops_video.errors import ShapeError, SpecError
from linops_video.media.arrays import EIGHT_BIT_NOISE
from linops_video.metrics import data_misfit, psnr, ssim
from linops_video.solvers.baselines import BASELINE_NAMES, BASELINES
from linops_video.solvers.registry import SOLVERS, solve

BATCH = 4
"""Clips that are solved at once: enough to fill the vector units, little enough for memory."""


@dataclass(frozen=True)
class Score:
    """Quality of one reconstruction; `psnr` and `ssim` are None without the truth, `ssim` for small frames too."""

    psnr: float | None
    ssim: float | None
    data_misfit: float


def score(problem: InverseProblem, x: Tensor, truth: Tensor | None = None) -> Score:
    """Score a reconstruction x (no batch axes) by its measurements and, where it is known, the truth.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> problem = forward_model("sr2", (2, 3, 16, 16)).measure(torch.ones(2, 3, 16, 16))
        >>> score(problem, torch.ones(2, 3, 16, 16)).data_misfit
        0.0
    """
    misfit = data_misfit(problem.operator, x, problem.y)
    if truth is None:
        return Score(None, None, misfit)
    similarity = ssim(x, truth)
    return Score(psnr(x, truth).item(), None if similarity is None else similarity.item(), misfit)


@dataclass(frozen=True)
class Result:
    """A solver on a problem: PSNR and (or None) SSIM of every clip, shape (N,), and seconds per clip."""

    problem: str
    solver: str
    psnr: Tensor
    ssim: Tensor | None
    seconds: float


def evaluate(
    videos: Tensor,
    problems: Sequence[str],
    solvers: Sequence[str],
    seed: int = 0,
    eight_bit: bool = False,
    weights: str | None = None,
    on_batch: Callable[[str, str], None] | None = None,
) -> list[Result]:
    """Solve every problem on every clip with every solver.

    Each clip has its own mask, matrix or angle, and every solver sees the same measurements.

    Args:
        videos: clips (N, T, C, H, W), uint8 or float in [0, 1]; solved where they are (cpu, cuda).
        problems: names in `PROBLEMS`.
        solvers: names in `SOLVERS` or of baselines; a baseline is left out where the problem has none of that name.
        seed: of masks, matrices, angles and noise.
        eight_bit: round the measurements to 8 bits, and solve them with noise of at least `EIGHT_BIT_NOISE`.
        weights: for the learned solvers, a file or the name of a shipped set; None: their default.
        on_batch: called with problem and solver after every `BATCH` clips.

    Raises:
        SpecError: for unknown names. ShapeError: if `videos` has not five axes.

    Example:
        >>> import torch
        >>> results = evaluate(torch.rand(2, 4, 3, 16, 16), ["sr2"], ["pinv", "bicubic"])
        >>> [(r.solver, tuple(r.psnr.shape)) for r in results]
        [('pinv', (2,)), ('bicubic', (2,))]
    """
    if videos.ndim != 5:
        raise ShapeError(f"videos to evaluate have the shape (N, T, C, H, W), not {tuple(videos.shape)}")
    for name in solvers:
        if name not in SOLVERS and name not in BASELINE_NAMES:
            raise SpecError(f"unknown solver {name!r}: known are {', '.join((*SOLVERS, *BASELINE_NAMES))}")
    results = []
    for problem in problems:
        applicable = [name for name in solvers if name in SOLVERS or name in BASELINES.get(problem, {})]
        found: dict[str, list[tuple[Tensor, Tensor | None, float]]] = {name: [] for name in applicable}
        for batch, start in enumerate(range(0, len(videos), BATCH)):
            truth = _as_float(videos[start : start + BATCH])
            posed = _pose(problem, truth, seed + batch, eight_bit)
            for name in applicable:
                began = time.perf_counter()
                x = _reconstruct(posed, problem, name, weights)
                seconds = time.perf_counter() - began
                found[name].append((psnr(x, truth), ssim(x, truth), seconds))
                if on_batch is not None:
                    on_batch(problem, name)
        results += [_result(problem, name, found[name], len(videos)) for name in applicable]
    return results


def _as_float(videos: Tensor) -> Tensor:
    return videos.float() / 255 if videos.dtype == torch.uint8 else videos.float()


def _pose(problem: str, truth: Tensor, seed: int, eight_bit: bool) -> InverseProblem:
    posed = forward_model(problem, tuple(truth.shape), seed).to(truth.device).measure(truth, seed)
    if not eight_bit:
        return posed
    y = (posed.y * 255).round() / 255
    return replace(posed, y=y, noise_std=math.hypot(float(posed.noise_std), EIGHT_BIT_NOISE))


def _reconstruct(posed: InverseProblem, problem: str, name: str, weights: str | None) -> Tensor:
    with torch.no_grad():
        if name not in SOLVERS:
            return BASELINES[problem][name](posed)
        learned = name in ("onenet", "videoonet") and weights is not None
        return (solve(posed, name, weights=weights) if learned else solve(posed, name)).x


def _result(problem: str, name: str, parts: list[tuple[Tensor, Tensor | None, float]], clips: int) -> Result:
    similar = [s for _, s, _ in parts if s is not None]
    return Result(
        problem,
        name,
        torch.cat([p for p, _, _ in parts]).cpu(),
        torch.cat(similar).cpu() if similar else None,
        sum(seconds for _, _, seconds in parts) / clips,
    )
