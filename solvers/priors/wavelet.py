"""Sparsity in wavelets."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from linops_video import Wavelet
from linops_video.algebra.parameters import per_sample
from linops_video.errors import SpecError
from linops_video.solvers.priors.prior import (
    VIDEO_AXES,
    Memory,
    Prior,
    Step,
    check_count,
    check_video,
    check_weight,
    each,
    soft_threshold,
    squares,
    total,
)

AXES = (-4, -2, -1)

KINDS: dict[str, tuple[type, str]] = {"wavelet": (str, "name"), "levels": (int, "whole number")}
"""Field -> of which kind its values are."""

Frame = tuple[int, tuple, Wavelet]
"""By how much the video is moved on, the window of it, and W on that."""


@dataclass(frozen=True)
class WaveletL1(Prior):
    """R(x) = weight · ‖details of W x‖₁ with the 3-D wavelet transform W over (T, H, W) of each channel.

    Approximations are not penalised: they hold the video's mean, which a penalty would draw to black where nothing was
    measured. With `levels` = 0 there are no details, and all pixels are penalised: R(x) = weight · ‖x‖₁.

    prox(v) = Wᵀ soft(W v, step · weight), exact as W is orthonormal. Where a size is no multiple of 2^levels, R is the
    mean of n such priors Rⱼ, each on the largest window whose size is one, at either end of the axis; so it is with
    `spins` videos, each moved on by an entry on every axis, cyclically (cycle spinning, Coifman and Donoho, 1995). Each
    call is then a step of projected gradients on the dual variables pⱼ, its memory, which are zero at first:

        pⱼ ← q − prox_{step·Rⱼ/n}(q), q = pⱼ + (v − Σ pᵢ)/n,    x ← v − Σ pⱼ.

    With v fixed, x converges to prox(v), from the mean of the prox_{step·Rⱼ}(v). Within ADMM, where v moves, both
    together are the method of Chambolle and Pock with K x = (x, …, x), over-relaxed as one, which converges to the same
    solution as with exact proximal operators. An axis has no more levels than there are halvings that leave an entry.

    Args:
        weight: λ ≥ 0.
        wavelet: a name, or one per axis T, H, W.
        levels: an int for all three axes, or one per axis T, H, W; 0 is soft thresholding of the pixels.
        spins: 1 or more; 2^levels take blocks out of the result.

    Example:
        >>> import torch
        >>> x, _ = WaveletL1(0.1, "haar", (1, 2, 2))(torch.rand(8, 3, 30, 32), 1.0)
        >>> x.shape
        torch.Size([8, 3, 30, 32])
    """

    weight: float
    wavelet: str | tuple[str, str, str] = "haar"
    levels: int | tuple[int, int, int] = 1
    spins: int = 1

    def __post_init__(self) -> None:
        check_weight("weight", self.weight)
        Wavelet((1, 1, 1), _per_axis("wavelet", self.wavelet), _per_axis("levels", self.levels))  # which checks them
        check_count("spins", self.spins)

    def __call__(self, v: Tensor, step: Step, memory: Memory = (), relaxation: float = 1.0) -> tuple[Tensor, Memory]:
        frames = tuple(self._frames(v))
        if len(frames) == 1:
            return self._shrunk(v, frames[0], step), memory
        before = memory[0] if memory else torch.zeros_like(v).unsqueeze(-5).repeat_interleave(len(frames), -5)
        q = before + ((v - self.synthesise(before)) / len(frames)).unsqueeze(-5)
        after = q - self._each_shrunk(q, frames, step)
        kept = after if relaxation == 1 else before.lerp(after, relaxation)
        return v - self.synthesise(after), (kept,)

    def rescaled(self, memory: Memory, factor: Step) -> Memory:
        return tuple(per_sample(factor, VIDEO_AXES + 1) * p for p in memory)

    def changes(self, before: Memory, after: Memory) -> tuple[Step, Step]:
        """The duals' in the metric of the step, n‖Δp‖² − ‖Σ Δpⱼ‖²: ‖Σ Δpⱼ‖ is in the change of x."""
        if not before:
            return 0.0, 0.0
        moved = after[0] - before[0]
        return 0.0, moved.shape[-5] * total(squares(moved)).sum(-1) - total(squares(self.synthesise(moved)))

    def analyse(self, x: Tensor) -> Tensor:
        """x for each of the n priors that R is the mean of, shape (*batch, n, T, C, H, W)."""
        n = len(tuple(self._frames(x)))
        return x.unsqueeze(-5).expand(*x.shape[:-4], n, *x.shape[-4:])

    def synthesise(self, p: Tensor) -> Tensor:
        """Σ pⱼ, shape (*batch, T, C, H, W)."""
        return p.sum(-5)

    def norm(self, shape: tuple[int, ...]) -> float:
        return len(tuple(self._frames(torch.empty(shape)))) ** 0.5

    def dual_prox(self, q: Tensor, sigma: float | Tensor) -> Tensor:
        return q - sigma * self._each_shrunk(q / sigma, self._frames(q), 1 / sigma)

    def value(self, x: Tensor) -> Tensor:
        values = []
        for shift, window, W in self._frames(x):
            coefficients = W(_rolled(x, shift)[window]).abs()
            kept = self._approximations(W)
            values.append(total(coefficients) - (0 if kept is None else total(coefficients[kept])))
        return self.weight * torch.stack(values).mean(0)

    def _each_shrunk(self, q: Tensor, frames: Iterable[Frame], step: Step) -> Tensor:
        """prox_{step·Rⱼ/n}(qⱼ) of each of the n priors that R is the mean of, shape (*batch, n, T, C, H, W)."""
        parts = zip(q.unbind(-5), frames, strict=True)
        return torch.stack([self._shrunk(part, frame, step / q.shape[-5]) for part, frame in parts], -5)

    def _shrunk(self, v: Tensor, frame: Frame, step: Step) -> Tensor:
        """prox_{step·R}(v) with the R of one frame."""
        shift, window, W = frame
        moved = _rolled(v, shift)
        coefficients = W(moved[window])
        shrunk = soft_threshold(coefficients, each(step) * self.weight)
        kept = self._approximations(W)
        if kept is not None:
            shrunk[kept] = coefficients[kept]
        part = W.H(shrunk)
        return _rolled(part if part.shape == v.shape else _placed(moved, window, part), -shift)

    def _approximations(self, W: Wavelet) -> tuple | None:
        """Where the coefficients are that count nothing; None where all do, because no level is asked for."""
        asked = any(_per_axis("levels", self.levels))
        return (..., *(slice(n) for n in W.approximation_shape)) if asked else None

    def _frames(self, v: Tensor) -> Iterator[Frame]:
        """Those of the priors that R is the mean of."""
        check_video(v)
        sizes, names = tuple(v.shape[dim] for dim in AXES), _per_axis("wavelet", self.wavelet)
        wanted = zip(_per_axis("levels", self.levels), sizes, strict=True)
        depths = tuple(min(depth, size.bit_length() - 1) for depth, size in wanted)
        for shift, window in itertools.product(range(self.spins), _windows(sizes, depths)):
            shape = tuple(v[window].shape[-4:])
            yield shift, window, Wavelet(shape, (names[0], "haar", *names[1:]), (depths[0], 0, *depths[1:]))


def _per_axis(field: str, value: Any) -> tuple[Any, ...]:
    """The value of a field for each of T, H, W."""
    kind, what = KINDS[field]
    values = (value,) * 3 if isinstance(value, kind) else value
    if not isinstance(values, Sequence) or len(values) != 3 or not all(isinstance(one, kind) for one in values):
        raise SpecError(f"{field} needs one {what}, or one for each of T, H, W, got {value!r}")
    return tuple(values)


def _windows(sizes: tuple[int, ...], depths: tuple[int, ...]) -> Iterator[tuple]:
    """Slices of the last four axes: the largest window with sizes divisible by 2^depth, at both ends of each axis."""
    slices = []
    for size, depth in zip(sizes, depths, strict=True):
        rest = size % 2**depth
        slices.append([slice(start, start + size - rest) for start in sorted({0, rest})])
    for t, h, w in itertools.product(*slices):
        yield (..., t, slice(None), h, w)


def _rolled(v: Tensor, shift: int) -> Tensor:
    return v.roll((shift,) * len(AXES), AXES) if shift else v


def _placed(v: Tensor, window: tuple, part: Tensor) -> Tensor:
    x = v.clone()
    x[window] = part
    return x
