"""Frozen dataclasses of tensors: precision, device and batch axes, worked out once for operators and inverses alike."""

from __future__ import annotations

import dataclasses
import inspect
from abc import ABCMeta
from collections.abc import Callable, Iterable, Iterator
from dataclasses import field
from numbers import Number
from typing import Any, TypeVar, overload

import numpy as np
import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.autograd.forward_ad import unpack_dual

from linops_video.errors import DtypeError, ShapeError, SpecError

Shape = tuple[int, ...]
TensorMap = Callable[[Tensor, int], Tensor]
Self = TypeVar("Self", bound="Parameters")
T = TypeVar("T")


def tensor_field(event_ndim: int | None) -> Any:
    """Declare a tensor field: its last `event_ndim` axes (None: as many as the operator's `in_shape` has) belong to one
    sample, all axes before them are batch axes."""
    return field(metadata={"event_ndim": event_ndim})


class Fields(ABCMeta):
    """How all `Parameters` are made: lists, arrays and tensors become tuples first where no tensor is declared, numbers
    of NumPy's those of Python, and what is declared a tensor, whole numbers or operators has to be that."""

    declared: tuple[dataclasses.Field, ...] = ()
    """The fields of a class, from when the first of it is made: asking the dataclass each time takes long."""

    __instancecheck__ = type.__instancecheck__  # that of ABCMeta takes long, for classes that are registered by hand

    def __init__(cls, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        cls.declared = ()  # its own, not those of its base

    def __call__(cls, *args: Any, **named: Any):
        if not dataclasses.is_dataclass(cls):
            raise SpecError(
                f"{cls.__name__} needs to be a dataclass: write @dataclass(frozen=True, eq=False, repr=False) above it"
            )
        fields = cls.declared = cls.declared or dataclasses.fields(cls)
        given = [_checked(cls.__name__, f, value) for f, value in zip(fields, args, strict=False)]
        known = {f.name: f for f in fields} if named else {}
        named = {k: _checked(cls.__name__, known[k], v) if k in known else v for k, v in named.items()}
        return super().__call__(*given, *args[len(given) :], **named)

    @property
    def __signature__(cls) -> inspect.Signature:
        """That of `__init__`, which help and editors would not find behind `__call__`."""
        own = inspect.signature(cls.__init__)
        return own.replace(parameters=tuple(own.parameters.values())[1:])


def _checked(owner: str, f: dataclasses.Field, value: Any) -> Any:
    """The value in Python's own types, or the error of one that is not what its field declares."""
    kind = str(f.type)
    if _is_declared(kind, value, "event_ndim" in f.metadata):
        return value
    if "event_ndim" in f.metadata and not ("float" in kind and isinstance(value, Number)):
        check_tensor(value, f"{owner} needs a torch tensor as its {f.name}")
    value = _plain(value, kind)
    _check_kind(owner, f.name, kind, value)
    return value


WHOLE, OPERATORS = ("Shape", "tuple[int, ...]"), ("Operators", "tuple[LinearOperator, ...]")


def _is_declared(kind: str, value: Any, tensor: bool) -> bool:
    """Whether the value is at first sight what its field declares, as nearly all are."""
    if tensor:
        return isinstance(value, Tensor) and not kind.startswith(("tuple", "Shape"))
    if type(value) is tuple:
        entry = int if kind in WHOLE else Parameters if kind in OPERATORS else None
        return entry is not None and all(isinstance(v, entry) and not isinstance(v, bool) for v in value)
    return isinstance(value, Parameters) and kind not in (*WHOLE, *OPERATORS, "int")


def check_tensor(value: object, need: str) -> None:
    """Raise a DtypeError, which says what is needed, unless this is a tensor."""
    if not isinstance(value, Tensor):
        raise DtypeError(f"{need}, got {type(value).__name__}: torch.as_tensor makes one")


def whole_numbers(owner: str, **given: Any) -> tuple[Shape, ...]:
    """The values as tuples of whole numbers; a ShapeError, which names the one that is none."""
    values = {name: _plain(value, "Shape") for name, value in given.items()}
    for name, value in values.items():
        _check_kind(owner, name, "Shape", value)
    return tuple(values.values())


def whole_number(owner: str, name: str, value: Any) -> int:
    """The value as a whole number, or a SpecError that names it."""
    value = _plain(value, "int")
    _check_kind(owner, name, "int", value)
    return value


def _check_kind(owner: str, name: str, kind: str, value: Any) -> None:
    """Raise a ShapeError for a shape, a SpecError for other fields, unless the value is what its annotation says."""
    whole, several = (int, torch.SymInt), kind != "int"
    if kind in ("int", *WHOLE):
        entry, what = whole, "whole number"
    elif kind in OPERATORS:
        entry, what = Parameters, "operator"
    else:
        return
    entries = value if several else (value,)
    if isinstance(entries, tuple) and all(isinstance(v, entry) and not isinstance(v, bool) for v in entries):
        return
    need = f"a tuple of {what}s" if several else f"a {what}"
    hint = f", such as ({value},)" if isinstance(value, entry) else ""
    types = [type(v).__name__ for v in entries] if isinstance(entries, tuple) else [type(value).__name__]
    got = repr(value) if entry is whole else ", ".join(dict.fromkeys(types))
    raise (ShapeError if kind == "Shape" else SpecError)(f"{owner} needs {need} as its {name}{hint}, got {got}")


def _plain(value: Any, kind: str = "") -> Any:
    """The value in Python's own types, for a field of this annotation."""
    if isinstance(value, np.ndarray) or (isinstance(value, Tensor) and kind.startswith(("tuple", "Shape"))):
        value = value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return tuple(map(_plain, value)) if isinstance(value, list | range) or type(value) is tuple else value


class Parameters(metaclass=Fields):
    """Base of the frozen dataclasses whose fields are tensors, other `Parameters`, tuples of them, and plain values."""

    @property
    def dtype(self) -> torch.dtype | None:
        """The dtype of the parameters; None where none is floating point: then any will do."""
        kinds = [t.dtype for t, _ in self._tensors() if t.is_floating_point() or t.is_complex()]
        return max(kinds, key=lambda kind: (kind.is_complex, kind.itemsize)) if kinds else None

    def is_complex(self) -> bool:
        """Whether A x is complex for a real x: because a parameter is complex, or the formula."""
        items = (item for item, _ in self._items())
        return any(item.is_complex() if isinstance(item, Parameters) else is_complex_number(item) for item in items)

    @property
    def batch_shape(self) -> Shape:
        """The batch axes that the parameters carry, () when all samples share them."""
        shapes = [shape for shape in self._batch_shapes() if shape]
        if all(shape == shapes[0] for shape in shapes):  # to broadcast them would take longer than small operators do
            return shapes[0] if shapes else ()
        try:
            return tuple(torch.broadcast_shapes(*shapes))
        except RuntimeError:
            given = " and ".join(map(show, dict.fromkeys(shapes)))
            raise ShapeError(
                f"{type(self).__name__} has parameters for batches of shapes {given}, whose axes must be equal or 1"
            ) from None

    def _batch_shapes(self) -> Iterator[Shape]:
        """The batch axes of every parameter here and below."""
        for item, f in self._items():
            if isinstance(item, Parameters):
                yield from item._batch_shapes()
            elif isinstance(item, Tensor):
                yield tuple(item.shape[: max(0, item.ndim - self._event_ndim(f))])

    def to(self: Self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """The same with its parameters on `device` and in the precision `dtype` (masks of bool stay bool)."""
        if isinstance(device, torch.dtype):
            raise DtypeError(f"to takes the device first: write to(dtype={device})")
        return self._map_tensors(lambda t, _: moved(t, device, dtype))

    def detach(self: Self) -> Self:
        """The same with no gradient to its parameters."""
        return self._map_tensors(lambda t, _: t.detach())

    @property
    def device(self) -> torch.device:
        """The device of the parameters, but for constants on the CPU; the CPU where there are none."""
        return next((t.device for t, _ in self._tensors() if t.device.type != "cpu"), torch.device("cpu"))

    def tensors(self) -> Iterator[Tensor]:
        """The parameters: every tensor in the fields and below."""
        return (t for t, _ in self._tensors())

    def _tensors(self) -> Iterator[tuple[Tensor, int]]:
        """The parameters, with the number of their axes that are not batch axes."""
        for item, f in self._items():
            if isinstance(item, Parameters):
                yield from item._tensors()
            elif isinstance(item, Tensor):
                yield item, self._event_ndim(f)

    def _items(self) -> Iterator[tuple[Any, dataclasses.Field]]:
        """The values of the fields, and of the tuples in them, with their fields."""
        me: Any = self  # every subclass is a dataclass, which the base cannot say
        for f in type(self).declared or dataclasses.fields(me):
            value = getattr(self, f.name)
            if isinstance(value, tuple):
                yield from ((item, f) for item in value)
            else:
                yield value, f

    def _map_tensors(self: Self, fn: TensorMap) -> Self:
        def convert(value: Any, n: int) -> Any:
            if isinstance(value, Parameters):
                return value._map_tensors(fn)
            if isinstance(value, tuple):
                return tuple(convert(item, n) for item in value)
            return fn(value, n) if isinstance(value, Tensor) else value

        me: Any = self
        fields = dataclasses.fields(me)
        return dataclasses.replace(me, **{f.name: convert(getattr(me, f.name), self._event_ndim(f)) for f in fields})

    def _event_ndim(self, f: dataclasses.Field) -> int:
        return f.metadata["event_ndim"]


@overload
def per_sample(value: Tensor, event_ndim: int) -> Tensor: ...
@overload
def per_sample(value: float | Tensor, event_ndim: int) -> float | Tensor: ...
def per_sample(value: float | Tensor, event_ndim: int) -> float | Tensor:
    """A number per sample, shape (*batch,), made to broadcast over tensors with `event_ndim` more axes."""
    if isinstance(value, Tensor) and value.ndim:
        return value.reshape(value.shape + (1,) * event_ndim)
    return value


def widened(value: Tensor, count: int, last: int = 2) -> Tensor:
    """The tensor with `count` axes of size 1 before its last ones, to broadcast over that many axes of an event."""
    return value.reshape(*value.shape[:-last], *(1,) * count, *value.shape[-last:])


def sample_of(number: float | Tensor, i: int, count: int) -> float | Tensor:
    """The number of the i-th sample of `count`, from one for all or one a sample along the last axis."""
    if not isinstance(number, Tensor) or number.ndim == 0:
        return number
    if number.shape[-1] not in (1, count):
        raise ShapeError(f"a batch of {count} operators needs one number, or one a sample, got {show(number.shape)}")
    return number[..., 0 if number.shape[-1] == 1 else i]


@overload
def like(parameter: Tensor, x: Tensor) -> Tensor: ...
@overload
def like(parameter: float | Tensor, x: Tensor) -> float | Tensor: ...
def like(parameter: float | Tensor, x: Tensor) -> float | Tensor:
    """The parameter in the precision of x, complex if it is complex itself or x is, and where x is (`beside`)."""
    if not isinstance(parameter, Tensor):
        return parameter
    parameter = beside(parameter, x)
    if parameter.dtype == x.dtype:
        return parameter
    return parameter.to(complex_dtype(x.dtype) if parameter.is_complex() else x.dtype)


def beside(constant: Tensor, x: Tensor | Parameters) -> Tensor:
    """A tensor on the CPU moved to the device of x: constants of operators that have no tensors to tell a device."""
    return constant.to(x.device) if constant.device.type == "cpu" != x.device.type else constant


def together(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Tensors of operators that are combined, those on the CPU moved to the device of the others."""
    away = next((t for t in tensors if t.device.type != "cpu"), tensors[0])
    return tuple(beside(t, away) for t in tensors)


def complex_dtype(dtype: torch.dtype) -> torch.dtype:
    """The complex dtype of this precision; complex64 for float16 and bfloat16, whose own torch does not compute in."""
    return dtype if dtype.is_complex else torch.complex128 if dtype == torch.float64 else torch.complex64


def moved(t: Tensor, device: torch.device | str | None, dtype: torch.dtype | None) -> Tensor:
    """The tensor on another device or in another precision: complex numbers stay complex, bool and integers as they
    are."""
    if dtype is None or not (t.is_floating_point() or t.is_complex()):
        return t.to(device=device)
    return t.to(device=device, dtype=complex_dtype(dtype) if t.is_complex() else dtype)


def added(a: Tensor, b: Tensor) -> Tensor:
    """a + b, `together`."""
    return torch.add(*together(a, b))


def multiplied(a: Tensor, b: Tensor) -> Tensor:
    """a · b, entry by entry, `together`."""
    return torch.mul(*together(a, b))


def common(parameter: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The parameter and x, both in the precision of x, and complex if one of them is."""
    parameter = like(parameter, x)
    return parameter, x.to(parameter.dtype)


def scaled(factor: float | Tensor, t: Tensor, event_ndim: int) -> Tensor:
    """factor · t, a tensor of one factor per sample `together` with t."""
    return multiplied(per_sample(factor, event_ndim), t) if isinstance(factor, Tensor) else factor * t


def as_tensor(number: float | Tensor) -> Tensor:
    """A tensor as it is, a number of Python's as one without axes in float64 or complex128: all of its digits."""
    if isinstance(number, Tensor):
        return number
    return torch.tensor(number, dtype=torch.complex128 if isinstance(number, complex) else torch.float64)


def double(t: Tensor) -> Tensor:
    """t in float64, or complex128."""
    return t.to(torch.complex128 if t.is_complex() else torch.float64)


def in_range(squares: Tensor) -> bool:
    """Whether float32 holds these, 1e-12 of them, and the reciprocals of both; True within torch.func, which shows no
    numbers."""
    if is_functorch_wrapped_tensor(squares):
        return True
    return bool(((squares > 1e-24) & (squares < 1e36)).all())


def is_complex_number(value: object) -> bool:
    """Whether this is a complex number or a complex tensor."""
    return value.is_complex() if isinstance(value, Tensor) else isinstance(value, complex)


def varies(*values: float | Tensor) -> bool:
    """Whether a derivative is taken with respect to one of these: backwards, or forwards."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    backwards = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    return backwards or any(unpack_dual(t).tangent is not None for t in tensors)


def by_parts(fn: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """fn(x) for a linear fn with real coefficients that takes float32 and float64: the real and imaginary part of a
    complex x one after the other, float16 and bfloat16 in float32."""
    if x.is_complex():
        return torch.complex(fn(x.real), fn(x.imag))
    return fn(x.float()).to(x.dtype) if x.dtype.itemsize < 4 else fn(x)


def times(factor: float | Tensor, x: Tensor, event_ndim: int) -> Tensor:
    """factor · x, the factor being a number or a tensor of one per sample, in the precision of x."""
    x = x.to(complex_dtype(x.dtype)) if is_complex_number(factor) else x
    return per_sample(like(factor, x), event_ndim) * x


def conj(number: float | Tensor) -> float | Tensor:
    """The complex conjugate."""
    return number.conj() if isinstance(number, Tensor) else number.conjugate()


def from_first(axes: tuple[int, ...], shape: Shape) -> tuple[int, ...]:
    """Distinct axes of an event of this shape, negative ones counted from the last, all counted from the first one.

    Raises:
        SpecError: if they are not a tuple of such axes.
    """
    if not isinstance(axes, tuple):
        raise SpecError(f"axes are a tuple, such as (1,), got {axes!r}")
    n = len(shape)
    counted = tuple(axis + n if axis < 0 else axis for axis in axes)
    if len(set(counted)) < len(axes) or not all(0 <= axis < n for axis in counted):
        raise SpecError(f"axes must be distinct and in 0 … {n - 1}, or -{n} … -1 from the last one, got {axes}")
    return counted


def replaced(axes: tuple[T, ...], axis: int, entry: T) -> tuple[T, ...]:
    """A shape, or another tuple with an entry an axis, with this entry at one axis, which may be negative."""
    axis %= len(axes)
    return (*axes[:axis], entry, *axes[axis + 1 :])


def fit(a: Shape, b: Shape) -> bool:
    """Whether two batch shapes can be broadcast."""
    return all(m == n or 1 in (m, n) for m, n in zip(reversed(a), reversed(b), strict=False))


def show(shape: Iterable[object]) -> str:
    """A shape as the messages write it: (8×3×64×64)."""
    return "(" + "×".join(str(n) for n in shape) + ")"
