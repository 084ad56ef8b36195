"""A device on every machine: tensors that compute on the CPU and refuse to meet others, as those of a GPU do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("meta")
"""How the device is called: torch takes no other name without its driver."""

MIXES = ("aten::index", "aten::copy_", "aten::_to_copy")
"""What GPUs take tensors of the CPU for, too."""


class There(Tensor):
    """A tensor on the other device, with its values in `inner`."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> There:
        like = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        tensor = Tensor._make_wrapper_subclass(cls, inner.shape, device=DEVICE, **like)  # type: ignore[attr-defined]
        tensor.inner = inner
        return tensor

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _call(func, args, kwargs or {})


def values(x: Any) -> Tensor:
    """The values of a tensor that must be on the other device."""
    assert isinstance(x, There), "this tensor is on the CPU"
    return x.inner


@contextmanager
def another_device() -> Iterator[torch.device]:
    """Within it `.to(device)` and `device=device` lead there."""
    with _Factories(), _Kernels(), patch.object(torch, "autocast", lambda *_, **__: nullcontext()):
        yield DEVICE


class _Factories(TorchFunctionMode):
    """What torch's C++ does before it asks a mode: tensors of Python's numbers, and products of a vector in place."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        if func is Tensor.__getitem__:
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            return func(args[0], tuple(torch.tensor(i) if isinstance(i, list) else i for i in index))
        if func in (torch.matmul, Tensor.matmul, Tensor.__matmul__) and args[0].ndim == 1:
            return func(args[0].unsqueeze(0), args[1]).squeeze(-2)
        return func(*args, **kwargs)


class _Kernels(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _call(func, args, kwargs or {})


def _call(func: Any, args: Any, kwargs: Any) -> Any:
    tensors, name = [t for t in _leaves((args, tuple(kwargs.values()))) if isinstance(t, Tensor)], func._schema.name
    away = any(isinstance(t, There) for t in tensors)
    if away and name not in MIXES and any(t.ndim and not isinstance(t, There) for t in tensors):
        raise RuntimeError(f"{name}: tensors on two devices, {[tuple(t.shape) for t in tensors]}")
    if kwargs.get("device") is not None:
        away = torch.device(kwargs["device"]) == DEVICE
    result = func(*_mapped(_inner, args), **{key: _mapped(_inner, value) for key, value in kwargs.items()})
    first = func._schema.arguments[0].alias_info if func._schema.arguments else None
    if first is not None and first.is_write:
        return tensors[0]  # in place
    return _mapped(_wrapped, result) if away else result


def _leaves(x: Any) -> Iterator[Any]:
    """What lies in lists and tuples, in order."""
    if isinstance(x, list | tuple):
        for part in x:
            yield from _leaves(part)
    else:
        yield x


def _mapped(change: Callable[[Any], Any], x: Any) -> Any:
    """As torch's `tree_map`, of lists and tuples alone, which takes a third of the time."""
    return type(x)([_mapped(change, part) for part in x]) if isinstance(x, list | tuple) else change(x)


def _inner(x: Any) -> Any:
    return x.inner if isinstance(x, There) else torch.device("cpu") if isinstance(x, torch.device) else x


def _wrapped(x: Any) -> Any:
    return There(x.resolve_conj().resolve_neg()) if isinstance(x, Tensor) and not isinstance(x, There) else x
