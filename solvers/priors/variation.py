"""Priors on the differences of neighbouring entries: total variation and its kin, squared differences."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from linops_video import Cosine
from linops_video.algebra.constants import kept
from linops_video.algebra.parameters import per_sample
from linops_video.algebra.slabs import slabs
from linops_video.errors import SpecError
from linops_video.solvers.priors.prior import Memory, Prior, Step, check_video, check_weight, each, floor, squares


@dataclass(frozen=True)
class Differences(Prior):
    """R(x) = g(D x), where D x holds `time_weight` · (x[t+1] − x[t]) and the differences to the next row and column.

    Forward differences, zero at the last entry. DᵀD is diagonal in the DCT-II, so that (I + cDᵀD)⁻¹ is exact.

    Attributes:
        weight: λ ≥ 0.
        time_weight: of differences in time relative to those in space, ≥ 0.
    """

    weight: float
    time_weight: float = 1.0

    def __post_init__(self) -> None:
        check_weight("weight", self.weight)
        check_weight("time_weight", self.time_weight)
        if isinstance(self.time_weight, Tensor):
            raise SpecError("time_weight is a number, and has no gradient")

    def analyse(self, x: Tensor) -> Tensor:
        """D x, shape (*batch, 3, T, C, H, W)."""
        check_video(x)
        q = x.new_empty(*x.shape[:-4], 3, *x.shape[-4:])
        for i, dim in enumerate((-4, -2, -1)):
            n, part = x.shape[dim] - 1, q.select(-5, i)
            part.narrow(dim, n, 1).zero_()
            inner = part.narrow(dim, 0, n).copy_(x.narrow(dim, 1, n)).sub_(x.narrow(dim, 0, n))
            if i == 0 and self.time_weight != 1:
                inner.mul_(self.time_weight)
        return q

    def synthesise(self, p: Tensor) -> Tensor:
        """Dᵀ p, shape (*batch, T, C, H, W)."""
        total = -self.time_weight * p.select(-5, 0)
        total.narrow(-4, -1, 1).zero_()
        for i, dim in enumerate((-4, -2, -1)):
            n, weight = p.shape[dim] - 1, self.time_weight if i == 0 else 1.0
            inner = p.select(-5, i).narrow(dim, 0, n)
            total.narrow(dim, 1, n).add_(inner, alpha=weight)
            if i > 0:  # time is where the sum began
                total.narrow(dim, 0, n).sub_(inner)
        return total

    def inverse(self, c: Step, b: Tensor) -> Tensor:
        """(I + c DᵀD)⁻¹ b, by the eigenvalues of DᵀD in the DCT-II: a sum over the axes."""
        transform = Cosine((0, 2, 3), tuple(b.shape[-4:]))
        slow = kept(_of_frames_and_rows, b, b.shape[-4], b.shape[-2], self.time_weight)
        quick = kept(second_difference, b, b.shape[-1])
        return transform.H(transform(b) / torch.add(1 + each(c) * slow, each(c) * quick))

    def norm(self, shape: tuple[int, ...]) -> float:
        """‖D‖, from the largest eigenvalue of each axis."""
        t, h, w = (float(second_difference(n)[-1]) for n in (shape[-4], shape[-2], shape[-1]))
        return math.sqrt(self.time_weight**2 * t + h + w)

    def spectrum(self, shape: tuple[int, ...]) -> Tensor:
        """Of DᵀD with the last row and column joined to the first, whose further differences only add to it."""
        t, h, w = second_difference(shape[-4]), _periodic_difference(shape[-2]), _periodic_difference(shape[-1])
        return self.time_weight**2 * t.reshape(-1, 1, 1, 1) + h.unsqueeze(-1) + w

    def dual_step(self, p: Tensor, x: Tensor, sigma: float | Tensor, relaxation: float = 1.0) -> Tensor:
        """A few frames at a time, which stay in the cache: it is memory that takes the time."""
        if p.requires_grad or x.requires_grad or isinstance(self.weight, Tensor) or isinstance(sigma, Tensor):
            return super().dual_step(p, x, sigma, relaxation)
        q, frames = torch.empty_like(p), x.shape[-4]
        for start, stop in slabs(x):
            before, after = (t[..., start:stop, :, :, :] for t in (p, q))
            here = x[..., start : min(stop + 1, frames), :, :, :]
            self._ascend(before, here, sigma, after)
            after.mul_(self._dual_factor(after, sigma))
            if relaxation != 1:
                after.lerp_(before, 1 - relaxation)
        return q

    def _ascend(self, p: Tensor, x: Tensor, sigma: float, out: Tensor) -> None:
        """p + sigma · D x into `out`; x may have one frame more than p, for the difference of the last one to it."""
        for i, dim in enumerate((-4, -2, -1)):
            n, scale = x.shape[dim] - 1, sigma * (self.time_weight if i == 0 else 1.0)
            old, new, x = p.select(-5, i), out.select(-5, i), x if i == 0 else x.narrow(-4, 0, p.shape[-4])
            inner = torch.add(old.narrow(dim, 0, n), x.narrow(dim, 1, n), alpha=scale, out=new.narrow(dim, 0, n))
            inner.sub_(x.narrow(dim, 0, n), alpha=scale)
            last = old.shape[dim] - n
            new.narrow(dim, n, last).copy_(old.narrow(dim, n, last))

    def dual_prox(self, q: Tensor, sigma: float | Tensor) -> Tensor:
        return q * self._dual_factor(q, sigma)

    @abstractmethod
    def _dual_factor(self, q: Tensor, sigma: float | Tensor) -> Tensor | float:
        """What `dual_prox` multiplies q with."""


@dataclass(frozen=True)
class TotalVariation(Differences):
    """R(x) = weight · Σ_{t,h,w} φ(‖(D x)_{t,h,w}‖), isotropic over time, height, width and channels together.

    The norm of a place is over the three directions and all channels (Blomgren and Chan, IEEE Transactions on Image
    Processing 7(3), 1998), so that edges of the channels fall on one another; anisotropic, it is over single entries.
    φ(s) = s, or Huber's s²/(2 huber) up to `huber` and s − huber/2 beyond, which leaves ramps as they are.

    Each call is one step of ADMM on w = s D x, and goes on from the last call's memory (w, d):

        x ← (I + s²DᵀD)⁻¹ (v + s Dᵀ(w − d)),    q ← s D x + d,    w ← prox_{step·g}(q),    d ← q − w,

    g that of s D x, with s² = 1/(1 + time_weight²/4), which was measured to converge fast for weights from 0.5 to 12.
    With v fixed, x converges to prox(v). Within ADMM, where v moves, both together are one ADMM on the splitting z = x,
    w = s D x, which converges to the same solution as with exact proximal operators. Over-relaxation puts
    relaxation · s D x + (1 − relaxation) · w in the place of s D x.

    Args:
        weight: λ ≥ 0.
        time_weight: of differences in time relative to those in space, ≥ 0.
        isotropic: over directions and channels, or (False) every difference by itself.
        huber: ≥ 0, differences up to which the penalty is a square; 0: none.

    Example:
        >>> import torch
        >>> x, memory = TotalVariation(0.1)(torch.rand(4, 3, 16, 16), 1.0)
        >>> x.shape
        torch.Size([4, 3, 16, 16])
    """

    isotropic: bool = True
    huber: float = 0.0
    parts: ClassVar[int | None] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weight("huber", self.huber)

    def __call__(self, v: Tensor, step: Step, memory: Memory = (), relaxation: float = 1.0) -> tuple[Tensor, Memory]:
        s = self.balance
        w, d = memory or self._split(self.analyse(s * v), step)
        x = self.inverse(s**2, v + self.synthesise(w - d).mul_(s))
        q = self.analyse(relaxation * s * x).add_(d)
        if relaxation != 1:
            q.add_(w, alpha=1 - relaxation)
        return x, self._split(q, step)

    @property
    def balance(self) -> float:
        """s, the scale of the differences within the iteration."""
        return (1 + self.time_weight**2 / 4) ** -0.5

    def rescaled(self, memory: Memory, factor: Step) -> Memory:
        return () if not memory else (memory[0], per_sample(factor, 5) * memory[1])

    def changes(self, before: Memory, after: Memory) -> tuple[Step, Step]:
        if not before:
            return 0.0, 0.0
        w, d = (squares(b - a).sum((-5, -4, -3, -2, -1)) for a, b in zip(before, after, strict=True))
        return w, d

    def value(self, x: Tensor) -> Tensor:
        size = self._sizes(self.analyse(x))
        size = size.clamp(min=floor(size)).sqrt()
        if self.huber:
            size = torch.where(size > self.huber, size - self.huber / 2, size.square() / (2 * self.huber))
        return self.weight * size.sum((-5, -4, -3, -2, -1))

    def _dual_factor(self, q: Tensor, sigma: float | Tensor) -> Tensor:
        """Of the projection onto ‖p‖ ≤ weight at every place; with Huber's φ, of q / (1 + sigma · huber/weight)."""
        return self._clip_factor(q, self.weight, self.weight + sigma * self.huber)

    def _split(self, q: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """w = prox of step · g at q, g(w) = weight · φ(‖w‖/s) summed, and d = q − w."""
        t, s = per_sample(step, 5) * self.weight, self.balance
        d = q * self._clip_factor(q, t / s, (t + s**2 * self.huber) / s)
        w = q - d if d.requires_grad or isinstance(t, Tensor) else q.sub_(d)  # the largest tensors: one less
        return w, d

    def _clip_factor(self, q: Tensor, limit: Step, start: Step) -> Tensor:
        """limit/max(‖q‖, start) for every place."""
        sizes = self._sizes(q)
        least = start**2
        zero = floor(sizes)
        least = least.to(sizes).clamp(min=zero) if isinstance(least, Tensor) else max(least, zero)
        return limit * sizes.clamp_(min=least).rsqrt_()  # type: ignore[arg-type]  # a number or a tensor

    def _sizes(self, q: Tensor) -> Tensor:
        """‖q‖² of every place, by sums of squares: 70 times as fast as a norm over axes that are not adjacent."""
        if not self.isotropic:
            return squares(q)
        if q.is_complex():
            sizes = squares(q).sum(-5)
        else:
            t, h, w = q.unbind(-5)
            sizes = (t * t).addcmul_(h, h).addcmul_(w, w)
        return (sizes if q.shape[-3] == 1 else sizes.sum(-3, keepdim=True)).unsqueeze(-5)


@dataclass(frozen=True)
class SquaredDifferences(Differences):
    """R(x) = weight/2 · ‖D x‖², which draws the video to a smooth one; prox(v) = (I + step · weight · DᵀD)⁻¹ v, exact.

    Example:
        >>> import torch
        >>> x, _ = SquaredDifferences(100.0)(torch.rand(4, 1, 8, 8), 1e6)
        >>> bool(x.std() < 1e-6)
        True
    """

    def __call__(self, v: Tensor, step: Step, memory: Memory = (), relaxation: float = 1.0) -> tuple[Tensor, Memory]:
        check_video(v)
        return self.inverse(step * self.weight, v), memory

    def value(self, x: Tensor) -> Tensor:
        return self.weight / 2 * squares(self.analyse(x)).sum((-5, -4, -3, -2, -1))

    def _dual_factor(self, q: Tensor, sigma: float | Tensor) -> Tensor | float:
        return 1 / (1 + sigma / max(self.weight, floor(q)))


def second_difference(n: int) -> Tensor:
    """Eigenvalues of the second difference with free ends along an axis of n entries, increasing: of its DCT-II."""
    return 2 - 2 * torch.cos(math.pi / n * torch.arange(n, dtype=torch.float64))


def _of_frames_and_rows(frames: int, rows: int, time_weight: float) -> Tensor:
    """Eigenvalues of DᵀD but for what the columns add, shape (T, 1, H, 1)."""
    return time_weight**2 * second_difference(frames).reshape(-1, 1, 1, 1) + second_difference(rows).unsqueeze(-1)


def _periodic_difference(n: int) -> Tensor:
    """Eigenvalues of the second difference along an axis whose ends are joined, in the order of the FFT."""
    return 2 - 2 * torch.cos(2 * math.pi / n * torch.arange(n, dtype=torch.float64))
