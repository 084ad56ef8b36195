"""Linear maps without their algebra: shapes, kernels, the call that checks its input, the matrix."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from linops_video.algebra.parameters import Parameters, Shape, complex_dtype, show
from linops_video.errors import DtypeError, ShapeError


class LinearMap(Parameters, ABC):
    """A linear map A from tensors of shape `(*batch, *in_shape)` to tensors of shape `(*batch, *out_shape)`.

    The part of `LinearOperator` that knows nothing of other operators.
    """

    in_shape: Shape
    out_shape: Shape

    @property
    def in_size(self) -> int:
        """The number of entries of x."""
        return math.prod(self.in_shape)

    @property
    def out_size(self) -> int:
        """The number of entries of A x."""
        return math.prod(self.out_shape)

    @abstractmethod
    def _apply(self, x: Tensor, /) -> Tensor:
        """A x, for x of shape (*batch, *in_shape), which has been checked; cast parameters with `like(t, x)`."""

    def _apply_adjoint(self, y: Tensor, /) -> Tensor:
        """Aᴴ y; derived from `_apply` unless overridden."""
        y = y.to(complex_dtype(y.dtype)) if self.is_complex() else y
        x = y.new_zeros(y.shape[: y.ndim - len(self.out_shape)] + self.in_shape)
        return torch.func.vjp(self._apply, x)[1](y)[0]

    def __call__(self, x: Tensor) -> Tensor:
        """Return A x for x of shape `(*batch, *in_shape)`, in the precision of x.

        Parameters of another precision are cast at each call: keep them in that of the data with `A.to(dtype=…)`.

        Raises:
            DtypeError: if x is not a tensor.
            ShapeError: if the trailing axes of x are not `in_shape`, or its batch axes do not fit the parameters'.
        """
        if not isinstance(x, Tensor):
            raise DtypeError(f"{self!r} needs a torch tensor, got {type(x).__name__}: torch.as_tensor makes one")
        in_shape, shape = self.in_shape, x.shape
        leading = len(shape) - len(in_shape)
        if leading < 0 or shape[leading:] != in_shape:
            raise ShapeError(f"{self!r} needs an input of shape {show(('*…',) + in_shape)}, got {show(shape)}")
        if leading and (batch := self.batch_shape):
            pairs = zip(reversed(shape[:leading]), reversed(batch), strict=False)
            if any(1 != given != own != 1 for given, own in pairs):
                raise ShapeError(
                    f"{self!r} has parameters for a batch of shape {show(batch)}, got an input of shape "
                    f"{show(shape)}: its leading axes must be equal to it or 1"
                )
        return self._apply(x)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({show(self.in_shape)} → {show(self.out_shape)})"

    def to_dense(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """The matrix of A, shape (*batch_shape, prod(out_shape), prod(in_shape)); in `dtype` if A has no parameters."""
        n, batch = math.prod(self.in_shape), self.batch_shape
        basis = torch.eye(n, dtype=self.dtype or dtype, device=self.device)
        basis = basis.reshape(n, *(1,) * len(batch), *self.in_shape).expand(n, *batch, *self.in_shape)
        return self(basis).reshape(n, *batch, math.prod(self.out_shape)).movedim(0, -1)

    def _event_ndim(self, f: dataclasses.Field) -> int:
        n = f.metadata.get("event_ndim")
        return len(self.in_shape) if n is None else n
