"""What several commands read from the command line in the same way."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from linops_video.errors import FileError, ShapeError, SpecError
from linops_video.media.files import check_writable
from linops_video.solvers import SOLVERS

Seed = Annotated[int, typer.Option(help="Seed of masks, matrices, angles and noise.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Noise = Annotated[float | None, typer.Option(help="σ of the noise; default: the problem's, or estimated.")]
Shape = Annotated[str | None, typer.Option(help="T,C,H,W of the video, where INPUT does not tell it.")]
Mask = Annotated[Path | None, typer.Option(help="Mask of pid, bi, si: an image, a video or .npz; white is kept.")]
Kernel = Annotated[Path | None, typer.Option(help="Kernel of blur: an image or .npz.")]


def parse_shape(text: str) -> tuple[int, int, int, int]:
    """ "8,3,64,64" as (T, C, H, W)."""
    parts = text.replace("x", ",").split(",")
    if len(parts) != 4 or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
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


def parse_names(text: str, known: object, what: str) -> list[str]:
    """ "a,b" as a list of names, each of which must be known."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]  # type: ignore[operator]
    if unknown or not names:
        listed = ", ".join(known)  # type: ignore[call-overload]
        raise SpecError(f"unknown {what} {', '.join(unknown) or text!r}; known are {listed}")
    return names


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise FileError(f"no such file: {path}") from None
    except (OSError, ValueError) as error:
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
    for name, value in fields.items():
        own = getattr(SOLVERS.get(solver), name, None)
        if isinstance(own, int | float) and not isinstance(value, int | float):
            raise SpecError(f"{name} in {path} must be a number, not {value!r}")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def check_seed(seed: int) -> None:
    """Raise `SpecError` for negative seeds, which the random streams do not take."""
    if seed < 0:
        raise SpecError(f"--seed is a whole number, 0 or more, not {seed}")


def check_png(path: Path, option: str) -> None:
    """Raise `FileError` for a picture that is not named .png, or cannot be written."""
    if path.suffix.lower() != ".png":
        raise FileError(f"{option} writes PNG: name it .png, not {path.name}")
    check_writable(path)


def check_noise(noise: float | None) -> None:
    """Raise `SpecError` for a negative or infinite σ; None is none given."""
    if noise is not None and not 0 <= noise < float("inf"):
        raise SpecError(f"--noise is a standard deviation, 0 or more, not {noise:g}")
