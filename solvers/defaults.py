"""The classical solvers as tuned for the named problems, and how they follow noise and scale of other problems."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from linops_video import PROBLEMS, InverseProblem
from linops_video.algebra.parameters import Shape
from linops_video.media.arrays import EIGHT_BIT_NOISE
from linops_video.problems.noise import covered
from linops_video.solvers.admm import AdmmTV, AdmmWavelet
from linops_video.solvers.priors.prior import VIDEO_AXES
from linops_video.solvers.priors.variation import TotalVariation
from linops_video.solvers.tuned import TUNED

BLURS = ("dd", "tdd")
"""Problems whose row without noise is the pseudoinverse: their own blurs allow it, an unknown one may not."""

STEPS = 50
"""Least number of steps for problems without a row of their own: early stopping was tuned for the named operators."""

SPREAD = 0.01
"""Share of the answer to an impulse that lies elsewhere, from which an operator counts as a blur."""

GRAY = 0.669
"""‖A‖ of "color": of the row (0.299, 0.587, 0.114)."""

POWERS = 4
"""Power iterations for ‖A‖, from a positive video: exact for masks, means and frames, 1 % off for blurs."""


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
    and ρ grow together. A problem without a name takes the row of the `nearest` that has one, and `STEPS` or more; and
    since (A, y, σ) and (A, y, σ)/s are the same problem if weight and ρ are divided by s², it is posed with the scale s
    of that row (`scale`). Of a batch the first operator tells that.
    """
    if solver not in TUNED:
        return None
    (name, level), s = _row(solver, problem)
    found, std = TUNED[solver][name][level], _level(problem) / s
    found = replace(found, weight=s**2 * found.weight, rho=s**2 * found.rho)
    if name != problem.name:
        found = replace(found, max_steps=max(found.max_steps, STEPS))
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
    return _row(solver, problem)[0] if solver in TUNED else None


@torch.no_grad()
def _row(solver: str, problem: InverseProblem) -> tuple[tuple[str, float], float]:
    """`tuned_row`, and the scale."""
    table, named, first = TUNED[solver], problem.name in PROBLEMS, problem.samples()[0]
    name = problem.name if named else nearest(problem)
    assert name is not None
    s = 1.0 if first.name in PROBLEMS else float(_scale(first, name).flatten()[0])
    std = _level(problem) / s
    rows = sorted(table[name])
    if std == 0 and 0.0 in rows and (named or name not in BLURS):
        return (name, 0.0), s
    std = std or EIGHT_BIT_NOISE
    levels = {level or EIGHT_BIT_NOISE: level for level in rows}  # that of 8 bits replaces that of 0
    return (name, levels[min(levels, key=lambda level: abs(math.log(level / std)))]), s


def scale(problem: InverseProblem) -> Tensor:
    """s > 0, by which A, y and σ are divided to be as those of the named problems: in proportion to A, 1 for these.

    For operators without a name ‖A‖, over that of the operator of the `nearest` problem with a name: 1, for k×k means
    1/k, `GRAY` for "color". For "cs", whose columns have norm 1, the root mean square of the norms of the columns.

    >>> from linops_video import forward_model
    >>> float(scale(forward_model("64 * sr(3)", (2, 3, 24, 24)).measure(torch.rand(2, 3, 24, 24))).round())
    64.0
    """
    if problem.name in PROBLEMS:
        return torch.ones(())
    return _scale(problem, nearest(problem))


def _scale(problem: InverseProblem, row: str) -> Tensor:
    """`scale` of a problem without a name; `row`: its `nearest`."""
    A, y = problem.operator, problem.y
    x = torch.rand(*A.batch_shape, *A.in_shape, generator=torch.Generator().manual_seed(0))
    x = (x - 0.5 if row == "cs" else x).to(y.device, torch.promote_types(y.dtype, torch.float32))
    for _ in range(0 if row == "cs" else POWERS):
        x = A.H(A(x))
        x = x / _size(x, A.in_shape, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    means = (math.prod(A.out_shape[-2:]) / math.prod(A.in_shape[-2:])) ** 0.5
    own = {"sr2": means, "sr4": means, "color": GRAY}.get(row, 1.0)
    s = _size(A(x), A.out_shape) / _size(x, A.in_shape) / own
    return torch.where(s > 0, s, 1)  # of A = 0, and of an x that A does not see, nothing is known


def _size(x: Tensor, shape: Shape, keepdim: bool = False) -> Tensor:
    """The norm over the axes of one sample."""
    return torch.linalg.vector_norm(x, dim=tuple(range(-len(shape), 0)), keepdim=keepdim)


@torch.no_grad()
def nearest(problem: InverseProblem) -> str:
    """The named problem that measures most like this one, by what its operator does to shapes and to single entries.

    Fewer pixels: "sr2", "sr4"; fewer channels: "color"; frames that nothing is measured of: "fi2", "fp50"; an impulse
    that spreads in space or in time: "dd", "tdd"; pixels that nothing is measured of: "si"; measurements that are no
    video, or a spectrum of it: "cs"; else "denoise", and "si" without noise. Of a batch the first operator tells.

    >>> from linops_video import forward_model
    >>> nearest(forward_model("blur(gaussian, 2, circular)", (2, 3, 16, 16)).measure(torch.rand(2, 3, 16, 16)))
    'dd'
    """
    A, y = problem.samples()[0].operator, problem.samples()[0].y
    if len(A.in_shape) != VIDEO_AXES or len(A.out_shape) != VIDEO_AXES:
        return "cs"
    enlargement = math.sqrt(math.prod(A.in_shape[-2:]) / math.prod(A.out_shape[-2:]))
    if enlargement >= 1.5:
        return "sr4" if enlargement >= 3 else "sr2"
    if A.out_shape[1] < A.in_shape[1]:
        return "color"
    known = covered(A, y)
    frames = known.flatten(-3).any(-1).reshape(-1, A.in_shape[0]).any(0)
    if not bool(frames.all()):
        return "fi2" if bool((frames[1:] > frames[:-1]).any()) else "fp50"
    t, h, w = (n // 2 for n in (A.in_shape[0], *A.in_shape[-2:]))
    impulse = torch.zeros(*A.batch_shape, *A.in_shape).to(y)
    impulse[..., t, :, h, w] = 1
    answer = A.H(A(impulse)).abs()
    if float(answer[..., t, :, :, :].sum() - answer[..., t, :, h, w].sum()) > SPREAD * float(answer.sum()):
        return "cs" if y.is_complex() else "dd"  # whether or not it covers the border
    if float(answer.sum() - answer[..., t, :, :, :].sum()) > SPREAD * float(answer.sum()):
        return "tdd"
    return "denoise" if bool(known.all()) and _level(problem) else "si"


def _level(problem: InverseProblem) -> float:
    """σ of the problem, the root mean square over its samples."""
    return float(torch.as_tensor(problem.noise_std).double().square().mean().sqrt())
