"""Priors by their proximal operators: what is asked of one, and those that a formula settles."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

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


class Prior(ABC):
    """A prior R on videos (*batch, T, C, H, W), known by its proximal operator.

    A convex prior that has no closed proximal operator is written R(x) = g(K x), K linear, where g has one: then
    `__call__` is one iteration, and primal-dual methods use K and g by `analyse`, `synthesise`, `norm`, `dual_prox`.
    For all others K is the identity.
    """

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
        """Kᵀ p."""
        return p

    def norm(self, shape: tuple[int, ...]) -> float:
        """‖K‖ on videos of shape (T, C, H, W)."""
        return 1.0

    def dual_prox(self, q: Tensor, sigma: float) -> Tensor:
        """argmin_p ½‖p − q‖² + sigma·g*(p), which is q − sigma · prox_{g/sigma}(q/sigma) (Moreau, 1965)."""
        return q - sigma * self(q / sigma, 1 / sigma)[0]


def each(step: Step) -> Step:
    """A number per sample, made to broadcast over videos (*batch, T, C, H, W)."""
    return per_sample(step, VIDEO_AXES)


def check_video(v: Tensor) -> None:
    """Raise a ShapeError unless v can be a video."""
    if v.ndim < VIDEO_AXES:
        raise ShapeError(f"video priors need a tensor of shape (*batch, T, C, H, W), got {tuple(v.shape)}")


def check_weight(name: str, weight: float | Tensor) -> None:
    """Raise a SpecError unless the weight is 0 or more."""
    if not 0 <= float(torch.as_tensor(weight).detach()) < math.inf:
        raise SpecError(f"{name} must be 0 or more, got {weight}")


def soft_threshold(x: Tensor, threshold: Step) -> Tensor:
    """sign(x) · max(|x| − threshold, 0), entry by entry."""
    return x - torch.clamp(x, -threshold, threshold)  # type: ignore[call-overload]  # numbers or tensors, both are taken


def total(x: Tensor) -> Tensor:
    """The sum over T, C, H, W."""
    return x.sum((-4, -3, -2, -1))


@dataclass(frozen=True)
class Box(Prior):
    """R(x) = 0 where low ≤ x ≤ high everywhere, else ∞; its proximal operator clips. `Box(high=math.inf)`: x ≥ 0.

    Example:
        >>> import torch
        >>> Box()(torch.tensor([-1.0, 0.5, 2.0]).reshape(3, 1, 1, 1), 1.0)[0].flatten()
        tensor([0.0000, 0.5000, 1.0000])
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise SpecError(f"a box needs low ≤ high, got {self.low} and {self.high}")

    def __call__(self, v: Tensor, step: Step, memory: Memory = (), relaxation: float = 1.0) -> tuple[Tensor, Memory]:
        check_video(v)
        return v.clamp(self.low, self.high), memory

    def value(self, x: Tensor) -> Tensor:
        outside = ((x < self.low) | (x > self.high)).flatten(-VIDEO_AXES).any(-1)
        return x.new_zeros(outside.shape).masked_fill(outside, math.inf)


@dataclass(frozen=True)
class SquaredNorm(Prior):
    """R(x) = weight/2 · ‖x‖²; prox(v) = v / (1 + step · weight).

    Example:
        >>> import torch
        >>> SquaredNorm(1.0)(torch.ones(1, 1, 1, 1), 1.0)[0].item()
        0.5
    """

    weight: float | Tensor

    def __post_init__(self) -> None:
        check_weight("weight", self.weight)

    def __call__(self, v: Tensor, step: Step, memory: Memory = (), relaxation: float = 1.0) -> tuple[Tensor, Memory]:
        check_video(v)
        return v / (1 + each(step) * self.weight), memory

    def value(self, x: Tensor) -> Tensor:
        return self.weight / 2 * total(x.square())


@dataclass(frozen=True)
class GroupSparsity(Prior):
    """R(x) = weight · Σ_g ‖x_g‖₂, the groups being the entries that differ in `axes` only.

    prox shrinks every group: x_g · max(1 − step · weight/‖x_g‖, 0). Source: Yuan and Lin, Journal of the Royal
    Statistical Society B 68(1), 2006.

    Args:
        weight: λ ≥ 0.
        axes: of T, C, H, W, counted from 0; (0, 1) makes one group of each pixel, over all frames and channels.

    Example:
        >>> import torch
        >>> GroupSparsity(5.0, (0,))(torch.tensor([3.0, 4.0]).reshape(2, 1, 1, 1), 1.0)[0].abs().max().item()
        0.0
    """

    weight: float
    axes: tuple[int, ...] = (0, 1)

    def __post_init__(self) -> None:
        check_weight("weight", self.weight)
        if not self.axes or not set(self.axes) <= set(range(VIDEO_AXES)):
            raise SpecError(f"axes of a group are some of 0, 1, 2, 3 for T, C, H, W, got {self.axes}")

    def __call__(self, v: Tensor, step: Step, memory: Memory = (), relaxation: float = 1.0) -> tuple[Tensor, Memory]:
        check_video(v)
        return v * (1 - each(step) * self.weight / self._norms(v)).clamp(min=0), memory

    def value(self, x: Tensor) -> Tensor:
        return self.weight * total(self._norms(x))

    def _norms(self, x: Tensor) -> Tensor:
        squares = x.square()
        for axis in self.axes:
            squares = squares.sum(axis - VIDEO_AXES, keepdim=True)
        return squares.clamp(min=1e-24).sqrt()  # the root of 0 has no gradient


@dataclass(frozen=True)
class NuclearNorm(Prior):
    """R(x) = weight · ‖X‖_*, X the T × CHW matrix with a frame in each row: few patterns explain all frames.

    prox shrinks the singular values, S ↦ max(S − step · weight, 0), here as U diag(max(1 − step · weight/S, 0)) Uᵀ X
    with U and S² from the T × T matrix XXᵀ in float64. With `GroupSparsity` or `WaveletL1` beside it: background and
    foreground. Source: Cai, Candès and Shen, SIAM Journal on Optimization 20(4), 2010.

    Example:
        >>> import torch
        >>> still = torch.rand(1, 3, 8, 8).expand(4, 3, 8, 8)
        >>> x, _ = NuclearNorm(0.1)(still + 0.001 * torch.randn(4, 3, 8, 8), 1.0)
        >>> int(torch.linalg.matrix_rank(x.flatten(1), rtol=1e-4))
        1
    """

    weight: float

    def __post_init__(self) -> None:
        check_weight("weight", self.weight)

    def __call__(self, v: Tensor, step: Step, memory: Memory = (), relaxation: float = 1.0) -> tuple[Tensor, Memory]:
        check_video(v)
        X = v.flatten(-3)
        values, U = torch.linalg.eigh(X.double() @ X.double().mT)
        singular = values.clamp(min=1e-24).sqrt()
        kept = (1 - per_sample(step, 1) * self.weight / singular).clamp(min=0)
        shrink = (U * kept.unsqueeze(-2)) @ U.mT
        return (shrink.to(v) @ X).reshape(v.shape), memory

    def value(self, x: Tensor) -> Tensor:
        X = x.flatten(-3).double()
        return self.weight * torch.linalg.eigvalsh(X @ X.mT).clamp(min=0).sqrt().sum(-1).to(x)
