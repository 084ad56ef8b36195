"""Circular convolutions that are decimated: data steps in their spectrum, where decimation averages aliases."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video.algebra.operator import Compose, LinearOperator, Scaled
from linops_video.algebra.parameters import complex_dtype, like, per_sample
from linops_video.inverses.inverse import ExactInverse, Inverse, mixes
from linops_video.operators.circulant import Circulant
from linops_video.operators.convolution import Convolution, circular
from linops_video.operators.sampling import BoxMean
from linops_video.operators.select import Slice

Steps = tuple[int, int]


@dataclass(frozen=True, eq=False)
class AliasedInverse(Inverse):
    """Of A = S F⁻¹ diag(w) F, S keeping every k-th row and m-th column, in the precision of the data.

    (AᴴA + ρI)⁻¹Aᴴ = F⁻¹ w̄ R (Λ + ρ)⁻¹ F', with F' the transform of the small frames, R repeating their spectrum and Λ
    the mean of |w|² over the aliases: every frequency is rounded relative to itself, so that small singular values lose
    nothing. What else is asked of an inverse is `inner`'s. Source for k = m: Zhao, Wei, Basarab, Dobigeon, Kouamé,
    Tourneret, IEEE Transactions on Image Processing 25(8), 2016.

    Attributes:
        inner: an inverse of the same operator.
        transfer: w on the half spectrum, float64, shape (*batch, 1, …, H, W//2 + 1).
        power: Λ on the spectrum of the small frames, the half one if no column is dropped; shape as w.
        steps: k and m.
    """

    operator: LinearOperator
    method: str
    inner: Inverse
    transfer: Tensor
    power: Tensor
    steps: Steps

    def residual(self, v: Tensor, y: Tensor) -> Tensor:
        if not _takes(v):
            return self.inner.residual(v, y)
        (k, m), size = self.steps, self.operator.in_shape[-2:]
        spectrum = torch.fft.rfft2(v) * self.transfer.to(complex_dtype(v.dtype))
        rows = spectrum.unflatten(-2, (k, size[0] // k)).mean(-3) if k > 1 else spectrum
        return y - torch.fft.irfft2(rows, s=(size[0] // k, size[1]))[..., ::m]

    def correction(self, rho: float | Tensor, residual: Tensor) -> Tensor:
        if not _takes(residual):
            return self.inner.correction(rho, residual)
        (k, m), size = self.steps, self.operator.in_shape[-2:]
        power = like(self.power, residual)
        small = torch.fft.rfft2(residual) if m == 1 else torch.fft.fft2(residual)
        small = small / (power + per_sample(like(rho, power), len(self.operator.in_shape)))
        whole = torch.cat([torch.cat([small] * m, -1)[..., : size[1] // 2 + 1]] * k, -2)
        return torch.fft.irfft2(whole * self.transfer.conj().to(whole.dtype), s=size)

    def normal(self, rho: float | Tensor, b: Tensor) -> Tensor:
        return self.inner.normal(rho, b)

    def pinv(self, y: Tensor) -> Tensor:
        return self.inner.pinv(y)

    def pinv_adjoint(self, x: Tensor) -> Tensor:
        return self.inner.pinv_adjoint(x)

    def null(self, x: Tensor) -> Tensor:
        return self.inner.null(x)

    def eigenvalues(self) -> Tensor:
        return self.inner.eigenvalues()

    def smallest(self) -> Tensor:
        return self.inner.smallest()

    def logdet(self, rho: float | Tensor) -> Tensor:
        return self.inner.logdet(rho)


def in_spectrum(A: LinearOperator, inner: Inverse) -> Inverse:
    """`inner`, with data steps in the spectrum where A is a circular convolution, decimated or not."""
    known = _transfer(A) if isinstance(inner, ExactInverse) and mixes(inner.decomposition) else None
    if known is None:
        return inner
    w, (k, m) = known
    size = A.in_shape[-2:]
    impulse = torch.fft.irfft2(w.abs() ** 2, s=size)[..., ::k, ::m]
    power = torch.fft.rfft2(impulse).real if m == 1 else torch.fft.fft2(impulse).real
    middle = (1,) * (len(A.in_shape) - 2)
    w, power = (t.reshape(*t.shape[:-2], *middle, *t.shape[-2:]) for t in (w, power))
    return AliasedInverse(A, inner.method, inner, w, power.clamp(min=0), (k, m))


def _takes(x: Tensor) -> bool:
    return not x.is_complex() and x.dtype.itemsize >= 4


def _transfer(A: LinearOperator) -> tuple[Tensor, Steps] | None:
    """w and (k, m) of A = S F⁻¹ diag(w) F with a real kernel, None if A is not known to be one."""
    if isinstance(A, Convolution) and A.boundary == "circular" and not A.kernel.is_complex():
        A = circular(A)
    if isinstance(A, Circulant):
        return A.transfer.to(torch.complex128), (1, 1)
    if isinstance(A, Scaled) and isinstance(A.factor, int | float):
        known = _transfer(A.operator)
        return known and (A.factor * known[0], known[1])
    if isinstance(A, Compose):
        left, right = _transfer(A.left), _transfer(A.right)
        if left is None or right is None or right[1] != (1, 1):
            return None
        return left[0] * right[0], left[1]
    if isinstance(A, BoxMean | Slice):
        return _sampling(A)
    return None


def _sampling(A: BoxMean | Slice) -> tuple[Tensor, Steps] | None:
    """Decimation as a shift before it, box means as the mean of such shifts; only of rows and columns, all of them."""
    sizes = list(zip(A.in_shape, A.out_shape, strict=True))
    if len(sizes) < 2 or any(m != n for n, m in sizes[:-2]) or any(n % m for n, m in sizes[-2:]):
        return None
    steps, lines = (sizes[-2][0] // sizes[-2][1], sizes[-1][0] // sizes[-1][1]), []
    for axis, step in zip((len(sizes) - 2, len(sizes) - 1), steps, strict=True):
        n = A.in_shape[axis]
        if isinstance(A, BoxMean):
            shifts = list(range(step))
        else:
            kept = range(n)[A.slices[axis]]
            if kept != range(kept[0], n, step):
                return None
            shifts = [kept[0]]
        frequencies = torch.arange(n, dtype=torch.float64) * (2 * math.pi / n)
        waves = torch.stack([torch.polar(torch.ones_like(frequencies), shift * frequencies) for shift in shifts])
        lines.append(waves.mean(0))
    return lines[0].unsqueeze(-1) * lines[1][: A.in_shape[-1] // 2 + 1], steps
