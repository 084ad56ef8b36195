"""What solvers minimise: ½‖y − A x‖² + Σ Rᵢ(x), and what those that minimise it have in common."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video import InverseProblem
from linops_video.algebra.parameters import per_sample, show
from linops_video.errors import ShapeError, SpecError
from linops_video.solvers.priors.prior import VIDEO_AXES, Prior, as_number, check_count
from linops_video.solvers.priors.variation import TotalVariation

Priors = Prior | tuple[Prior, ...]

DEFAULT_PRIOR = TotalVariation(0.01)
"""The prior of solvers that take any."""


@dataclass(frozen=True, kw_only=True)
class Regularised(ABC):
    """A solver of min_x ½‖y − A x‖² + Σ Rᵢ(x); a subclass tells the priors.

    Attributes:
        max_steps: at most so many iterations, 1 or more.
        tol: a sample stops when its residual is at most this, 0 or more.
    """

    max_steps: int = 200
    tol: float = 1e-4

    @property
    @abstractmethod
    def priors(self) -> tuple[Prior, ...]:
        """R₁, R₂, …"""

    def objective(self, problem: InverseProblem, x: Tensor) -> Tensor | None:
        """½‖y − A x‖² + Σ Rᵢ(x) of each sample; None where a prior has no formula, as a denoiser."""
        total = squared_misfit(problem, x) / 2
        for prior in self.priors:
            value = prior.value(x)
            if value is None:
                return None
            total = total + value
        return total

    def __post_init__(self) -> None:
        check_stopping(self.max_steps, self.tol)
        if not self.priors:
            raise SpecError(f"{type(self).__name__} needs at least one prior, got none: Pinv has none")
        for prior in self.priors:
            if not isinstance(prior, Prior):
                got = prior if isinstance(prior, type) else type(prior).__name__
                raise SpecError(f"a prior is a `Prior` or a tuple of them, got {got}: wrap a denoiser in PlugAndPlay")


@dataclass(frozen=True)
class AnyPriors(Regularised):
    """A solver that takes any priors.

    Attributes:
        prior: a `Prior`, or a tuple of them.
    """

    prior: Priors = DEFAULT_PRIOR

    @property
    def priors(self) -> tuple[Prior, ...]:
        return self.prior if isinstance(self.prior, tuple) else (self.prior,)


def check_on_videos(problem: InverseProblem) -> None:
    """Raise a ShapeError unless the operator is for videos, which priors and networks are on."""
    shape = problem.operator.in_shape
    if len(shape) != VIDEO_AXES:
        raise ShapeError(
            f"this solver is for videos (T, C, H, W), the operator is for {show(shape)}: build it for (1, C, H, W), as "
            "an image is a video of one frame; further axes are joined with one of these, or are a batch"
        )


def check_stopping(max_steps: int, tol: float) -> None:
    """Raise a SpecError unless an iteration can be stopped by these."""
    check_count("max_steps", max_steps)
    if not as_number(tol) >= 0:
        raise SpecError(f"tol must be 0 or more, got {tol}")


def check_positive(name: str, value: float | Tensor) -> None:
    """Raise a SpecError unless the value is a positive number."""
    if not 0 < as_number(value) < math.inf:
        raise SpecError(f"{name} must be a positive number, got {value}")


def check_relaxation(value: float) -> None:
    """Raise a SpecError unless the value can be an over-relaxation."""
    if not 0 < as_number(value) < 2:
        raise SpecError(f"relaxation must lie between 0 and 2, got {value}")


def squared_misfit(problem: InverseProblem, x: Tensor) -> Tensor:
    """‖y − A x‖² of each sample."""
    return squared_norm(problem, problem.y - problem.operator(x))


def squared_norm(problem: InverseProblem, y: Tensor) -> Tensor:
    """‖y‖² of each sample of a measurement, float64."""
    if isinstance(y, tuple):  # one tensor a sample, of its own shape
        ndims = [len(sample.operator.out_shape) for sample in problem.samples()]
        return torch.stack([energy(part, n) for part, n in zip(y, ndims, strict=True)], -1)
    return energy(y, len(problem.operator.out_shape))


def energy(x: Tensor, event: int) -> Tensor:
    """‖x‖² of each sample, float64, for an x whose last `event` axes belong to one."""
    return x.abs().double().square().flatten(x.ndim - event).sum(-1)


def times(problem: InverseProblem, factor: Tensor, y: Tensor) -> Tensor:
    """The measurement of each sample times its own number; `factor` has the shape `problem.batch_shape`."""
    if isinstance(y, tuple):
        ndims = [len(sample.operator.out_shape) for sample in problem.samples()]
        parts = zip(factor.unbind(-1), y, ndims, strict=True)
        return type(y)(per_sample(number, n) * part for number, part, n in parts)
    return per_sample(factor, len(problem.operator.out_shape)) * y


def same_measurements(a: InverseProblem, b: InverseProblem) -> bool:
    """Whether the measurements of two problems are equal, number by number."""
    pairs = zip(a.samples(), b.samples(), strict=False)
    return len(a.samples()) == len(b.samples()) and all(torch.equal(p.y, q.y) for p, q in pairs)


def entries(problem: InverseProblem) -> Tensor:
    """How many numbers the measurement of each sample has: shape (B,) of a batch, else ()."""
    samples = problem.samples()
    counts = torch.tensor([math.prod(sample.operator.out_shape) for sample in samples])
    return counts[0] if samples[0] is problem else counts
