"""Operators in files: safetensors for the numbers, JSON for what they are put together to."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from linops_video.algebra.operator import LinearOperator
from linops_video.algebra.text import Text, text_of, with_text
from linops_video.errors import FileError, LinopsError
from linops_video.media.files import replacing

FORMAT = "linops-video operator 1"


def save_operator(path: str | Path, A: LinearOperator) -> None:
    """Write an operator, with its tensors, to one `.safetensors` file, whole or not at all.

    Raises:
        FileError: if the file cannot be written, or a part of the operator is not of this library, or is a function.

    Example:
        >>> import torch
        >>> from linops_video import BoxMean, Diagonal
        >>> save_operator("camera.safetensors", BoxMean(2, (4, 4)) @ Diagonal(torch.rand(4, 4), (4, 4)))
        >>> load_operator("camera.safetensors").out_shape
        (2, 2)
    """
    if Path(path).suffix.lower() != ".safetensors":
        raise FileError(f"operators are written to .safetensors files, not to {Path(path).name}")
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_describe(A, tensors))
    with replacing(path) as temporary:
        save_file(tensors, temporary, {"format": FORMAT, "operator": tree})


def load_operator(path: str | Path) -> LinearOperator:
    """Read an operator that `save_operator` wrote: the same one, to the bit, on the CPU.

    Only this library's operators are made, by name, and nothing in the file is run.

    Raises:
        FileError: if there is no such file, or it holds no operator.

    Example:
        >>> from linops_video import BoxMean
        >>> save_operator("camera.safetensors", BoxMean(2, (4, 4)))
        >>> load_operator("camera.safetensors").in_shape
        (4, 4)
    """
    if not Path(path).is_file():
        raise FileError(f"no such file: {path}")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise FileError(f"{path} holds no operator: save_operator writes such files")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # it is no dict
        A = _build(json.loads(metadata["operator"]), tensors)
    except (SafetensorError, OSError) as error:
        raise FileError(f"cannot read {path}: it is no .safetensors file ({error})") from None
    except FileError:
        raise
    except (LinopsError, KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        raise FileError(f"cannot read the operator in {path}: {type(error).__name__}, {error}") from None
    if not isinstance(A, LinearOperator):
        raise FileError(f"{path} holds no operator but a {type(A).__name__}")
    return A


def _classes() -> dict[str, type[LinearOperator]]:
    """This library's operators by name; nobody subclasses a leaf, so that these are all."""
    return {cls.__name__: cls for cls in LinearOperator.__subclasses__() if cls.__module__.startswith("linops_video.")}


def _describe(value: Any, tensors: dict[str, Tensor]) -> Any:
    """A value as JSON; tensors go into `tensors` and leave their name."""
    if isinstance(value, LinearOperator):
        name, text = type(value).__name__, text_of(value)
        if _classes().get(name) is not type(value):
            raise FileError(f"only this library's operators can be saved, not {value!r}: save what it is made from")
        fields = {f.name: _describe(getattr(value, f.name), tensors) for f in dataclasses.fields(value)}  # type: ignore[arg-type]
        return {"operator": name, "fields": fields} | ({} if text is None else {"text": text})
    if isinstance(value, Tensor):
        name = f"tensor{len(tensors)}"
        parts = torch.view_as_real(value.resolve_conj()) if value.is_complex() else value
        tensors[name] = parts.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"complex tensor" if value.is_complex() else "tensor": name}
    if isinstance(value, tuple):
        return [_describe(item, tensors) for item in value]
    if isinstance(value, slice):
        return {"slice": [value.start, value.stop, value.step]}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise FileError(f"a {type(value).__name__} cannot be saved: only tensors, numbers, words and operators can")


def _build(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return tuple(_build(item, tensors) for item in value)
    if not isinstance(value, dict):
        return value
    if "operator" in value:
        known, name = _classes(), value["operator"]
        if name not in known:
            raise FileError(f"this version has no operator {name!r}, which the file needs")
        fields = {key: _build(item, tensors) for key, item in value["fields"].items()}
        A = known[name](**fields)
        return with_text(A, _text_from_json(value["text"])) if "text" in value else A
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "complex tensor":
        return torch.view_as_complex(tensors[content])
    return {"slice": slice, "complex": complex}[kind](*content)


def _text_from_json(value: Any) -> Text | None:
    if value is None:
        return None
    words, level, of = value
    if not isinstance(words, str) or level not in range(4):
        raise ValueError("the text of an operator is broken")
    return Text(words, level, _text_from_json(of))
