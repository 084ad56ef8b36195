"""The discrete Fourier transform, and that of real frames as a real operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from linops_video.algebra.operator import Identity, LinearOperator
from linops_video.algebra.parameters import Shape, by_parts, from_first
from linops_video.operators.multiplier import undone, unitary_gram


@dataclass(frozen=True, eq=False, repr=False)
class Fourier(LinearOperator):
    """Orthonormal DFT over `axes`: y[k] = Πₐ nₐ^(−½) Σᵢ exp(−2πi Σₐ kₐiₐ/nₐ) x[i]; frequency 0 stands first.

    FᴴF = FFᴴ = I on complex tensors. A real x counts as a complex one, and both F x and Fᴴ y are complex; float16 and
    bfloat16 give complex64. Fourier sampling is `Diagonal(mask, shape) @ Fourier(axes, shape)`: AAᴴ is the mask, and
    AᴴA a `Multiplier`, a circulant over the axes. Of a solve with real v, take the real part: it is the minimiser
    over real videos where the mask has equal values at k and −k, which the spectrum of a real video makes no loss.

    Args:
        axes: event axes, negative ones counted from the last one; one twice, or none there is, raises a SpecError.
        in_shape: the event shape.

    Example:
        >>> import torch
        >>> Fourier((0,), (4,))(torch.ones(4))
        tensor([2.+0.j, 0.+0.j, 0.+0.j, 0.+0.j])
    """

    axes: tuple[int, ...]
    in_shape: Shape
    method_name: ClassVar[str] = "FFT"

    def __post_init__(self) -> None:
        vars(self)["axes"] = from_first(self.axes, self.in_shape)

    @property
    def out_shape(self) -> Shape:
        return self.in_shape

    def is_complex(self) -> bool:
        return True

    @property
    def _dims(self) -> tuple[int, ...]:
        return tuple(axis - len(self.in_shape) for axis in self.axes)

    def _apply(self, x: Tensor) -> Tensor:
        return torch.fft.fftn(single(x), dim=self._dims, norm="ortho")

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return torch.fft.ifftn(single(y), dim=self._dims, norm="ortho")

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        return unitary_gram(self, weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return unitary_gram(self.H, weight)

    _after = _before = undone

    def _factors(self) -> tuple[LinearOperator, ...]:
        return tuple(Fourier((0,), (n,)) if i in self.axes else Identity((n,)) for i, n in enumerate(self.in_shape))

    def _embed(self, before: Shape, behind: Shape) -> Fourier:
        return Fourier(tuple(axis + len(before) for axis in self.axes), (*before, *self.in_shape, *behind))

    def _separable_axes(self) -> tuple[int, ...]:
        return self.axes


def single(x: Tensor) -> Tensor:
    """x in float32 at least: torch's FFTs take no float16 or bfloat16 on the CPU."""
    return x.float() if x.dtype.itemsize < 4 else x


@dataclass(frozen=True, eq=False, repr=False)
class RealFourier(LinearOperator):
    """Half spectra, real and imaginary parts along a last axis of 2, to real tensors: `irfft2`, orthonormal.

    Its `.H`, `rfft2`, is the inverse on half spectra of real tensors. A real operator, for complex data too.
    """

    out_shape: Shape

    @property
    def in_shape(self) -> Shape:
        return (*self.out_shape[:-1], self.out_shape[-1] // 2 + 1, 2)

    def _apply(self, x: Tensor) -> Tensor:
        return by_parts(self._synthesise, x)

    def _synthesise(self, x: Tensor) -> Tensor:
        spectrum = torch.view_as_complex(x.contiguous())
        return torch.fft.irfft2(spectrum, s=self.out_shape[-2:], norm="ortho")

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return by_parts(lambda part: torch.view_as_real(torch.fft.rfft2(part, norm="ortho")), y)
