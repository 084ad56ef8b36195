"""The circulant operators that circular convolutions make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video.algebra.operator import Identity, LinearOperator, scalar, scale
from linops_video.algebra.parameters import (
    Shape,
    added,
    as_tensor,
    by_parts,
    check_tensor,
    is_complex_number,
    like,
    multiplied,
    per_sample,
    replaced,
    scaled,
    show,
    tensor_field,
    widened,
)
from linops_video.algebra.slabs import part_of
from linops_video.errors import DtypeError, ShapeError, SpecError
from linops_video.operators.fourier import Fourier, single
from linops_video.operators.kron import kron_gram
from linops_video.operators.multiplier import Multiplier


def _filter(w: Tensor, x: Tensor, shape: Shape) -> Tensor:
    return torch.fft.irfft2(widened(like(w, x), len(shape) - 2) * torch.fft.rfft2(x), s=shape[-2:])


def _product(self: Circulant, other: LinearOperator) -> LinearOperator | None:
    if not isinstance(other, Circulant):
        return None
    return Circulant(multiplied(self.transfer, other.transfer), self.in_shape)


def _sum(self: Circulant, other: LinearOperator) -> LinearOperator | None:
    if isinstance(other, Circulant):
        return Circulant(added(self.transfer, other.transfer), self.in_shape)
    c = scalar(other)
    if c is None or is_complex_number(c):
        return None if c is None else _as_multiplier(self)._plus(other)
    return Circulant(added(self.transfer, as_tensor(per_sample(c, 2))), self.in_shape)


def _multiple(self: Circulant, factor: float | Tensor) -> LinearOperator:
    if is_complex_number(factor):
        return _as_multiplier(self)._times(factor)
    return Circulant(scaled(factor, self.transfer, 2), self.in_shape)


def _values_in(self: Circulant, transform: LinearOperator) -> Tensor | None:
    axes = {len(self.in_shape) - 2, len(self.in_shape) - 1}
    known = isinstance(transform, Fourier) and axes <= set(transform.axes) and transform.in_shape == self.in_shape
    return _as_multiplier(self).values if known else None


def _as_multiplier(A: Circulant) -> Multiplier:
    """The same operator, no longer known to be real."""
    return _over_frames(whole_spectrum(A.transfer, A.in_shape[-1]), A.in_shape)


def _check(A: Circulant) -> None:
    """Raise the errors of a w that is not on the half spectrum of a frame, or belongs to no real kernel."""
    if len(A.in_shape) < 2 or A.transfer.shape[-2:] != (A.in_shape[-2], A.in_shape[-1] // 2 + 1):
        raise ShapeError(
            f"a Circulant on {show(A.in_shape)} needs w on a half spectrum (*batch, H, W//2 + 1) of its frames "
            f"{show(A.in_shape[-2:])}, got {show(A.transfer.shape)}: circulant(kernel, in_shape) makes one of a kernel"
        )
    if not (A.transfer.is_floating_point() or A.transfer.is_complex()):
        raise DtypeError(f"a Circulant needs a real or complex w, got {A.transfer.dtype}: use .float()")
    if A.transfer.device.type == "cpu" and not torch.compiler.is_compiling() and not _is_real(A.transfer, A.in_shape):
        raise SpecError(
            f"a Circulant on {show(A.in_shape)} needs the w of a real kernel, where column 0, and W/2 of an even W, "
            "have at row H − k the conjugate of row k: circulant(kernel, in_shape) makes one of a kernel"
        )


def _is_real(w: Tensor, shape: Shape) -> bool:
    """Whether the columns of w that are their own mirror images are Hermitian, up to rounding."""
    own = w.detach()[..., :: shape[-1] // 2] if shape[-1] % 2 == 0 else w.detach()[..., :1]
    gap = (own - own.conj().flip(-2).roll(1, -2)).abs().amax((-2, -1))
    try:
        return not bool((gap > torch.finfo(w.dtype).eps ** 0.5 * w.detach().abs().amax((-2, -1))).any())
    except RuntimeError:  # under vmap, where there are no numbers to look at
        return True


def _impulse_response(A: Circulant) -> Tensor:
    """The kernel of A, shape (*batch, H, W), origin at [0, 0]."""
    return torch.fft.irfft2(A.transfer, s=A.in_shape[-2:])


@dataclass(frozen=True, eq=False, repr=False)
class Circulant(LinearOperator):
    """A periodic convolution with a real kernel over the last two axes: x ↦ F⁻¹(w ⊙ F x), w its transfer function.

    Args:
        transfer: w on the half spectrum of `rfft2`, shape (*batch, H, W//2 + 1), real where the kernel is even; a
            SpecError if no real kernel has it: w[H − k, j] = conj(w[k, j]) for j = 0, and j = W/2 where W is even.
        in_shape: the event shape (…, H, W); a ShapeError if w is not of it.
    """

    transfer: Tensor = tensor_field(2)
    in_shape: Shape = ()

    def _tensors(self) -> Iterator[tuple[Tensor, int]]:
        yield self.transfer.real, 2  # the operator is real, though its spectrum is not

    def is_complex(self) -> bool:
        return False

    @property
    def out_shape(self) -> Shape:
        return self.in_shape

    def _apply(self, x: Tensor) -> Tensor:
        return by_parts(lambda part: _filter(self.transfer, part, self.in_shape), x)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return by_parts(lambda part: _filter(self.transfer.conj(), part, self.in_shape), y)

    @property
    def H(self) -> Circulant:
        return Circulant(self.transfer.conj(), self.in_shape) if self.transfer.is_complex() else self

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        square = Circulant(self.transfer.abs() ** 2, self.in_shape)
        c = scalar(weight)
        if c is not None:
            return scale(c, square)
        if isinstance(weight, Circulant):
            return Circulant(multiplied(square.transfer, weight.transfer), self.in_shape)
        return kron_gram(self, weight) or super().gram(weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return self.H.gram(weight)

    __post_init__ = _check
    impulse_response = property(_impulse_response)
    _after = _product
    _plus = _sum
    _times = _multiple
    _diagonal_in = _values_in

    def _factors(self) -> tuple[LinearOperator, ...]:
        return (*(Identity((n,)) for n in self.in_shape[:-2]), Circulant(self.transfer, self.in_shape[-2:]))

    def _embed(self, before: Shape, behind: Shape) -> LinearOperator | None:
        return None if behind else Circulant(self.transfer, (*before, *self.in_shape))

    def _known_norm(self) -> Tensor:
        return self.transfer.abs().double().amax((-2, -1))


def circulant(kernel: Tensor, in_shape: Shape) -> Circulant | Multiplier:
    """The circular convolution with impulse response `kernel`, shape (*batch, H, W), origin at [0, 0].

    A Circulant for a real kernel, for a complex one a Multiplier of the Fourier transform over the last two axes.

    Raises:
        DtypeError: if the kernel is not a tensor.
        ShapeError: if the kernel is not as large as a frame; `Convolution` takes smaller ones.

    Example:
        >>> kernel = torch.zeros(8, 8)
        >>> kernel[0, :2] = 0.5  # the mean of a pixel and its left neighbour
        >>> circulant(kernel, (3, 8, 8))(torch.ones(3, 8, 8)).sum()
        tensor(192.)
    """
    check_tensor(kernel, "circulant needs a kernel as a torch tensor")
    if len(in_shape) < 2 or kernel.shape[-2:] != in_shape[-2:]:
        raise ShapeError(
            f"circulant on {show(in_shape)} needs a kernel as large as a frame, (*batch, H, W), got "
            f'{show(kernel.shape)}: Convolution(kernel, in_shape, "circular") takes smaller ones'
        )
    if not kernel.is_complex():
        return Circulant(torch.fft.rfft2(single(kernel)), in_shape)
    return _over_frames(torch.fft.fft2(kernel), in_shape)


def decimated(A: Circulant, axis: int, step: int) -> Circulant:
    """S A Sᴴ, S keeping every `step`-th entry along one of the last two axes, which `step` divides.

    Its impulse response is that of A at every `step`-th place: in the spectrum, the aliases are averaged.
    """
    dim = axis - len(A.in_shape)
    even = torch.fft.rfft2(part_of(A.impulse_response, slice(None, None, step), dim))
    shape = replaced(A.in_shape, axis, A.in_shape[axis] // step)
    return Circulant(even if A.transfer.is_complex() else even.real, shape)


def _over_frames(spectrum: Tensor, in_shape: Shape) -> Multiplier:
    axes = (len(in_shape) - 2, len(in_shape) - 1)
    return Multiplier(Fourier(axes, in_shape), widened(spectrum, axes[0]))


def whole_spectrum(half: Tensor, width: int) -> Tensor:
    """The spectrum of a real tensor over its last two axes, W = `width` columns, from its half with W//2 + 1."""
    missing = half[..., 1 : (width + 1) // 2].flip(-1)
    mirrored = torch.cat((missing[..., :1, :], missing[..., 1:, :].flip(-2)), -2)
    return torch.cat((half, mirrored.conj().resolve_conj()), -1)
