"""The classical solvers as tuned for the named problems, and how they follow the noise."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from linops_video import InverseProblem
from linops_video.media.arrays import EIGHT_BIT_NOISE
from linops_video.solvers.admm import AdmmTV, AdmmWavelet
from linops_video.solvers.priors.variation import TotalVariation
from linops_video.solvers.tuned import TUNED


def tuned_prior(problem: InverseProblem) -> tuple[TotalVariation, float]:
    """The prior, and ρ, of a solver that takes any prior: total variation as tuned for admm-tv."""
    found = tuned("admm-tv", problem)
    assert isinstance(found, AdmmTV)
    return TotalVariation(found.weight, found.time_weight), found.rho


def tuned(solver: str, problem: InverseProblem) -> AdmmTV | AdmmWavelet | None:
    """The solver as tuned for a problem, by its name and noise; None for a solver that needs no tuning.

    Of the noise levels of the table the nearest one, in ratio, with the weight in proportion to σ. Below that level ρ
    falls with the weight: their ratio decides how fast missing entries fill up ("pid" of 8 bits: 32 dB, with the ρ of
    σ = 0.02 it is 11 dB). Where 8 bits were not tuned, the row without noise counts as theirs, and from there on weight
    and ρ grow together. A problem without a name is treated as denoising if it is noisy, else as scattered inpainting.
    """
    row = tuned_row(solver, problem)
    if row is None:
        return None
    name, level = row
    found, std = TUNED[solver][name][level], _level(problem)
    if level == 0:
        factor = max(1.0, std / EIGHT_BIT_NOISE)
        return replace(found, rho=factor * found.rho, weight=factor * found.weight)
    factor = (std or EIGHT_BIT_NOISE) / level
    return replace(found, weight=factor * found.weight, rho=min(1.0, factor) * found.rho)


def tuned_row(solver: str, problem: InverseProblem) -> tuple[str, float] | None:
    """The problem and the noise level σ for which the fields were tuned that `tuned` starts from.

    >>> from linops_video import forward_model
    >>> tuned_row("admm-tv", forward_model("sr4", (2, 3, 16, 16)).measure(torch.rand(2, 3, 16, 16)))
    ('sr4', 0.0)
    """
    if solver not in TUNED:
        return None
    table, std = TUNED[solver], _level(problem)
    name = problem.name if problem.name in table else "denoise" if std else "si"
    assert name is not None
    rows = sorted(table[name])
    if std == 0 and 0.0 in rows:
        return name, 0.0
    std = std or EIGHT_BIT_NOISE
    levels = {level or EIGHT_BIT_NOISE: level for level in rows}  # that of 8 bits replaces that of 0
    return name, levels[min(levels, key=lambda level: abs(math.log(level / std)))]


def _level(problem: InverseProblem) -> float:
    """σ of the problem, the root mean square over its samples."""
    return float(torch.as_tensor(problem.noise_std).double().square().mean().sqrt())
