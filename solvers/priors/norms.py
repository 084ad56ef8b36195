"""Priors that a formula settles: bounds, norms, norms of groups and of singular values."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video.algebra.parameters import from_first, per_sample
from linops_video.errors import DtypeError, SpecError
from linops_video.solvers.priors.prior import (
    VIDEO_AXES,
    Memory,
    Prior,
    Step,
    check_video,
    check_weight,
    each,
    floor,
    squares,
    total,
)


@dataclass(frozen=True)
class Box(Prior):
    """R(x) = 0 where low ≤ x ≤ high everywhere, else ∞; its proximal operator clips. `Box(high=math.inf)`: x ≥ 0.

    Raises `DtypeError` for complex videos.

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
        if v.is_complex():
            raise DtypeError(
                f"bounds need real numbers, and this video is {v.dtype}: leave Box out, or solve for its parts"
            )
        return v.clamp(self.low, self.high), memory

    def feasible(self, x: Tensor) -> Tensor:
        return x.clamp(self.low, self.high)

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
        return self.weight / 2 * total(squares(x))


@dataclass(frozen=True)
class GroupSparsity(Prior):
    """R(x) = weight · Σ_g ‖x_g‖₂, the groups being the entries that differ in `axes` only.

    prox shrinks every group: x_g · max(1 − step · weight/‖x_g‖, 0). Source: Yuan and Lin, Journal of the Royal
    Statistical Society B 68(1), 2006.

    Args:
        weight: λ ≥ 0.
        axes: of T, C, H, W, counted from 0, or negative ones from the last; (0, 1) makes one group of each pixel, over
            all frames and channels.

    Example:
        >>> import torch
        >>> GroupSparsity(5.0, (0,))(torch.tensor([3.0, 4.0]).reshape(2, 1, 1, 1), 1.0)[0].abs().max().item()
        0.0
    """

    weight: float
    axes: tuple[int, ...] = (0, 1)

    def __post_init__(self) -> None:
        check_weight("weight", self.weight)
        if not self.axes:
            raise SpecError("a group needs one axis or more, of 0, 1, 2, 3 for T, C, H, W: got none")
        object.__setattr__(self, "axes", from_first(self.axes, (1,) * VIDEO_AXES))

    def __call__(self, v: Tensor, step: Step, memory: Memory = (), relaxation: float = 1.0) -> tuple[Tensor, Memory]:
        check_video(v)
        return v * (1 - each(step) * self.weight / self._norms(v)).clamp(min=0), memory

    def value(self, x: Tensor) -> Tensor:
        return self.weight * total(self._norms(x))

    def _norms(self, x: Tensor) -> Tensor:
        sizes = squares(x)
        for axis in self.axes:
            sizes = sizes.sum(axis - VIDEO_AXES, keepdim=True)
        return sizes.clamp(min=floor(sizes)).sqrt()  # the root of 0 has no gradient


@dataclass(frozen=True)
class NuclearNorm(Prior):
    """R(x) = weight · ‖X‖_*, X the T × CHW matrix with a frame in each row: few patterns explain all frames.

    prox shrinks the singular values, S ↦ max(S − step · weight, 0), here as U diag(max(1 − step · weight/S, 0)) Uᴴ X
    with U and S² from the T × T matrix XXᴴ in float64. With `GroupSparsity` or `WaveletL1` beside it: background and
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
        M = _outer(X)
        threshold = torch.as_tensor(per_sample(step, 1) * self.weight, dtype=torch.float64, device=v.device)
        shrink = _shrinkage(M, threshold.expand(*M.shape[:-2], 1))
        return (shrink.to(v) @ X).reshape(v.shape), memory

    def value(self, x: Tensor) -> Tensor:
        singular = _roots(torch.linalg.eigvalsh(_outer(x.flatten(-3))))
        return self.weight * singular.sum(-1).to(x.real)


def _shrinkage(M: Tensor, t: Tensor) -> Tensor:
    """U diag(max(1 − t/S, 0)) Uᴴ of M = U diag(S²) Uᴴ, with its first derivatives at equal singular values, too.

    That in M is U (D ∘ UᴴdMU) Uᴴ, D the divided differences of g(S²) = max(1 − t/S, 0), which are t/(SᵢSⱼ(Sᵢ + Sⱼ))
    where both are kept. Source: Daleckii and Krein, AMS Translations 47, 1965.
    """
    values, U = torch.linalg.eigh(M.detach())
    S, bound = _roots(values), t.detach().unsqueeze(-1)
    larger, smaller = (end(S.unsqueeze(-1), S.unsqueeze(-2)) for end in (torch.maximum, torch.minimum))
    one = (larger - bound) / (larger * (larger - smaller).clamp(min=torch.finfo(S.dtype).tiny))
    both = bound / (larger * smaller)
    D = torch.where(smaller > bound, both, torch.where(larger > bound, one, 0)) / (larger + smaller)
    changed = D * (U.mH @ (M - M.detach()) @ U)  # zero, with a derivative
    return U @ (torch.diag_embed((1 - t / S).clamp(min=0)).to(U) + changed) @ U.mH


def _roots(values: Tensor) -> Tensor:
    """Singular values from their squares; the root of 0 has no gradient."""
    return values.clamp(min=floor(values)).sqrt()


def _outer(X: Tensor) -> Tensor:
    """XXᴴ in float64."""
    X = X.to(torch.promote_types(X.dtype, torch.float64))
    return X @ X.mH
