"""The noise of a measurement, from the measurement itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from linops_video.algebra.krylov import Map
from linops_video.algebra.operator import LinearOperator
from linops_video.errors import MeasurementError
from linops_video.operators.stack import Stack
from linops_video.problems.forward_model import InverseProblem

PATCHES = 50_000
"""Patches that are looked at: the error of σ is below 1 % from 10,000 on."""

LEAST = 64
"""Fewest patches, or entries that A leaves to noise alone, that tell σ."""


def noise_level(problem: InverseProblem) -> float:
    """σ of the white noise on y = A x + noise, estimated from y; `problem.noise_std` is not looked at.

    Where y has more entries than A can reach (dropped entries, margins of a full convolution), what is left of it,
    y − A A⁺ y, is nothing but noise, and its norm beside that of white noise treated in the same way is σ. Where A⁺ is
    iterative, only entries that A does not reach at all are taken so. Else, where y is a video, or a stack that begins
    with one, σ is that of its patches (`estimate_noise`).

    Raises:
        MeasurementError: if A reaches all of y, and y is no video, or too small a one, or one with a pattern of random
            weights, as of means over dropped entries: then nothing in y tells noise from signal.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> model = forward_model("pid", (4, 3, 32, 32))
        >>> round(noise_level(model.measure(torch.rand(4, 3, 32, 32))), 2)
        0.1
    """
    samples = problem.samples()
    if samples[0] is not problem:  # of a batch, which may have one sample
        squares = [noise_level(sample) ** 2 for sample in samples]
        return (sum(squares) / len(squares)) ** 0.5
    A, y = problem.operator, problem.y
    normal = problem.normal

    def beyond_the_range(v: Tensor) -> Tensor:
        return v - A(normal.pinv(v))

    exact, unreached = normal.exact, ~reached(A, y)
    told = _left_over(y, beyond_the_range if exact else unreached.mul)  # A⁺ of noise by conjugate gradients: minutes
    if told is not None:
        return told
    if isinstance(A, Stack):
        A = A.operators[0]
        y = problem.operator.split(y)[0]  # type: ignore[attr-defined]  # of a Stack
    told = _estimate(y, reached(A, y)) if len(A.out_shape) == 4 else None
    if told is None and not exact and (left := _left_over(problem.y, beyond_the_range)) is not None:
        return left
    if told is None:
        raise MeasurementError(f"the noise of {A!r} cannot be told from y, which is no video, or small: give noise_std")
    if _pattern(A, y) > told / 2:
        raise MeasurementError(f"the noise of {A!r} cannot be told from the pattern that A lays over y: give noise_std")
    return told


def _left_over(y: Tensor, left: Map) -> float | None:
    """σ by what a projection leaves of y beside what it leaves of white noise; None if that is next to nothing."""
    wide = torch.complex128 if y.is_complex() else torch.float64
    white = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=wide).to(y)
    freedom, power, all_of_it = (v.abs().double().square().sum() for v in (left(white), left(y), y))
    rounding = torch.finfo(y.dtype).eps ** 1.5 * all_of_it  # y − A A⁺ y of y = A x: eps² of it, or little more
    return float((power / freedom).sqrt()) if freedom >= max(LEAST, 1e-3 * y.numel()) and power > rounding else None


def _pattern(A: LinearOperator, y: Tensor) -> float:
    """Noise that A makes of an even video as bright as y, as random weights do: single frames and channels show it."""
    even = A(torch.ones(*A.batch_shape, *A.in_shape).to(y))
    brightness = (even.conj() * y).sum().abs() / even.abs().square().sum().clamp_min(1e-30)
    planes = (even * brightness).reshape(-1, 1, 1, *even.shape[-2:])
    return _estimate(planes, reached(A, y).reshape(planes.shape)) or 0.0


def reached(A: LinearOperator, like: Tensor) -> Tensor:
    """Which entries of A x a video has a part in, shape (*A.batch_shape, *A.out_shape).

    Of A on random entries the others are exactly zero. `like`: for device and precision.

    Example:
        >>> import torch
        >>> from linops_video import Diagonal
        >>> reached(Diagonal(torch.tensor([1.0, 0.0]), (2,)), torch.zeros(()))
        tensor([ True, False])
    """
    return A(_anything(A, like)) != 0


def covered(A: LinearOperator, like: Tensor) -> Tensor:
    """Which entries of x have a part in A x, shape (*A.batch_shape, *A.in_shape).

    Of AᴴA on random entries the others are exactly zero. `like`: for device and precision.
    """
    return A.H(A(_anything(A, like))) != 0


def _anything(A: LinearOperator, like: Tensor) -> Tensor:
    """Random entries, none of them zero."""
    x = torch.rand(*A.batch_shape, *A.in_shape, generator=torch.Generator().manual_seed(0))
    return (x + 0.5).to(like)


def estimate_noise(y: Tensor, observed: Tensor | None = None) -> float:
    """Noise σ of a video (*batch, T, C, H, W), or of frames (..., H, W), by the principal components of patches.

    Neighbouring entries of a video, in space, time and colour, are so much alike that most components of a patch of
    2 × C × 3 × 3 (5 × 5 without colours) hold next to nothing but noise: those whose variances have a mean no larger
    than their median (Chen, Zhu and Heng, IEEE ICCV, 2015). σ is the median of their magnitudes over 0.6745, over the
    quarter of the patches that have least in the other components: texture that does reach those is left out.
    Of complex frames σ² is the sum of those of both parts.
    `observed`: like y, zero where y says nothing; patches that touch such a place are left out, and smaller ones taken
    where too few remain. Bars around the frames, frames that repeat the one before and channels that repeat the
    first are left out. Fewer than 64 patches give 0, for readers of files, which know the least σ of their format.

    Raises:
        MeasurementError: for NaN and infinite values among the observed ones.

    Example:
        >>> import torch
        >>> y = 0.1 * torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        >>> round(estimate_noise(y), 2)
        0.1
    """
    return _estimate(y, observed) or 0.0


def _estimate(y: Tensor, observed: Tensor | None) -> float | None:
    """`estimate_noise`, None where there are too few patches."""
    if y.is_complex():
        parts = _estimate(y.real, observed), _estimate(y.imag, observed)
        return None if None in parts else math.hypot(*parts)  # type: ignore[arg-type]
    if y.ndim < 2 or not y.numel():
        return None
    y = y.reshape((1,) * max(4 - y.ndim, 0) + y.shape)
    seen = None if observed is None else (observed != 0).expand(y.shape)
    tells = _telling(y)
    y, seen = y[tells], None if seen is None else seen[tells]
    if min(y.shape[-2:]) < 2:
        return None
    for size in _patch_sizes(tuple(y.shape[-4:])):
        patches = _patches(y, size)
        if seen is not None:
            patches = patches[_patches(seen, size).all(-1)]
        count, entries = patches.shape
        if count >= max(LEAST, 10 * entries):
            return _noise_of_patches(patches.double())
    return None


def _telling(y: Tensor) -> tuple[Any, ...]:
    """An index of the frames, channels, rows and columns that have noise of their own.

    Without the bars of one colour at the sides, frames that repeat the one before, and channels that all are the same.
    """
    axes = range(y.ndim)
    anew = (y.diff(dim=-4) != 0).any(dim=tuple(i for i in axes if i != y.ndim - 4))
    times = torch.cat([anew.new_ones(1), anew]).nonzero()[:, 0]
    channels = slice(1) if (y == y[..., :1, :, :]).all() else slice(None)
    sides = []
    for axis in (y.ndim - 2, y.ndim - 1):
        others = tuple(i for i in axes if i not in (axis, y.ndim - 3))
        varied = (y.amax(others) != y.amin(others)).any(0).nonzero()[:, 0]
        sides.append(slice(int(varied[0]), int(varied[-1]) + 1) if len(varied) else slice(None))
    return ..., times, channels, *sides


def _patch_sizes(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """From those that tell most to those of which most will be complete."""
    frames, channels, height, width = shape
    side = min(3 if frames > 1 and channels > 1 else 5, height, width)
    yield min(2, frames), channels, side, side
    yield 1, channels, side, side
    yield 1, 1, side, side
    yield 1, 1, 2, 2


def _patches(y: Tensor, size: tuple[int, ...]) -> Tensor:
    """All patches, or evenly some of them: one in each row."""
    batch = y.ndim - 4
    for axis, length in enumerate(size):
        y = y.unfold(batch + axis, length, 1)
    every = max(1, int((y[..., 0, 0, 0, 0].numel() / PATCHES) ** 0.5))
    y = y[(..., slice(None, None, every), slice(None, None, every), *(slice(None),) * 4)]
    return y.reshape(-1, y.shape[-4] * y.shape[-3] * y.shape[-2] * y.shape[-1])


def _noise_of_patches(patches: Tensor) -> float:
    if not torch.isfinite(patches).all():
        raise MeasurementError("y has NaN or infinite values: leave them out, as entries that are not observed")
    centred = patches - patches.mean(0)
    variances, components = torch.linalg.eigh(centred.mT @ centred / len(centred))
    count = next(k for k in range(len(variances), 0, -1) if variances[:k].mean() <= _median(variances[:k]))
    coefficients = centred @ components
    detail = coefficients[:, count:-1].square().sum(-1)  # all that is not noise but the largest, which is brightness
    smooth = detail <= detail.kthvalue(max(1, len(detail) // 4)).values
    return float(coefficients[smooth, :count].abs().median() / 0.6745)


def _median(values: Tensor) -> Tensor:
    """Of an even number of values the mean of the middle two."""
    return values.quantile(0.5)
