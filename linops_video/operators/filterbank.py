"""Two-channel orthonormal filter banks: one level of a wavelet transform, along one axis."""

from __future__ import annotations

from collections.abc import Sequence

import pywt
import torch
from torch import Tensor

from linops_video.algebra.constants import kept
from linops_video.algebra.slabs import along
from linops_video.errors import SpecError


def _orthonormal_taps() -> dict[str, list[float]]:
    """Low-pass taps g₀ … g_{F−1} of all wavelets of PyWavelets whose translates by 2 are orthonormal to 1e-10."""
    found = {}
    for name in pywt.wavelist(kind="discrete"):  # pyright: ignore[reportAttributeAccessIssue]  # an extension without types
        g = pywt.Wavelet(name).rec_lo  # pyright: ignore[reportAttributeAccessIssue]
        products = [sum(a * b for a, b in zip(g, g[2 * k :], strict=False)) for k in range(len(g) // 2)]
        if max(abs(p - (k == 0)) for k, p in enumerate(products)) <= 1e-10:
            found[name] = g
    return found


Steps = Sequence[tuple[int, str]]
"""Axes, each with the wavelet that halves it, in turn."""

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


def is_haar(wavelet: str) -> bool:
    """Whether its filters have two taps: then they are those of Haar, whatever its name."""
    return len(low_pass(wavelet)) == 2


def analyse(x: Tensor, steps: Steps) -> Tensor:
    """One level along each axis: aₖ = Σₘ gₘ x[2k + m + 1 − F/2], then dₖ likewise with h; indices are periodic.

    An odd length n is extended by its last entry; ⌈n/2⌉ approximations, then as many details.
    """
    for dim, wavelet in steps:
        if x.shape[dim] % 2:
            x = torch.cat((x, x.narrow(dim, -1, 1)), dim)
        dim, g = dim % x.ndim, low_pass(wavelet)
        if is_haar(wavelet):
            low, high = _phases(x, dim)
            x = torch.cat((low + high, low - high), dim)
        elif _is_short(x.shape[dim], g):
            x = along(_matrix_like(g, dim, x), x, dim)
        else:
            x = _analyse(x, dim, g)
    return _orthonormal(x, steps)


def synthesise(y: Tensor, steps: Steps) -> Tensor:
    """The inverse of `analyse` on even lengths, which is its transpose."""
    for dim, wavelet in steps:
        dim, g = dim % y.ndim, low_pass(wavelet)
        if is_haar(wavelet):
            low, high = y.chunk(2, dim)
            y = _interleaved(low + high, low - high, dim)
        elif _is_short(y.shape[dim], g):
            y = along(_matrix_like(g, dim, y).mT, y, dim)
        else:
            y = _synthesise(y, dim, g)
    return _orthonormal(y, steps)


def _orthonormal(x: Tensor, steps: Steps) -> Tensor:
    """Sums and differences of pairs, which Haar takes without weights, scaled once for all axes."""
    pairs = sum(is_haar(wavelet) for _, wavelet in steps)
    return x.mul_(0.5 ** (pairs / 2)) if pairs else x


def _is_short(n: int, g: list[float]) -> bool:
    """Whether an n×n matrix is faster than sums over the taps (one core, float32)."""
    return n <= 6 * len(g)


def _matrix_like(g: list[float], dim: int, x: Tensor) -> Tensor:
    """The matrix of `analyse` along an axis of x."""
    return kept(_matrix, x, tuple(g), x.shape[dim], x.dtype, x.device)


def _matrix(g: tuple[float, ...], n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return _analyse(torch.eye(n, dtype=dtype, device=device), 0, list(g))


def _analyse(x: Tensor, dim: int, g: list[float]) -> Tensor:
    half, reach = x.shape[dim] // 2, len(g) // 2 - 1
    phases = _phases(_periodic(x, dim, reach, reach), dim)
    windows = [phases[m % 2].narrow(dim, m // 2, half) for m in range(len(g))]
    return torch.cat([_weighted_sum(windows, taps) for taps in (g, high_pass(g))], dim)


def _synthesise(y: Tensor, dim: int, g: list[float]) -> Tensor:
    half, extra, h = y.shape[dim] // 2, len(g) // 2, high_pass(g)
    low, high = (_periodic(channel, dim, extra, extra) for channel in y.split(half, dim))
    phases = []
    for phase in (0, 1):
        first = (phase + extra - 1) % 2
        start = extra + (phase + extra - 1 - first) // 2
        windows = [channel.narrow(dim, start - k, half) for channel in (low, high) for k in range(extra)]
        phases.append(_weighted_sum(windows, g[first::2] + h[first::2]))
    return _interleaved(phases[0], phases[1], dim)


def _phases(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The entries with even and with odd indices."""
    even, odd = x.unflatten(dim, (-1, 2)).unbind(dim + 1)
    return (even.contiguous(), odd.contiguous()) if dim == x.ndim - 1 else (even, odd)  # summed in a third of the time


def _interleaved(even: Tensor, odd: Tensor, dim: int) -> Tensor:
    if dim == even.ndim - 1:
        return torch.view_as_real(torch.complex(even, odd)).flatten(-2)  # a fifth of the time of `stack`
    return torch.stack((even, odd), dim + 1).flatten(dim, dim + 1)


def _weighted_sum(parts: list[Tensor], weights: list[float]) -> Tensor:
    total = parts[0] * weights[0]
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        total.add_(part, alpha=weight)  # two thirds of the time of a new tensor for every sum
    return total


def _periodic(x: Tensor, dim: int, before: int, behind: int) -> Tensor:
    """x with entries of its other end before and behind it; around it again where it has not so many."""
    n = x.shape[dim]
    if before == behind == 0:
        return x
    if max(before, behind) > n:
        return x.index_select(dim, torch.arange(-before, n + behind, device=x.device) % n)
    return torch.cat((x.narrow(dim, n - before, before), x, x.narrow(dim, 0, behind)), dim)
