"""Linear maps without their algebra: shapes, kernels, the call that checks its input, the matrix."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar

import torch
from torch import Tensor

from linops_video.algebra.parameters import Parameters, Shape, complex_dtype, fit, show
from linops_video.algebra.text import handing_on, spelled
from linops_video.errors import DtypeError, ShapeError


class LinearMap(Parameters, ABC):
    """A linear map A from tensors of shape `(*batch, *in_shape)` to tensors of shape `(*batch, *out_shape)`.

    The part of `LinearOperator` that knows nothing of other operators.
    """

    in_shape: Shape
    out_shape: Shape
    method_name: ClassVar[str] = ""
    """What `NormalSolver.method` calls a solve that is pointwise after this transform, if not by its type."""

    def __init_subclass__(cls) -> None:
        own: Any = vars(cls)
        if "H" in own:
            cls.H = handing_on(own["H"].fget)  # type: ignore[attr-defined]
        for name in ("gram", "outer"):
            if name in own:
                setattr(cls, name, _weighed(name, own[name]))

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
        batch = torch.broadcast_shapes(y.shape[: y.ndim - len(self.out_shape)], self.batch_shape)
        y = y.expand(*batch, *self.out_shape)
        x = y.new_zeros(*batch, *self.in_shape)
        return torch.func.vjp(self._apply, x)[1](y)[0]

    def _apply_within(self, x: Tensor, axes: int) -> Tensor:
        """A x for an x with `axes` axes between its batch axes and the event, which count no samples."""
        batch = len(self.batch_shape)
        if not (batch and axes):
            return self._apply(x)
        m, n = len(self.out_shape), len(self.in_shape)
        x = x.reshape((1,) * max(0, batch + axes + n - x.ndim) + x.shape)
        first = tuple(range(axes))
        y = self._apply(x.movedim(tuple(range(-n - axes, -n)), first))
        return y.movedim(first, tuple(range(-m - axes, -m)))

    def __call__(self, x: Tensor) -> Tensor:
        """Return A x for x of shape `(*batch, *in_shape)`, in the precision of x.

        It may be x itself or a view of it, as of an `Identity`: clone it before you change it in place. Parameters of
        another precision are cast at each call: keep them in that of the data with `A.to(dtype=…)`.

        Raises:
            DtypeError: if x is not a tensor.
            ShapeError: if the trailing axes of x are not `in_shape`, or its batch axes do not fit the parameters', or
                have no samples.
        """
        self._check(x, self.in_shape, "an input")
        return self._apply(x)

    def _check(self, x: Tensor, event: Shape, name: str) -> None:
        """Raise the errors of `__call__` unless x has the shape (*batch, *event)."""
        if not isinstance(x, Tensor):
            raise DtypeError(f"{self!r} needs a torch tensor, got {type(x).__name__}: torch.as_tensor makes one")
        if not (x.is_floating_point() or x.is_complex()):
            raise DtypeError(f"{self!r} needs real or complex numbers, got {x.dtype}: divide 8-bit values by 255")
        shape = x.shape
        leading = len(shape) - len(event)
        if leading < 0 or shape[leading:] != event:
            raise ShapeError(f"{self!r} needs {name} of shape {show(('*…',) + event)}, got {show(shape)}")
        if 0 in shape[:leading]:
            raise ShapeError(f"{self!r} needs {name} of one sample or more, got shape {show(shape)}")
        if leading and (batch := self.batch_shape) and not fit(shape[:leading], batch):
            raise ShapeError(
                f"{self!r} has parameters for a batch of shape {show(batch)}, got {name} of shape "
                f"{show(shape)}: its leading axes must be equal to it or 1"
            )

    def _check_weight(self, weight: object, event: Shape) -> None:
        """Raise a DtypeError unless the weight is an operator, a ShapeError unless it is one on this event."""
        if not isinstance(weight, LinearMap):
            kind = type(weight).__name__
            raise DtypeError(f"a weight must be an operator, such as Diagonal(w, {event}), got {kind}")
        if (weight.in_shape, weight.out_shape) != (event, event):
            raise ShapeError(f"{self!r} needs a weight from {show(event)} to {show(event)}, got {weight!r}")

    def _check_after(self, right: LinearMap) -> None:
        """Raise a ShapeError unless A∘right can be made: event shapes and batch axes fit."""
        if self.in_shape != right.out_shape:
            raise ShapeError(
                f"{self!r} @ {right!r}: the right operator gives {show(right.out_shape)}, "
                f"the left one needs {show(self.in_shape)}"
            )
        self._check_batch(right.batch_shape, f"@ {right!r}")

    def _check_batch(self, other: Shape, what: str) -> None:
        """Raise a ShapeError unless the parameters' batch axes and other ones can be broadcast."""
        if other and (own := self.batch_shape) and not fit(own, other):
            raise ShapeError(
                f"{self!r} {what}: parameters for batches of shapes {show(own)} and {show(other)}, whose axes must be "
                "equal or 1"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({show(self.in_shape)} → {show(self.out_shape)})"

    def __str__(self) -> str:
        """The expression that makes A (`linops_video.parse` reads it) where there is one, else the same as `repr`."""
        text = spelled(self)
        return repr(self) if text is None else text.words

    def _known_norm(self) -> Tensor | None:
        """‖A‖, float64, where a formula gives it that those of AᴴA and AAᴴ do not lead to, else None."""
        return None

    def _weighted(self, diagonal: Tensor) -> Any:
        """DᴴAD for a `Diagonal` D with these entries, where that is of A's own kind, else None."""
        return None

    def _separable_axes(self) -> tuple[int, ...]:
        """The event axes that A, made of its fields `axes` and `in_shape` alone, transforms each by itself; () else."""
        return ()

    def to_dense(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """The matrix of A, shape (*batch_shape, prod(out_shape), prod(in_shape)); in `dtype` if A has no parameters."""
        m, n, batch = self.out_size, self.in_size, self.batch_shape
        basis = torch.eye(n, dtype=self.dtype or dtype, device=self.device)
        basis = basis.reshape(n, *(1,) * len(batch), *self.in_shape).expand(n, *batch, *self.in_shape)
        return self(basis).reshape(n, *batch, m).movedim(0, -1)

    def _event_ndim(self, f: dataclasses.Field) -> int:
        n = f.metadata.get("event_ndim")
        return len(self.in_shape) if n is None else n


def _weighed(name: str, of_weight: Callable[..., Any]) -> Callable[..., Any]:
    """`gram` or `outer` of an operator, which looks at its weight first."""

    @wraps(of_weight)
    def weighed(self: LinearMap, weight: Any = None) -> Any:
        if weight is not None:
            self._check_weight(weight, self.out_shape if name == "gram" else self.in_shape)
        return of_weight(self, weight)

    return weighed
