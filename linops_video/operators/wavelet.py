"""The orthonormal wavelet transform, separable and of several levels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import pywt
import torch
from torch import Tensor

from linops_video.algebra.operator import LinearOperator
from linops_video.algebra.parameters import Shape, by_parts
from linops_video.errors import ShapeError, SpecError
from linops_video.operators.multiplier import unitary_gram


@dataclass(frozen=True, eq=False, repr=False)
class Wavelet(LinearOperator):
    """Discrete wavelet transform with orthonormal filters and periodization, own filters and levels on each axis.

    Level j transforms the axes that have at least j levels, of the block of approximations of level j − 1, into halves
    of length ⌈n/2⌉, approximations first. With the same number of levels on all axes this equals
    `pywt.coeffs_to_array(pywt.wavedecn(x, wavelet, "periodization", levels))`, and so does its layout: on an axis of
    length n with L levels of lengths aⱼ = ⌈aⱼ₋₁/2⌉, a₀ = n, approximations stand at [0, a_L) and details of level j at
    [sⱼ, sⱼ + aⱼ), with s_L = a_L and sⱼ₋₁ = sⱼ + aⱼ; so `out_shape` = `in_shape` if every length that is halved is
    even. There W is orthonormal: WᵀW = WWᵀ = I. An odd length is extended by its last entry, as PyWavelets does it: W
    then has more rows than columns, WᵀW ≠ I, and `inverse` is not the adjoint.

    Source: Mallat, IEEE Transactions on Pattern Analysis and Machine Intelligence 11(7), 1989.

    Args:
        in_shape: the event shape.
        wavelet: a name that PyWavelets knows (haar, db4, sym4, …), one for all axes or one per axis.
        levels: an int for all axes, or one per axis; an axis with 0 levels is not transformed.

    Raises:
        SpecError: if a wavelet is unknown or not orthonormal, or a number of levels is negative.
        ShapeError: if there is not one wavelet or number of levels per axis.

    Example:
        >>> import torch
        >>> W = Wavelet((8, 3, 64, 64), "haar", (1, 0, 2, 2))
        >>> x = torch.rand(8, 3, 64, 64)
        >>> torch.allclose(W.T(W(x)), x, atol=1e-6)
        True
    """

    in_shape: Shape
    wavelet: str | tuple[str, ...] = "haar"
    levels: int | tuple[int, ...] = 1
    method_name: ClassVar[str] = "wavelet transform"

    def __post_init__(self) -> None:
        for name, value in (("wavelets", self.wavelet), ("numbers of levels", self.levels)):
            if isinstance(value, tuple) and len(value) != len(self.in_shape):
                raise ShapeError(f"an event of {len(self.in_shape)} axes needs as many {name} or one, got {value}")
        for name in set(self.wavelets):
            low_pass(name)
        if min(self.depths) < 0:
            raise SpecError(f"numbers of levels must be 0 or more, got {self.levels}")

    @property
    def wavelets(self) -> tuple[str, ...]:
        """The wavelet of each axis."""
        return (self.wavelet,) * len(self.in_shape) if isinstance(self.wavelet, str) else self.wavelet

    @property
    def depths(self) -> tuple[int, ...]:
        """The number of levels of each axis."""
        return (self.levels,) * len(self.in_shape) if isinstance(self.levels, int) else self.levels

    @property
    def lengths(self) -> tuple[tuple[int, ...], ...]:
        """For each axis the lengths a₀ = n, a₁, …, a_L of its approximations."""
        sizes = zip(self.in_shape, self.depths, strict=True)
        return tuple(tuple(math.ceil(n / 2**level) for level in range(depth + 1)) for n, depth in sizes)

    @property
    def out_shape(self) -> Shape:
        return tuple(sum(lengths[1:]) + lengths[-1] for lengths in self.lengths)

    @property
    def approximation_shape(self) -> Shape:
        """The shape of the block of approximations, which stands first on every axis."""
        return tuple(lengths[-1] for lengths in self.lengths)

    @property
    def orthonormal(self) -> bool:
        """Whether every length that is halved is even, so that W⁻¹ = Wᵀ."""
        return self.out_shape == self.in_shape

    def _apply(self, x: Tensor) -> Tensor:
        return by_parts(lambda part: self._analyse(part, 1), x)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return by_parts(lambda part: self._synthesise(part, 1, adjoint=True), y)

    def inverse(self, coefficients: Tensor) -> Tensor:
        """x with W x = `coefficients`, shape (*batch, *out_shape) -> (*batch, *in_shape), as `pywt.waverecn`.

        Of coefficients that belong to no x, which exist where lengths are odd: a left inverse of W.
        """
        return by_parts(lambda part: self._synthesise(part, 1, adjoint=False), coefficients)

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        return unitary_gram(self, weight) if self.orthonormal else super().gram(weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return unitary_gram(self.H, weight) if self.orthonormal else super().outer(weight)

    def _known_norm(self) -> Tensor | None:
        return torch.ones((), dtype=torch.float64) if self.orthonormal else None

    def _steps(self, level: int) -> list[tuple[int, str, int, int]]:
        """What happens at a level: (dim, wavelet, ⌈n/2⌉, room for the coefficients of that many) per axis halved."""
        return [
            (axis - len(self.in_shape), self.wavelets[axis], lengths[level], sum(lengths[level + 1 :]) + lengths[-1])
            for axis, lengths in enumerate(self.lengths)
            if level < len(lengths)
        ]

    def _analyse(self, x: Tensor, level: int) -> Tensor:
        steps = self._steps(level)
        if not steps:
            return x
        corner = [slice(None)] * x.ndim
        for dim, wavelet, half, _ in steps:
            x = analyse(x, dim, wavelet)
            corner[dim] = slice(half)
        inner = self._analyse(x[tuple(corner)], level + 1)
        for dim, _, half, room in steps:
            x = _insert_zeros(x, dim, half, room - half)
            corner[dim] = slice(room)
        x[tuple(corner)] = inner
        return x

    def _synthesise(self, y: Tensor, level: int, adjoint: bool) -> Tensor:
        steps = self._steps(level)
        if not steps:
            return y
        corner = [slice(None)] * y.ndim
        for dim, _, _, room in steps:
            corner[dim] = slice(room)
        inner = self._synthesise(y[tuple(corner)], level + 1, adjoint)
        for dim, _, half, room in steps:
            y = torch.cat((y.narrow(dim, 0, half), y.narrow(dim, room, half)), dim)
            corner[dim] = slice(half)
        y[tuple(corner)] = inner
        for dim, wavelet, _, _ in steps:
            y = synthesise(y, dim, wavelet)
            odd = self.lengths[dim][level - 1] % 2
            if odd:
                y, last = y.split((y.shape[dim] - 1, 1), dim)
            if odd and adjoint:
                y = torch.cat((y.narrow(dim, 0, y.shape[dim] - 1), y.narrow(dim, -1, 1) + last), dim)
        return y


def _insert_zeros(x: Tensor, dim: int, at: int, count: int) -> Tensor:
    if count == 0:
        return x
    low, high = x.split((at, x.shape[dim] - at), dim)
    shape = list(x.shape)
    shape[dim] = count
    return torch.cat((low, x.new_zeros(shape), high), dim)


def _orthonormal_taps() -> dict[str, list[float]]:
    """Low-pass taps g₀ … g_{F−1} of all wavelets of PyWavelets whose translates by 2 are orthonormal to 1e-10."""
    found = {}
    for name in pywt.wavelist(kind="discrete"):  # pyright: ignore[reportAttributeAccessIssue]  # an extension without types
        g = pywt.Wavelet(name).rec_lo  # pyright: ignore[reportAttributeAccessIssue]
        products = [sum(a * b for a, b in zip(g, g[2 * k :], strict=False)) for k in range(len(g) // 2)]
        if max(abs(p - (k == 0)) for k, p in enumerate(products)) <= 1e-10:
            found[name] = g
    return found


TAPS = _orthonormal_taps()
"""A table, so that `torch.compile` finds numbers where it would not look into PyWavelets."""


def low_pass(wavelet: str) -> list[float]:
    """The low-pass taps of an orthonormal wavelet.

    Raises:
        SpecError: if PyWavelets has no such wavelet, or it is not orthonormal.
    """
    if wavelet not in TAPS:
        known = wavelet in pywt.wavelist(kind="discrete")  # pyright: ignore[reportAttributeAccessIssue]
        what = f"wavelet {wavelet!r} is not orthonormal" if known else f"unknown wavelet {wavelet!r}"
        raise SpecError(f"{what}: take haar, or one of db2 … db38, sym2 … sym20, coif1 … coif17")
    return TAPS[wavelet]


def high_pass(g: list[float]) -> list[float]:
    """The high-pass taps hₘ = (−1)ᵐ g_{F−1−m} that belong to low-pass taps g."""
    return [(-1) ** m * tap for m, tap in enumerate(reversed(g))]


DENSE_PER_TAP = 16
"""A matrix product over an axis of this length costs as much as one tap (measured on one core, float32)."""


def analyse(x: Tensor, dim: int, wavelet: str) -> Tensor:
    """One level along one axis: aₖ = Σₘ gₘ x[2k + m + 1 − F/2], then dₖ likewise with h; indices are periodic.

    An odd length n is extended by its last entry; ⌈n/2⌉ approximations, then as many details.
    """
    if x.shape[dim] % 2:
        x = torch.cat((x, x.narrow(dim, -1, 1)), dim)
    n, g = x.shape[dim], low_pass(wavelet)
    if n <= DENSE_PER_TAP * len(g):
        return _multiply(_analyse_by_taps(_eye(n, x), 0, g), x, dim)
    return _analyse_by_taps(x, dim, g)


def synthesise(y: Tensor, dim: int, wavelet: str) -> Tensor:
    """The inverse of `analyse` on even lengths, which is its transpose."""
    n, g = y.shape[dim], low_pass(wavelet)
    if n <= DENSE_PER_TAP * len(g):
        return _multiply(_analyse_by_taps(_eye(n, y), 0, g).mT, y, dim)
    half, extra = n // 2, len(g) // 2
    low, high = (_periodic(part, dim, extra, extra) for part in y.split(half, dim))
    shift = extra - 1
    phases = []
    for phase in (0, 1):
        first = (phase + shift) % 2
        offset = extra + (phase + shift - first) // 2
        terms = [(low, g, m) for m in range(first, len(g), 2)] + [
            (high, high_pass(g), m) for m in range(first, len(g), 2)
        ]
        phases.append(_weighted_sum([(c.narrow(dim, offset - m // 2, half), taps[m]) for c, taps, m in terms]))
    return torch.stack(phases, dim % y.ndim + 1).flatten(dim % y.ndim, dim % y.ndim + 1)


def _analyse_by_taps(x: Tensor, dim: int, g: list[float]) -> Tensor:
    half, extra = x.shape[dim] // 2, len(g) // 2 - 1
    pairs = _periodic(x, dim, extra, extra).unflatten(dim, (-1, 2))
    axis = dim % x.ndim
    phases = [pairs.select(axis + 1, phase) for phase in (0, 1)]
    windows = [phases[m % 2].narrow(axis, m // 2, half) for m in range(len(g))]
    return torch.cat([_weighted_sum(list(zip(windows, taps, strict=True))) for taps in (g, high_pass(g))], axis)


def _weighted_sum(terms: list[tuple[Tensor, float]]) -> Tensor:
    total = terms[0][0] * terms[0][1]
    for x, weight in terms[1:]:
        total = torch.add(total, x, alpha=weight)
    return total


def _periodic(x: Tensor, dim: int, before: int, behind: int) -> Tensor:
    if before == behind == 0:
        return x
    n = x.shape[dim]
    return x.index_select(dim, torch.arange(-before, n + behind, device=x.device) % n)


def _multiply(matrix: Tensor, x: Tensor, dim: int) -> Tensor:
    dim = dim % x.ndim
    if dim == x.ndim - 1:
        return x @ matrix.mT
    y = matrix @ x.flatten(dim + 1)
    return y.reshape(x.shape[:dim] + y.shape[dim : dim + 1] + x.shape[dim + 1 :])


def _eye(n: int, x: Tensor) -> Tensor:
    return torch.eye(n, dtype=x.dtype, device=x.device)
