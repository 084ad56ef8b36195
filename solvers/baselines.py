"""What one does without a solver: interpolate what was measured. The yardsticks of the reports, one set per problem.

`BASELINES["sr4"]["bicubic"](problem)` gives a video of the shape of `problem.operator.in_shape` (and its batch axes).
Unlike a solver, each of these knows the measurement it belongs to and works for no other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from linops_video import InverseProblem
from linops_video.solvers.motion.missing import along_motion

Baseline = Callable[[InverseProblem], Tensor]


def bicubic(problem: InverseProblem, factor: int) -> Tensor:
    """Enlarge every frame by bicubic interpolation (Keys, a = −0.75), pixel centres as box means have them.

    Rows and columns beyond `factor` times the measured size repeat the last ones.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> problem = forward_model("sr4", (2, 3, 18, 16)).measure(torch.rand(2, 3, 18, 16))
        >>> bicubic(problem, 4).shape
        torch.Size([2, 3, 18, 16])
    """
    height, width = problem.operator.in_shape[-2:]
    y = problem.y
    frames = F.interpolate(y.flatten(0, -4), scale_factor=factor, mode="bicubic", align_corners=False)
    frames = F.pad(frames, (0, width - frames.shape[-1], 0, height - frames.shape[-2]), mode="replicate")
    return frames.reshape(y.shape[:-2] + (height, width))


def consistent(problem: InverseProblem, baseline: Baseline) -> Tensor:
    """The baseline's z moved onto the measurements: z + A⁺(y − A z), for noise-free problems."""
    z = baseline(problem)
    return z + problem.normal.pinv(problem.y - problem.operator(z))


def hold(problem: InverseProblem, every: int = 1) -> Tensor:
    """Frames measured at 0, `every`, 2·`every`, …: the others repeat the last one measured before them."""
    at = torch.arange(problem.operator.in_shape[0], device=problem.y.device) // every
    return problem.y.index_select(-4, at.clamp(max=problem.y.shape[-4] - 1))


def linear_in_time(problem: InverseProblem, every: int) -> Tensor:
    """Frames measured at 0, `every`, 2·`every`, …: the others lie between their neighbours, the last is held."""
    y = problem.y
    at = torch.arange(problem.operator.in_shape[0], device=y.device)
    last = y.shape[-4] - 1
    before, after = (at // every).clamp(max=last), (at // every + 1).clamp(max=last)
    share = ((at % every) / every).to(y.dtype).reshape(-1, 1, 1, 1)
    return torch.lerp(y.index_select(-4, before), y.index_select(-4, after), share)


def motion(problem: InverseProblem, baseline: Baseline) -> Tensor:
    """The baseline with frames that were not measured moved to where the motion of the measured ones says they are.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> problem = forward_model("fi2", (5, 3, 16, 16)).measure(torch.rand(5, 3, 16, 16))
        >>> motion(problem, lambda problem: linear_in_time(problem, 2)).shape
        torch.Size([5, 3, 16, 16])
    """
    return along_motion(problem.operator, baseline(problem))


def gray(problem: InverseProblem) -> Tensor:
    """The measured luma in every channel."""
    return problem.y.expand(problem.y.shape[:-4] + problem.operator.in_shape).clone()


def _enlargements(factor: int) -> dict[str, Baseline]:
    plain = partial(bicubic, factor=factor)
    return {"bicubic": plain, "bicubic-consistent": partial(consistent, baseline=plain)}


def _interpolations(every: int) -> dict[str, Baseline]:
    linear = partial(linear_in_time, every=every)
    return {"hold": partial(hold, every=every), "linear": linear, "motion": partial(motion, baseline=linear)}


PREDICTIONS: dict[str, Baseline] = {"hold": hold, "motion": partial(motion, baseline=hold)}

BASELINES: dict[str, dict[str, Baseline]] = {
    "sr2": _enlargements(2),
    "sr4": _enlargements(4),
    "fi2": _interpolations(2),
    "fi4": _interpolations(4),
    "fp25": PREDICTIONS,
    "fp50": PREDICTIONS,
    "fp75": PREDICTIONS,
    "color": {"gray": gray},
}
"""Problem name -> baseline name -> baseline; problems that are not listed have none."""

BASELINE_NAMES: Sequence[str] = tuple(dict.fromkeys(name for entry in BASELINES.values() for name in entry))


def yardsticks(problem: str | None, solver: str) -> list[str]:
    """What a solver is compared with where the truth is known: pinv, what one does without a solver, admm-tv.

    Example:
        >>> yardsticks("fi2", "videoonet")
        ['pinv', 'hold', 'linear', 'motion', 'admm-tv']
    """
    return [name for name in ("pinv", *BASELINES.get(problem or "", {}), "admm-tv") if name != solver]
