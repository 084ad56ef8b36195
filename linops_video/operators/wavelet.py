"""The orthonormal wavelet transform, separable and of several levels.

Level j transforms the axes that have at least j levels, of the block of approximations of level j − 1, into halves of
length ⌈n/2⌉, approximations first. With the same number of levels on all axes this equals
`pywt.coeffs_to_array(pywt.wavedecn(x, wavelet, "periodization", levels))`, and so does its layout: on an axis of length
n with L levels of lengths aⱼ = ⌈aⱼ₋₁/2⌉, a₀ = n, approximations stand at [0, a_L) and details of level j at
[sⱼ, sⱼ + aⱼ), with s_L = a_L and sⱼ₋₁ = sⱼ + aⱼ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from linops_video.algebra.operator import LinearOperator
from linops_video.algebra.parameters import Shape, by_parts
from linops_video.algebra.slabs import slabs
from linops_video.errors import ShapeError, SpecError
from linops_video.operators.filterbank import Steps, analyse, is_haar, low_pass, synthesise
from linops_video.operators.multiplier import undone, unitary_gram


@dataclass(frozen=True, eq=False, repr=False)
class Wavelet(LinearOperator):
    """Discrete wavelet transform with orthonormal filters and periodization, own filters and levels on each axis.

    Where every length that is halved is even, WᵀW = WWᵀ = I and `out_shape` = `in_shape`. An odd length is extended by
    its last entry, as PyWavelets does it: W then has more rows than columns, and `inverse` is not the adjoint. The
    coefficients are laid out as by PyWavelets' `coeffs_to_array`. Source: Mallat, IEEE Transactions on Pattern Analysis
    and Machine Intelligence 11(7), 1989.

    Args:
        in_shape: the event shape.
        wavelet: an orthonormal one of PyWavelets (haar, db4, …), for all axes or one per axis, else a SpecError.
        levels: 0 (not transformed) or more, for all axes or one per axis, else a SpecError or ShapeError. Of a video
            (T, C, H, W) one or three are for T, H and W, and its channels are not transformed.

    Example:
        >>> import torch
        >>> W, x = Wavelet((8, 3, 64, 64), "haar", (1, 2, 2)), torch.rand(8, 3, 64, 64)
        >>> torch.allclose(W.T(W(x)), x, atol=1e-6)
        True
    """

    in_shape: Shape
    wavelet: str | tuple[str, ...] = "haar"
    levels: int | tuple[int, ...] = 1
    method_name: ClassVar[str] = "wavelet transform"

    def __post_init__(self) -> None:
        _check(self)
        vars(self)["_lengths"] = _lengths_of(self)
        vars(self)["_steps"] = _steps_of(self)

    @property
    def out_shape(self) -> Shape:
        return tuple(sum(lengths[1:]) + lengths[-1] for lengths in _lengths(self))

    @property
    def approximation_shape(self) -> Shape:
        """The shape of the block of approximations, which stands first on every axis."""
        return tuple(lengths[-1] for lengths in _lengths(self))

    def _apply(self, x: Tensor) -> Tensor:
        return by_parts(lambda part: _analyse(self, part, 1), x)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return by_parts(lambda part: _synthesise(self, part, 1, adjoint=True), y)

    def inverse(self, coefficients: Tensor) -> Tensor:
        """x with W x = `coefficients`, as `pywt.waverecn`; a left inverse of W where lengths are odd."""
        return by_parts(lambda part: _synthesise(self, part, 1, adjoint=False), coefficients)

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        return unitary_gram(self, weight) if _is_orthonormal(self) else super().gram(weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return unitary_gram(self.H, weight) if _is_orthonormal(self) else super().outer(weight)

    def _before(self, other: LinearOperator) -> LinearOperator | None:
        return undone(self, other) if _is_orthonormal(self) else None

    _after = _before


def _is_orthonormal(W: Wavelet) -> bool:
    """Whether every length that is halved is even, so that W⁻¹ = Wᵀ."""
    return W.out_shape == W.in_shape


def _lengths(W: Wavelet) -> tuple[tuple[int, ...], ...]:
    """For each axis the lengths a₀ = n, a₁, …, a_L of its approximations."""
    return vars(W)["_lengths"]


def _lengths_of(W: Wavelet) -> tuple[tuple[int, ...], ...]:
    """The same worked out, as `_steps_of` are once for all calls: it takes small transforms a fifth of their time."""
    sizes = zip(W.in_shape, _levels(W), strict=True)
    return tuple(tuple(math.ceil(n / 2**level) for level in range(depth + 1)) for n, depth in sizes)


def _wavelets(W: Wavelet) -> tuple[str, ...]:
    return W.wavelet if isinstance(W.wavelet, tuple) else (W.wavelet,) * len(W.in_shape)


def _levels(W: Wavelet) -> tuple[int, ...]:
    """The levels of each axis: 0 for the channels of a video where they are not given."""
    n = len(W.in_shape)
    levels = W.levels if isinstance(W.levels, tuple) else (W.levels,) * (3 if n == 4 else n)
    return (levels[0], 0, *levels[1:]) if n == 4 and len(levels) == 3 else levels


def _check(W: Wavelet) -> None:
    n = len(W.in_shape)
    for name, value, each in (("wavelets", W.wavelet, _wavelets(W)), ("numbers of levels", W.levels, _levels(W))):
        if len(each) != n:
            raise ShapeError(f"an event of {n} axes needs as many {name} or one, got {value}")
    for name in _wavelets(W):
        low_pass(name)
    if min(_levels(W), default=0) < 0:
        raise SpecError(f"numbers of levels must be 0 or more, got {W.levels}")


def _steps(W: Wavelet, level: int) -> tuple[tuple[int, str, int, int], ...]:
    """What happens at a level: (dim, wavelet, ⌈n/2⌉, room for the coefficients of that many) per axis halved."""
    steps = vars(W)["_steps"]
    return steps[level - 1] if level <= len(steps) else ()


def _steps_of(W: Wavelet) -> tuple[tuple[tuple[int, str, int, int], ...], ...]:
    axes = list(enumerate(zip(_lengths(W), _wavelets(W), strict=True), -len(W.in_shape)))
    return tuple(
        tuple(
            (dim, name, lengths[level], sum(lengths[level + 1 :]) + lengths[-1])
            for dim, (lengths, name) in axes
            if level < len(lengths)
        )
        for level in range(1, max(_levels(W), default=0) + 1)
    )


def _analyse(W: Wavelet, x: Tensor, level: int) -> Tensor:
    """W x from this level on."""
    steps = _steps(W, level)
    if not steps:
        return x
    corner = [slice(None)] * x.ndim
    for dim, _, half, _ in steps:
        corner[dim] = slice(half)
    x = _halved(x, [step[:2] for step in steps], -len(W.in_shape))
    if not _steps(W, level + 1):
        return x
    inner = _analyse(W, x[tuple(corner)], level + 1)
    for dim, _, half, room in steps:
        x = _insert_zeros(x, dim, half, room - half)
        corner[dim] = slice(room)
    x[tuple(corner)] = inner
    return x


def _halved(x: Tensor, steps: Steps, first: int) -> Tensor:
    """One level, on parts along the `first` axis that stay in the cache."""
    whole, rest = _by_part(steps, first)
    x, pairs = analyse(x, whole), first in dict(rest)
    if not rest:
        return x
    parts = [analyse(x.narrow(first, start, stop - start), rest) for start, stop in slabs(x, first, 1 + pairs)]
    if pairs:
        low, high = zip(*(part.chunk(2, first) for part in parts), strict=True)
        parts = low + high
    return torch.cat(parts, first)


def _doubled(y: Tensor, steps: Steps, first: int) -> Tensor:
    """The inverse of `_halved` on even lengths."""
    whole, rest = _by_part(steps, first)
    if rest:
        pairs = first in dict(rest)
        halves = y.chunk(1 + pairs, first)
        bounds = [(start // len(halves), stop // len(halves)) for start, stop in slabs(y, first, len(halves))]
        parts = ([half.narrow(first, start, stop - start) for half in halves] for start, stop in bounds)
        y = torch.cat([synthesise(torch.cat(part, first) if pairs else part[0], rest) for part in parts], first)
    return synthesise(y, whole)


def _by_part(steps: Steps, first: int) -> tuple[Steps, Steps]:
    """Those that need the `first` axis whole, and those that may go part by part, as pairs of Haar may."""
    whole = [(dim, wavelet) for dim, wavelet in steps if dim == first and not is_haar(wavelet)]
    return whole, [step for step in steps if step not in whole]


def _synthesise(W: Wavelet, y: Tensor, level: int, adjoint: bool) -> Tensor:
    """The adjoint or the inverse of `_analyse`."""
    steps = _steps(W, level)
    if not steps:
        return y
    if _steps(W, level + 1):
        y = _with_approximations(W, y, level, adjoint)
    y = _doubled(y, [step[:2] for step in steps], -len(W.in_shape))
    for dim, _, _, _ in steps:
        odd = _lengths(W)[dim][level - 1] % 2
        if odd:
            y, last = y.split((y.shape[dim] - 1, 1), dim)
        if odd and adjoint:
            y = torch.cat((y.narrow(dim, 0, y.shape[dim] - 1), y.narrow(dim, -1, 1) + last), dim)
    return y


def _with_approximations(W: Wavelet, y: Tensor, level: int, adjoint: bool) -> Tensor:
    """The coefficients of one level: approximations, of the deeper ones' coefficients, then y's details."""
    corner, approximations = [slice(None)] * y.ndim, [slice(None)] * y.ndim
    for dim, _, half, room in _steps(W, level):
        corner[dim], approximations[dim] = slice(room), slice(half)
    inner = _synthesise(W, y[tuple(corner)], level + 1, adjoint)
    for dim, _, half, room in _steps(W, level):
        y = torch.cat((y.narrow(dim, 0, half), y.narrow(dim, room, half)), dim)
    y[tuple(approximations)] = inner
    return y


def _insert_zeros(x: Tensor, dim: int, at: int, count: int) -> Tensor:
    if count == 0:
        return x
    low, high = x.split((at, x.shape[dim] - at), dim)
    shape = list(x.shape)
    shape[dim] = count
    return torch.cat((low, x.new_zeros(shape), high), dim)
