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
    """The solver as tuned for a problem; None for a solver that needs no tuning.

    Chosen by the problem's name and the tuned noise level nearest to its own, with the weight in proportion to σ. Where
    only the problem without noise was tuned, weight and ρ are raised together until the weight is a quarter of that of
    denoising, which was measured to suit sr2, sr4 and fi2 at σ = 0.01 and 0.05. A problem without a name is treated as
    denoising if it is noisy, else as scattered inpainting. Without noise where only noisy problems were tuned, σ counts
    as that of 8 bits.
    """
    if solver not in TUNED:
        return None
    table, std = TUNED[solver], _level(problem)
    rows = table.get(problem.name or "") or table["denoise" if std else "si"]
    if 0.0 not in rows:
        return _nearest(rows, std or EIGHT_BIT_NOISE)
    if std == 0:
        return rows[0.0]
    if len(rows) > 1:
        return _nearest(rows, std)
    fields, needed = rows[0.0], _nearest(table["denoise"], std).weight / 4
    factor = max(1.0, needed / fields.weight)
    return replace(fields, weight=factor * fields.weight, rho=factor * fields.rho)


def _nearest(rows: dict, std: float) -> AdmmTV | AdmmWavelet:
    level = min((level for level in rows if level), key=lambda level: abs(math.log(level / std)))
    return replace(rows[level], weight=rows[level].weight * std / level)


def _level(problem: InverseProblem) -> float:
    """σ of the problem, the root mean square over its samples."""
    return float(torch.as_tensor(problem.noise_std).double().square().mean().sqrt())
