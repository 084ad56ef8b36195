"""The discrete cosine transform."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from linops_video.algebra.constants import kept
from linops_video.algebra.operator import LinearOperator
from linops_video.algebra.parameters import Shape, by_parts, complex_dtype, from_first
from linops_video.algebra.slabs import along, slabs
from linops_video.operators.kron import along_later_axes, axis_by_axis
from linops_video.operators.multiplier import undone, unitary_gram, unitary_outer

MATRIX_LIMIT = 96
"""Longest axis that is transformed by a matrix product, which up to here is faster than an FFT (one core, float32)."""


@dataclass(frozen=True, eq=False, repr=False)
class Cosine(LinearOperator):
    """Orthonormal DCT-II along each of `axes`: y[k] = cₖ Σᵢ cos(π k (i + ½)/n) x[i], c₀ = √(1/n), else cₖ = √(2/n).

    CᴴC = CCᴴ = I. It diagonalises what is symmetric about the frame's edges: second differences with free ends, and
    convolutions with even kernels under half-sample symmetric extension (`Multiplier`).

    Source: Ahmed, Natarajan and Rao, IEEE Transactions on Computers C-23(1), 1974.

    Args:
        axes: event axes, negative ones counted from the last one.
        in_shape: the event shape.

    Raises:
        SpecError: if an axis is repeated, or there is no such axis.

    Example:
        >>> import torch
        >>> Cosine((0,), (4,))(torch.ones(4))
        tensor([2., 0., 0., 0.])
    """

    axes: tuple[int, ...]
    in_shape: Shape
    method_name: ClassVar[str] = "DCT"

    def __post_init__(self) -> None:
        vars(self)["axes"] = from_first(self.axes, self.in_shape)

    @property
    def out_shape(self) -> Shape:
        return self.in_shape

    def _apply(self, x: Tensor) -> Tensor:
        return by_parts(lambda part: _transformed(self, dct, part), x)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return by_parts(lambda part: _transformed(self, inverse_dct, part), y)

    gram, outer = unitary_gram, unitary_outer
    _after = _before = undone

    _factors, _embed = axis_by_axis, along_later_axes

    def _separable_axes(self) -> tuple[int, ...]:
        return self.axes


def _transformed(A: Cosine, transform: Callable[[Tensor, int], Tensor], x: Tensor) -> Tensor:
    """Along all axes but the first of the event, of parts that stay in the cache, and then along that."""
    first = -len(A.in_shape)
    inner, parts = [first + axis for axis in sorted(A.axes, reverse=True) if axis], [x]
    if inner and max(x.shape[axis] for axis in inner) > MATRIX_LIMIT:
        parts = [x.narrow(first, start, stop - start) for start, stop in slabs(x, first)]
    done = []
    for part in parts:
        for axis in inner:
            part = transform(part, axis)
        done.append(part)
    x = done[0] if len(done) == 1 else torch.cat(done, first)
    return transform(x, first) if 0 in A.axes else x


def cosine_matrix(n: int) -> Tensor:
    """The n×n matrix of the orthonormal DCT-II, float64; row 0 is constant."""
    k = torch.arange(n, dtype=torch.float64)
    matrix = torch.cos(math.pi / n * k.unsqueeze(1) * (k + 0.5)) * math.sqrt(2 / n)
    matrix[0] = math.sqrt(1 / n)
    return matrix


def dct(x: Tensor, dim: int) -> Tensor:
    """The orthonormal DCT-II of a real tensor along one axis."""
    n = x.shape[dim]
    if n <= MATRIX_LIMIT:
        return along(kept(cosine_matrix, x, n), x, dim)
    # Makhoul, IEEE Transactions on Acoustics, Speech, and Signal Processing 28(1), 1980: one FFT of length n
    line = x.movedim(dim, -1)
    spectrum = torch.fft.rfft(torch.cat((line[..., ::2], line[..., 1::2].flip(-1)), -1)) * _twiddle(n, x)
    y = torch.cat((spectrum.real, -spectrum.imag[..., 1 : (n + 1) // 2].flip(-1)), -1)
    return y.movedim(-1, dim)


def inverse_dct(y: Tensor, dim: int) -> Tensor:
    """The inverse of `dct`, which is its transpose."""
    n = y.shape[dim]
    if n <= MATRIX_LIMIT:
        return along(kept(cosine_matrix, y, n).T, y, dim)
    dim, half = dim % y.ndim, n // 2 + 1
    mirrored = y.narrow(dim, n - half + 1, half - 1).flip(dim)
    imaginary = torch.cat((torch.zeros_like(y.narrow(dim, 0, 1)), -mirrored), dim)
    twiddle = _twiddle(n, y, -1).reshape(-1, *(1,) * (y.ndim - 1 - dim))
    spectrum = torch.complex(y.narrow(dim, 0, half), imaginary) * twiddle
    even, odd = torch.fft.irfft(spectrum, n, dim).split(((n + 1) // 2, n // 2), dim)
    pairs = torch.stack((even.narrow(dim, 0, n // 2), odd.flip(dim)), dim + 1).flatten(dim, dim + 1)
    return torch.cat((pairs, even.narrow(dim, n // 2, 1)), dim) if n % 2 else pairs


def _twiddle(n: int, x: Tensor, power: int = 1) -> Tensor:
    """cₖ exp(−iπk/2n) for k = 0 … n//2, to the power 1 or −1."""
    k = torch.arange(n // 2 + 1, dtype=torch.float64)
    scale = torch.full_like(k, math.sqrt(2 / n))
    scale[0] = math.sqrt(1 / n)
    return torch.polar(scale**power, -power * math.pi / (2 * n) * k).to(x.device, complex_dtype(x.dtype))
