"""Circular convolutions that are decimated: data steps in the spectrum of the small frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video.algebra.krylov import Map
from linops_video.algebra.operator import Compose, LinearOperator, Scaled
from linops_video.algebra.parameters import complex_dtype, in_range, like, multiplied, per_sample, widened
from linops_video.inverses.inverse import ExactInverse, Inverse, mixes
from linops_video.operators.circulant import Circulant, whole_spectrum
from linops_video.operators.convolution import Convolution, circular
from linops_video.operators.fourier import sum_of_products
from linops_video.operators.sampling import BoxMean
from linops_video.operators.select import Slice

Steps = tuple[int, int]


@dataclass(frozen=True, eq=False)
class AliasedInverse(Inverse):
    """Of A = S F⁻¹ diag(w) F, S keeping every k-th row and m-th column, in the precision of the data.

    With the columns of x dealt to m components of every m-th one, F orthonormal transforms of such H×W/m frames and F'
    of frames as small as A x, A x = F'⁻¹ Σₚ tₚ ⊙ Xₚ: Xₚ are the k blocks of H/k rows, which alias, of each component's
    spectrum. So AAᴴ is Λ = Σₚ |tₚ|² there, and block p of the spectra of (AᴴA + ρI)⁻¹Aᴴ r is t̄ₚ (Λ + ρ)⁻¹ F' r: every
    frequency is rounded relative to itself, so that small singular values lose nothing. If m is even, neighbouring
    columns are the real and imaginary part of one component, whose tₚ is that of the first minus i times that of the
    second, and A x is the real part: half as many transforms, and complex ones are faster than those to real frames.

    Source for k = m: Zhao, Wei, Basarab, Dobigeon, Kouamé, Tourneret, IEEE Transactions on Image Processing 25(8),
    2016, who write the same with aliases along both axes.

    Attributes:
        inner: an exact inverse of the same operator.
        transfer: tₚ, complex128, shape (*batch, 1, …, m, k, H/k, W/m//2 + 1), or (…, m/2, k, H/k, W/m) if paired.
        power: Λ, shape (*batch, 1, …, H/k, W/m//2 + 1).
        paired: whether neighbouring columns make one complex component.
    """

    operator: LinearOperator
    method: str
    inner: Inverse
    transfer: Tensor
    power: Tensor
    paired: bool

    def change(self, rho: float | Tensor, v: Tensor, y: Tensor) -> Tensor:
        if not (_takes(v) and _takes(y)):
            return self.inner.change(rho, v, y)
        return self._from_spectrum(rho, _half_spectrum(y) - self._spectrum(v))

    def correction(self, rho: float | Tensor, residual: Tensor) -> Tensor:
        if not _takes(residual):
            return self.inner.correction(rho, residual)
        return self._from_spectrum(rho, _half_spectrum(residual))

    def data_step(self, rho: float | Tensor, y: Tensor) -> Map:
        if not _takes(y):
            return self.inner.data_step(rho, y)
        target = _half_spectrum(y)

        def step(v: Tensor) -> Tensor:
            return v + (self._from_spectrum(rho, target - self._spectrum(v)) if _takes(v) else self.change(rho, v, y))

        return step

    def _spectrum(self, v: Tensor) -> Tensor:
        """F' A v."""
        width, k = self.operator.out_shape[-1], self.transfer.shape[-3]
        x = torch.complex(*v.unflatten(-1, (-1, 2)).unbind(-1)) if self.paired else v
        parts = x.unflatten(-1, (width, -1)).movedim(-1, -3).contiguous()
        spectra = torch.fft.fft2(parts, norm="ortho") if self.paired else _half_spectrum(parts)
        blocks = spectra.unflatten(-2, (k, -1)).flatten(-4, -3).unbind(-3)
        transfer = self.transfer.to(complex_dtype(v.dtype)).flatten(-4, -3).unbind(-3)
        spectrum = sum_of_products(blocks, transfer)
        return _of_real_part(spectrum) if self.paired else spectrum

    def _from_spectrum(self, rho: float | Tensor, residual: Tensor) -> Tensor:
        """(AᴴA + ρI)⁻¹Aᴴ r from F' r."""
        width, power = self.operator.out_shape[-1], like(self.power, residual.real)
        # times the reciprocal: a complex tensor is divided by a real one at a third of the speed
        small = residual * (1 / (power + per_sample(like(rho, power), len(self.operator.in_shape))))
        whole = whole_spectrum(small, width) if self.paired else small
        spectra = (whole.unsqueeze(-3).unsqueeze(-3) * self.transfer.to(small.dtype).conj()).flatten(-3, -2)
        if not self.paired:
            parts = torch.fft.irfft2(spectra, s=(spectra.shape[-2], width), norm="ortho")
            return parts.movedim(-3, -1).flatten(-2)
        return torch.view_as_real(torch.fft.ifft2(spectra, norm="ortho").movedim(-3, -1)).flatten(-3)

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
    w = widened(_components(w, A.in_shape[-1], k, m), len(A.in_shape) - 2, 4)
    half = A.out_shape[-1] // 2 + 1
    power = (w[..., :half].abs() ** 2).sum((-4, -3))
    if not in_range(power.amax((-2, -1))):
        return inner
    if m % 2:
        return AliasedInverse(A, inner.method, inner, w[..., :half], power, False)
    return AliasedInverse(A, inner.method, inner, w[..., ::2, :, :, :] - 1j * w[..., 1::2, :, :, :], power, True)


def _components(w: Tensor, width: int, k: int, m: int) -> Tensor:
    """tₚ from the transfer function on its half spectrum: for component b the mean over aliases of columns, turned by
    b columns; blocks of rows as they are, times k^(−½), what an orthonormal transform of shorter columns changes."""
    whole = whole_spectrum(w, width) / math.sqrt(k)
    parts = [(whole * _wave(width, -b, w)).unflatten(-1, (m, width // m)).mean(-2) for b in range(m)]
    return torch.stack(parts, -3).unflatten(-2, (k, -1))


def _half_spectrum(x: Tensor) -> Tensor:
    return torch.fft.rfft2(x, norm="ortho")


def _of_real_part(spectrum: Tensor) -> Tensor:
    """The half spectrum of Re x from F x: the mean of the spectrum and of its conjugate at the opposite frequencies."""
    width = spectrum.shape[-1]
    half = width // 2 + 1
    opposite = torch.cat((spectrum[..., :1], spectrum[..., width - half + 1 :].flip(-1)), -1)
    opposite = torch.cat((opposite[..., :1, :], opposite[..., 1:, :].flip(-2)), -2)
    return (spectrum[..., :half] + opposite.conj()) * 0.5


def _wave(n: int, shift: int, owner: Tensor | LinearOperator) -> Tensor:
    """exp(2πi shift f/n) at the frequencies f = 0 … n − 1: a shift of the signal to the left."""
    phase = torch.arange(n, dtype=torch.float64, device=owner.device) * (2 * math.pi * shift / n)
    return torch.polar(torch.ones_like(phase), phase)


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
        return multiplied(left[0], right[0]), left[1]
    if isinstance(A, BoxMean | Slice):
        return _sampling(A)
    return None


def _sampling(A: BoxMean | Slice) -> tuple[Tensor, Steps] | None:
    """Decimation as a shift before it, box means as the mean of such shifts."""
    steps, lines = _steps(A), []
    if steps is None:
        return None
    for axis, step in zip((-2, -1), steps, strict=True):
        n = A.in_shape[axis]
        shifts = range(step) if isinstance(A, BoxMean) else [range(n)[A.slices[axis]][0]]
        lines.append(torch.stack([_wave(n, shift, A) for shift in shifts]).mean(0))
    return lines[0].unsqueeze(-1) * lines[1][: A.in_shape[-1] // 2 + 1], steps


def _steps(A: BoxMean | Slice) -> Steps | None:
    """k and m where A keeps every k-th row and m-th column of each frame, or means of as many, none left over."""
    steps = [n // few for n, few in zip(A.in_shape, A.out_shape, strict=True)]
    whole = all(step * few == n for step, few, n in zip(steps, A.out_shape, A.in_shape, strict=True))
    if not whole or len(steps) < 2 or any(step > 1 for step in steps[:-2]):
        return None
    if isinstance(A, BoxMean):
        even = all(step in (1, A.factor) for step in steps)
    else:
        kept = [range(n)[line] for n, line in zip(A.in_shape, A.slices, strict=True)]
        even = all(line == range(line[0], n, step) for line, n, step in zip(kept, A.in_shape, steps, strict=True))
    return (steps[-2], steps[-1]) if even else None
