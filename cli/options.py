"""What several commands read from the command line in the same way."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import torch
import typer

from linops_video.errors import FileError, ShapeError, SpecError, near_names
from linops_video.media.files import check_writable
from linops_video.solvers import SOLVERS
from linops_video.solvers.registry import check_fields

Seed = Annotated[int, typer.Option(help="Seed of masks, matrices, angles and noise.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Noise = Annotated[float | None, typer.Option(help="σ of the noise; default: the problem's, or estimated.")]
Shape = Annotated[str | None, typer.Option(help="T,C,H,W of the video, where INPUT does not tell it.")]
Mask = Annotated[Path | None, typer.Option(help="Mask of pid, bi, si: an image, a video, .npz or .npy; white is kept.")]
Kernel = Annotated[Path | None, typer.Option(help="Kernel of blur: an image, .npz or .npy.")]


def parse_shape(text: str) -> tuple[int, int, int, int]:
    """ "8,3,64,64" as (T, C, H, W)."""
    parts = text.replace("x", ",").split(",")
    if len(parts) != 4 or not all(part.strip().isdecimal() and len(part) < 10 and int(part) > 0 for part in parts):
        raise ShapeError(f"--shape needs four positive numbers T,C,H,W as in 8,3,64,64, not {text!r}")
    frames, channels, height, width = (int(part) for part in parts)
    return frames, channels, height, width


def parse_device(name: str) -> torch.device:
    """ "auto" (cuda where there is one), "cpu" or "cuda"; of several, each process of torchrun takes another."""
    if name not in ("auto", "cpu", "cuda"):
        raise SpecError(f"--device is auto, cpu or cuda, not {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise SpecError("--device cuda: this machine has no CUDA device that torch can use; take cpu or auto")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    rank = os.environ.get("LOCAL_RANK")
    return torch.device("cuda") if rank is None else torch.device("cuda", int(rank) % torch.cuda.device_count())


def parse_names(text: str, known: Collection[str], what: str) -> list[str]:
    """ "a,b" as a list of names, each of which must be known."""
    names = [name.strip() for name in text.split(",") if name.strip()] or [text]
    for name in names:
        if name not in known:
            raise SpecError(f"unknown {what} {name!r}: {near_names(name, known)}")
    return names


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileError(f"no such file: {path}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(f"cannot read {path} as JSON: {error}") from None
    if not isinstance(content, dict):
        raise SpecError(f"{path} must hold a JSON object, not {type(content).__name__}")
    return content


def read_fields(path: Path | None, solver: str) -> dict[str, Any]:
    """Fields of a solver from a file that `tune` wrote, or {"fields": {…}}: lists become tuples."""
    if path is None:
        return {}
    content = read_json(path)
    fields, of = content.get("fields"), content.get("solver", solver)
    if not isinstance(fields, dict):
        raise SpecError(f'{path} must hold fields of the solver, as in {{"fields": {{"weight": 0.01}}}}')
    if of != solver:
        raise SpecError(f"{path} has fields of {of}, not of {solver}: give --solver {of}")
    return checked(SOLVERS[solver], fields, path) if solver in SOLVERS else fields


def checked(kind: type, fields: dict[str, Any], path: Path) -> dict[str, Any]:
    """Fields of a dataclass from JSON, lists as tuples; `SpecError` for unknown ones and values of another kind."""
    check_fields(kind, fields)
    hints = get_type_hints(kind)
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    for name, value in values.items():
        if not _fits(value, hints[name]):
            raise SpecError(f"{name} in {path} must be {_words(hints[name])}, not {fields[name]!r}")
    return values


KINDS = {float: "a number", int: "a whole number", bool: "true or false", str: "a text", NoneType: "null"}


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is what an annotation says, as far as numbers, texts, tuples of them and unions go."""
    if isinstance(hint, UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        size = isinstance(value, tuple) and (kinds[-1] is Ellipsis or len(value) == len(kinds))
        return size and all(_fits(item, kinds[0]) for item in value)
    if get_origin(hint) is Mapping:
        return isinstance(value, dict) and all(_fits(item, float) for item in value.values())
    if hint in (int, float):
        number = isinstance(value, int if hint is int else int | float) and not isinstance(value, bool)
        return number and (isinstance(value, float) or abs(value) < 2**63)
    return isinstance(value, hint) if hint in KINDS else True


def _words(hint: Any) -> str:
    if isinstance(hint, UnionType):
        return " or ".join(filter(None, map(_words, get_args(hint))))
    if get_origin(hint) is Mapping:
        return "an object of numbers"
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        return f"a list, each {_words(kinds[0])}" if kinds[-1] is Ellipsis else f"a list of {len(kinds)}"
    return KINDS.get(hint, "")


def check_seed(seed: int) -> None:
    """Raise `SpecError` for seeds that the random streams do not take."""
    if not 0 <= seed < 2**63:
        raise SpecError(f"--seed is a whole number, 0 or more and below 2⁶³, not {seed}")


def check_png(path: Path, option: str) -> None:
    """Raise `FileError` for a picture that is not named .png, or cannot be written."""
    if path.suffix.lower() != ".png":
        raise FileError(f"{option} writes PNG: name it .png, not {path.name}")
    check_writable(path)


def check_noise(noise: float | None) -> None:
    """Raise `SpecError` for a σ that is negative, or far beyond all values of a video; None is none given."""
    if noise is not None and not 0 <= noise <= 1e6:
        raise SpecError(f"--noise is a standard deviation, 0 or more, not {noise:g}: values of a video lie in [0, 1]")
