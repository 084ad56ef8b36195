"""Any linear function of one tensor as an operator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video.algebra.krylov import Map
from linops_video.algebra.operator import LinearOperator
from linops_video.algebra.parameters import Shape, complex_dtype, show
from linops_video.errors import SpecError

FAILURES = (RuntimeError, TypeError, IndexError)
"""What functions raise for tensors that they do not take."""

TOLERANCE = 1e-5
"""Allowed error of the trial: functions may compute in float32 inside."""


@dataclass(frozen=True, eq=False, repr=False)
class LinearFunction(LinearOperator):
    """x ↦ fn(x) for a linear function made of torch operations; its adjoint is derived. Made by `linear_function`.

    Args:
        fn: a function of one tensor of shape `in_shape`; `torch.func.vmap` runs it over batches.
        in_shape, out_shape: event shapes.
        complex_valued: whether fn(x) is complex for a real x.
        real_input: whether fn is for real tensors only; it is then applied to real and imaginary parts.
        single: whether fn takes float32 only; other tensors are then taken there and back.
    """

    fn: Map
    in_shape: Shape
    out_shape: Shape
    complex_valued: bool = False
    real_input: bool = False
    single: bool = False

    def is_complex(self) -> bool:
        return self.complex_valued

    def _apply(self, x: Tensor) -> Tensor:
        if x.dtype.itemsize < 4:
            y = self._apply(x.float())  # float16 and bfloat16: many functions of torch do not take them
            return y if y.is_complex() else y.to(x.dtype)
        if self.single and x.dtype in (torch.float64, torch.complex128):
            y = self._apply(x.to(torch.complex64 if x.is_complex() else torch.float32))
            return y.to(torch.complex128 if y.is_complex() else torch.float64)
        if x.is_complex() and self.real_input:
            return self._apply(x.real) + 1j * self._apply(x.imag)
        batch = x.shape[: x.ndim - len(self.in_shape)]
        if not batch:
            return self.fn(x)
        return torch.func.vmap(self.fn)(x.reshape(-1, *self.in_shape)).reshape(*batch, *self.out_shape)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        if not self.real_input or not (y.is_complex() or self.complex_valued):
            return super()._apply_adjoint(y)
        y = y.to(complex_dtype(y.dtype))
        if self.complex_valued:
            return torch.complex(self._real_adjoint(y), -self._real_adjoint(1j * y))
        return torch.complex(self._real_adjoint(y.real), self._real_adjoint(y.imag))

    def _real_adjoint(self, y: Tensor) -> Tensor:
        """The real part of Aᴴ y, all that a function of real tensors tells."""
        batch = y.shape[: y.ndim - len(self.out_shape)]
        return torch.func.vjp(self._apply, y.real.new_zeros(*batch, *self.in_shape))[1](y)[0]


def _is_complex_linear(fn: Map, x: Tensor, Ax: Tensor) -> bool:
    """Whether fn takes complex tensors, and fn(i x) = i fn(x)."""
    try:
        turned = fn(1j * x)
    except (RuntimeError, TypeError):
        return False
    return bool(torch.linalg.vector_norm(turned - 1j * Ax) <= TOLERANCE * (Ax.norm() + 1e-300))


def linear_function(fn: Map, in_shape: Shape) -> LinearFunction:
    """The operator x ↦ fn(x), for a function of torch operations that is linear; the adjoint is derived by autograd.

    The function takes one tensor of shape `in_shape`, without batch axes, in the precision that it comes in: write
    `M.to(x) @ x` for a constant M. It is tried out here, on a few random numbers in float64, or in float32 where that
    fails, as for the layers of networks; it is then computed in float32 for tensors of all precisions. A function that
    does not take complex tensors, or is not linear for complex numbers, is applied to real and imaginary parts. Tensors
    inside the function get a gradient through `A(x)`, but none through a solve. Where a function for the adjoint is at
    hand and faster, see `interop.from_functions`.

    Raises:
        SpecError: if fn fails on a random tensor, does not make a tensor, changes its precision, is not linear
            (fn(2x − 3z) is not 2 fn(x) − 3 fn(z)), or cannot be differentiated.

    Example:
        >>> import torch
        >>> A = linear_function(lambda x: x.cumsum(-1), (3,))
        >>> A.T(torch.ones(3))
        tensor([3., 2., 1.])
    """
    generator = torch.Generator().manual_seed(0)
    x, z = (torch.randn(in_shape, generator=generator, dtype=torch.float64) for _ in range(2))
    single = False
    try:
        Ax = fn(x)
    except FAILURES as error:
        x, z, single = x.float(), z.float(), True
        try:
            Ax = fn(x)
        except FAILURES:
            raise SpecError(
                f"the function must take a float64 tensor of shape {show(in_shape)}, and failed on one: {error}; "
                "let constants follow the input, M.to(x)"
            ) from error
    if not isinstance(Ax, Tensor):
        raise SpecError(f"the function must make one tensor, and made a {type(Ax).__name__}: stack its parts")
    if Ax.dtype not in (x.dtype, complex_dtype(x.dtype)):
        raise SpecError(f"the function must keep the precision of its input, and made {Ax.dtype} of {x.dtype}")
    Az, Aboth = fn(z), fn(2 * x - 3 * z)
    A = LinearFunction(fn, in_shape, tuple(Ax.shape), Ax.is_complex(), not _is_complex_linear(fn, x, Ax), single)
    gap = torch.linalg.vector_norm(Aboth - (2 * Ax - 3 * Az)) / (2 * Ax.norm() + 3 * Az.norm() + 1e-300)
    if not gap <= TOLERANCE:
        raise SpecError(
            f"the function is not linear: fn(2x − 3z) differs from 2 fn(x) − 3 fn(z) by {gap.item():.0%} of their size"
        )
    try:
        back = A._apply_adjoint(torch.stack((Ax, Az)))[0]
        gap = (torch.vdot(x.to(back).flatten(), back.flatten()) - Ax.norm() ** 2).abs() / (Ax.norm() ** 2 + 1e-300)
        works = bool(gap <= TOLERANCE)
    except RuntimeError:
        works = False
    if not works:
        raise SpecError(
            "the function cannot be differentiated over a batch by torch.func, which its adjoint needs: make it of "
            "torch operations that change nothing in place, or give the adjoint as well, interop.from_functions"
        )
    return A
