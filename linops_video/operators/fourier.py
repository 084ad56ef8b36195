"""The discrete Fourier transform, and that of real frames as a real operator."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import Field, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from linops_video.algebra.operator import LinearOperator
from linops_video.algebra.parameters import Shape, by_parts, from_first, like, tensor_field
from linops_video.operators.kron import along_later_axes, axis_by_axis
from linops_video.operators.multiplier import undone, unitary_gram, unitary_outer


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

    gram, outer = unitary_gram, unitary_outer
    _after = _before = undone

    _factors, _embed = axis_by_axis, along_later_axes

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
        spectrum = torch.complex(*x.unbind(-1))  # no view: parts of a joined vector begin at odd places
        return torch.fft.irfft2(spectrum, s=self.out_shape[-2:], norm="ortho")

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return by_parts(lambda part: torch.view_as_real(torch.fft.rfft2(part, norm="ortho")), y)


@dataclass(frozen=True, eq=False, repr=False)
class PhaseFourier(LinearOperator):
    """c ↦ the real x whose Πᵢ sᵢ phases x[a::s₁, b::s₂, …] have the half spectra V c, V a matrix per frequency.

    Real and imaginary parts of c stand along a last axis of 2: (…, Πᵢ sᵢ, H/k, W/m//2 + 1, 2) to (…, H, W), where k and
    m are the last steps, and n/s entries are left of n along the other axes, which are not transformed: there a step of
    n lets V mix all entries. Its `.H` is a right inverse if the V are unitary. A real operator, for complex data too.

    Args:
        matrices: V, complex, shape (*batch, …, Πᵢ sᵢ, Πᵢ sᵢ, H/k, W/m//2 + 1), 1 along other axes where it is the same.
        steps: sᵢ, one an axis of `out_shape`, which they divide.
        out_shape: the event shape (…, H, W).

    Example:
        >>> import torch
        >>> F = PhaseFourier(torch.ones(1, 1, 4, 3, dtype=torch.complex64), (1, 1), (4, 4))
        >>> torch.allclose(F(F.H(torch.eye(4))), torch.eye(4), atol=1e-6)
        True
    """

    matrices: Tensor = tensor_field(None)
    steps: tuple[int, ...] = (1, 1)
    out_shape: Shape = ()

    def _event_ndim(self, f: Field) -> int:
        return len(self.out_shape) + 2

    def _tensors(self) -> Iterator[tuple[Tensor, int]]:
        yield self.matrices.real, len(self.out_shape) + 2  # the operator is real, though its matrices are not

    def is_complex(self) -> bool:
        return False

    @property
    def in_shape(self) -> Shape:
        return self.transform.in_shape

    @property
    def transform(self) -> RealFourier:
        """That of the phases, each a frame of its own."""
        *others, height, width = (n // step for n, step in zip(self.out_shape, self.steps, strict=True))
        return RealFourier((*others, math.prod(self.steps), height, width))

    def _apply(self, x: Tensor) -> Tensor:
        spectra = by_parts(lambda part: self._mixed(self.matrices, part), x)
        return joined_phases(self.transform._apply(spectra), self.steps)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        spectra = self.transform._apply_adjoint(split_phases(y, self.steps))
        return by_parts(lambda part: self._mixed(self.matrices.transpose(-4, -3).conj(), part), spectra)

    def _mixed(self, V: Tensor, x: Tensor) -> Tensor:
        spectra = torch.complex(*x.unbind(-1))
        columns = like(V, spectra).unbind(-3)
        return torch.view_as_real(sum_of_products(columns, spectra.unsqueeze(-4).unbind(-3)))


def sum_of_products(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """Σₚ leftₚ ⊙ rightₚ."""
    total = left[0] * right[0]
    for a, b in zip(left[1:], right[1:], strict=True):
        total = torch.addcmul(total, a, b)
    return total


def split_phases(x: Tensor, steps: Sequence[int]) -> Tensor:
    """The Πᵢ sᵢ phases x[…, a::s₁, b::s₂, …] of steps sᵢ along the last axes: (…, H, W) to (…, Πᵢ sᵢ, H/k, W/m)."""
    sizes = zip(x.shape[x.ndim - len(steps) :], steps, strict=True)
    x = x.reshape(*x.shape[: x.ndim - len(steps)], *(part for n, step in sizes for part in (n // step, step)))
    return x.permute(_apart(x.ndim, len(steps))).flatten(-2 - len(steps), -3)


def joined_phases(x: Tensor, steps: Sequence[int]) -> Tensor:
    """The inverse of `split_phases`."""
    x = x.unflatten(-3, tuple(steps))
    order = _apart(x.ndim, len(steps))
    x = x.permute([order.index(dim) for dim in range(x.ndim)])
    first = x.ndim - 2 * len(steps)
    return x.reshape(*x.shape[:first], *(math.prod(x.shape[dim : dim + 2]) for dim in range(first, x.ndim, 2)))


def _apart(ndim: int, count: int) -> list[int]:
    """Of `count` last axes, each in two, the order that puts the second ones together, before the two of frames."""
    places, phases = range(ndim - 2 * count, ndim, 2), range(ndim - 2 * count + 1, ndim, 2)
    return [*range(ndim - 2 * count), *places[:-2], *phases, *places[-2:]]
