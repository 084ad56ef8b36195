"""What is asked of a prior, and what several of them share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from numbers import Real
from typing import ClassVar

import torch
from torch import Tensor

from linops_video.algebra.parameters import per_sample
from linops_video.errors import ShapeError, SpecError

Memory = tuple[Tensor, ...]
"""What a prior keeps from call to call: tensors of shape (*batch, …), none at first."""

Step = float | Tensor
"""A step length: a number, or one per sample, shape (*batch,)."""

VIDEO_AXES = 4
"""T, C, H, W: the event axes of what a prior is applied to."""

INNER = 200
"""Most iterations of a prior's proximal operator for one dual step."""


class Prior(ABC):
    """A prior R on videos (*batch, T, C, H, W), known by its proximal operator.

    A convex prior that has no closed proximal operator is written R(x) = g(K x), K linear, where g has one: then
    `__call__` is one iteration, and primal-dual methods use K and g by `analyse`, `synthesise`, `norm`, `dual_prox`.
    For all others K is the identity.

    Attributes:
        parts: how many tensors its memory has, by which a start with another prior is told; None where that is left
            open.

    A field out of its range raises a SpecError that names it, when the prior is made; a tensor that cannot be a video
    raises a ShapeError, when the prior is called.

    Example:
        >>> from linops_video.solvers import SquaredNorm
        >>> SquaredNorm(1.0)(torch.ones(1, 1, 1, 2), 1.0)[0]
        tensor([[[[0.5000, 0.5000]]]])
    """

    parts: ClassVar[int | None] = None

    @abstractmethod
    def __call__(self, v: Tensor, step: Step, memory: Memory = (), relaxation: float = 1.0) -> tuple[Tensor, Memory]:
        """argmin_x ½‖x − v‖² + step·R(x), or one iteration towards it that goes on from `memory` (empty at first).

        Args:
            v: shape (*batch, T, C, H, W).
            step: the step length.
            memory: what the last call returned; a prior that returns none is exact in one call.
            relaxation: over-relaxation of an iteration, in (0, 2); an exact prior has no use for it.
        """

    def value(self, x: Tensor) -> Tensor | None:
        """R(x) of each sample, shape (*batch,); None where R is known by its proximal operator alone."""
        return None

    def feasible(self, x: Tensor) -> Tensor:
        """The x nearest to this one that has a finite R(x)."""
        return x

    def rescaled(self, memory: Memory, factor: Step) -> Memory:
        """The memory for calls with a step that is `factor` times as large."""
        return memory

    def changes(self, before: Memory, after: Memory) -> tuple[Step, Step]:
        """‖after − before‖² of each sample for the split variables in the memory and for their scaled duals."""
        return 0.0, 0.0

    def analyse(self, x: Tensor) -> Tensor:
        """K x."""
        return x

    def synthesise(self, p: Tensor) -> Tensor:
        """Kᴴ p."""
        return p

    def norm(self, shape: tuple[int, ...]) -> float:
        """‖K‖ on videos of shape (T, C, H, W)."""
        return 1.0

    def spectrum(self, shape: tuple[int, ...]) -> Tensor:
        """Eigenvalues of an operator ⪰ KᴴK with the cosine basis over T and the Fourier basis over H and W.

        Float64, shape (T, C, H, W) or 1 in the place of an axis, frequencies in the order of the FFT.
        """
        return torch.full((1,) * VIDEO_AXES, self.norm(shape) ** 2, dtype=torch.float64)

    def dual_prox(self, q: Tensor, sigma: float | Tensor) -> Tensor:
        """argmin_p ½‖p − q‖² + sigma·g*(p), which is q − sigma · prox_{g/sigma}(q/sigma) (Moreau, 1965).

        A prior that is one iteration is called until it no longer moves, `INNER` times at most.
        """
        v, step = q / sigma, 1 / sigma
        x, memory = self(v, step)
        for _ in range(INNER if memory else 0):
            before, (x, memory) = x, self(v, step, memory)
            if float(torch.linalg.vector_norm(x - before)) <= 10 * torch.finfo(x.dtype).eps * float(before.norm()):
                break
        return q - sigma * x

    def dual_step(self, p: Tensor, x: Tensor, sigma: float | Tensor, relaxation: float = 1.0) -> Tensor:
        """p + relaxation · (q − p), q = argmin_q ½‖q − (p + sigma·K x)‖² + sigma·g*(q): the dual half of a step."""
        q = self.dual_prox(plus(p, sigma, self.analyse(x)), sigma)
        return q if relaxation == 1 else p.lerp(q, relaxation)


def plus(x: Tensor, factor: float | Tensor, y: Tensor) -> Tensor:
    """x + factor · y, for a number in one pass."""
    return x + factor * y if isinstance(factor, Tensor) else torch.add(x, y, alpha=factor)


def each(step: Step) -> Step:
    """A number per sample, made to broadcast over videos (*batch, T, C, H, W)."""
    return per_sample(step, VIDEO_AXES)


def check_video(v: Tensor) -> None:
    """Raise a ShapeError unless v can be a video."""
    if v.ndim < VIDEO_AXES:
        raise ShapeError(f"video priors need a tensor of shape (*batch, T, C, H, W), got {tuple(v.shape)}")


def check_weight(name: str, weight: float | Tensor) -> None:
    """Raise a SpecError unless the weight is a number, 0 or more."""
    if not 0 <= as_number(weight) < math.inf:
        raise SpecError(f"{name} must be one finite number, 0 or more, got {weight!r}")


def check_count(name: str, value: int) -> None:
    """Raise a SpecError unless the value is a whole number, 1 or more."""
    if not (isinstance(value, int) and value >= 1):
        raise SpecError(f"{name} must be a whole number of 1 or more, got {value}")


def as_number(value: float | Tensor) -> float:
    """A number, or that of a tensor with one entry; NaN for anything else."""
    if isinstance(value, Tensor):
        return float(value.detach()) if value.numel() == 1 else math.nan
    return float(value) if isinstance(value, Real) else math.nan  # NumPy's are real numbers, too


def floor(x: Tensor) -> float:
    """Squares below it count as zero: 1/√ of it, and the derivative of that where one is taken, stay finite."""
    tiny = torch.finfo(x.dtype).tiny
    return tiny ** (2 / 3) if x.requires_grad else tiny


def squares(x: Tensor) -> Tensor:
    """|x|², entry by entry; real."""
    return x.real.square() + x.imag.square() if x.is_complex() else x.square()


def soft_threshold(x: Tensor, threshold: Step) -> Tensor:
    """x/|x| · max(|x| − threshold, 0), entry by entry; complex entries keep their phase."""
    if x.is_complex():
        return x * (1 - threshold / x.abs().clamp(min=torch.finfo(x.dtype).tiny)).clamp(min=0)
    return x - torch.clamp(x, -threshold, threshold)  # type: ignore[call-overload]  # numbers or tensors, both are taken


def total(x: Tensor) -> Tensor:
    """The sum over T, C, H, W."""
    return x.sum((-4, -3, -2, -1))
