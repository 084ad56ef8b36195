"""Trained networks as files: `NAME.safetensors` with float16 weights, and all that is known of them in its metadata."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from linops_video.errors import FileError, SpecError
from linops_video.media.files import replacing
from linops_video.solvers.learned.form import Config
from linops_video.solvers.learned.unrolled import Unrolled

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the weights that are shipped."""


def save_network(path: str | Path, network: Unrolled, about: Mapping[str, Any]) -> None:
    """Write the weights in float16, the config, and `about` (problems, data, licence, metrics, …: JSON values).

    Raises `FileError` if the file cannot be written; a file that was there before stays as it was then.
    """
    tensors = {name: t.detach().cpu().half().contiguous() for name, t in network.state_dict().items()}
    metadata = {"config": json.dumps(asdict(network.config))}
    metadata |= {key: json.dumps(value) for key, value in about.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata)
        temporary.chmod(0o644)  # safetensors lets its owner alone read it


def load_network(weights: str | Path) -> Unrolled:
    """Read a trained network, float32 on the CPU, its weights frozen.

    Args:
        weights: a file, or the name of a shipped set (`shipped()` lists them).

    Raises:
        SpecError: for a name that is not shipped; the near ones are listed.
        FileError: for a file that is missing or no checkpoint of this library, or of another version of it, or holds
            weights that are NaN or infinite.

    Example:
        >>> load_network("videoonet").config.form
        'videoonet'
    """
    path = locate(weights)
    try:
        with safe_open(path, "pt") as archive:
            given = json.loads((archive.metadata() or {})["config"])
        unknown = ", ".join(sorted(given.keys() - {f.name for f in fields(Config)}))
        if unknown:
            raise SpecError(f"its config has {unknown}")
        tensors = {name: t.float() for name, t in load_file(path).items()}
        with torch.device("meta"):  # no random weights, which would move the generator of all others
            network = Unrolled(Config(**given))
        network.load_state_dict(tensors, assign=True)
    except SpecError as error:
        raise FileError(f"{path} was written by another version of this library: {error}") from None
    except (SafetensorError, AttributeError, KeyError, TypeError, RuntimeError, json.JSONDecodeError, OSError):
        raise FileError(f"{path} is not a network of this library: give a file that training has written") from None
    if not all(bool(torch.isfinite(t).all()) for t in tensors.values()):
        raise FileError(f"{path} holds weights that are NaN or infinite: train it again")
    # as the features lie: convolutions over time would else copy those of a single video to planes
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.requires_grad_(False).eval()


def describe(weights: str | Path) -> dict[str, Any]:
    """What the metadata of a checkpoint say: config, problems, data, licence, metrics, …"""
    path = locate(weights)
    try:
        with safe_open(path, "pt") as archive:
            return {key: _value(text) for key, text in (archive.metadata() or {}).items()}
    except (SafetensorError, OSError):
        raise FileError(f"{path} is not a network of this library: give a file that training has written") from None


def _value(text: str) -> Any:
    """The JSON value of a text, or the text itself, which other programs write."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def shipped() -> tuple[str, ...]:
    """Names of the weights in the package."""
    return tuple(sorted(path.stem for path in WEIGHTS.glob("*.safetensors")))


def locate(weights: str | Path) -> Path:
    """The file of a name or path."""
    if not isinstance(weights, str | Path):
        raise SpecError(f"weights are a file, or the name of a shipped set, got {weights!r}")
    path = Path(weights)
    if path.suffix or len(path.parts) > 1:
        if not path.is_file():
            raise FileError(f"no such file: {path}")
        return path
    if str(weights) in shipped():
        return WEIGHTS / f"{weights}.safetensors"
    raise SpecError(
        f"unknown weights {str(weights)!r}: shipped are {', '.join(shipped())}; a file needs its suffix .safetensors"
    )


def frozen_copy(network: Unrolled, like: torch.Tensor) -> Unrolled:
    """A copy on the device and in the precision of a tensor."""
    return copy.deepcopy(network).to(like.device, like.dtype).requires_grad_(False).eval()
