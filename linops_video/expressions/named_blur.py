"""Names of blurs, and of the kernels that they are made with."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import get_args, get_type_hints

import torch
from torch import Tensor

from linops_video.algebra.operator import LinearOperator
from linops_video.algebra.parameters import Shape, show
from linops_video.errors import ShapeError, SpecError
from linops_video.expressions.names import Place, choose, named, plus
from linops_video.operators.convolution import Boundary, Convolution
from linops_video.operators.dense import AxisMatrix
from linops_video.operators.kernels import anisotropic_gaussian, box, disk, gaussian, motion_line, motion_line_3

KERNEL_LIMIT = 1023
"""Most rows of a kernel that is made from numbers."""


def _size(n: int) -> int:
    if not 1 <= n <= KERNEL_LIMIT:
        raise SpecError(f"the size of a kernel is a whole number in 1 … {KERNEL_LIMIT}, not {n}")
    return n


def _size_of(sigma: float) -> int:
    """The least odd size that reaches to 3σ on both sides."""
    if not 0 < sigma <= KERNEL_LIMIT / 6 - 1:
        raise SpecError(f"the standard deviation of a kernel is in (0, {KERNEL_LIMIT // 6 - 1}] pixels, not {sigma:g}")
    return 2 * math.ceil(3 * sigma) + 1


def _angle(place: Place, degrees: float | None) -> Tensor:
    if degrees is not None:
        return torch.tensor(degrees, dtype=torch.float64)
    return 360 * torch.rand(place.batch, generator=place.random(), dtype=torch.float64)


def _disk(place: Place, size: int, radius: float) -> Tensor:
    return disk(_size(size), radius)


def _box(place: Place, size: int) -> Tensor:
    return box(_size(size))


def _gaussian(place: Place, sigma: float) -> Tensor:
    return gaussian(_size_of(sigma), sigma)


def _anisotropic(place: Place, sigma: float, across: float, degrees: float) -> Tensor:
    return anisotropic_gaussian(max(_size_of(sigma), _size_of(across)), (sigma, across), degrees)


def _line(place: Place, size: int, degrees: float | None = None) -> Tensor:
    return motion_line(_angle(place, degrees), _size(size)).float()


def _line3(place: Place, degrees: float | None = None) -> Tensor:
    return motion_line_3(_angle(place, degrees)).float()


KERNELS: dict[str, tuple[str, Callable[..., Tensor]]] = {
    "disk": ("disk, size, radius", _disk),
    "box": ("box, size", _box),
    "gaussian": ("gaussian, σ", _gaussian),
    "anisotropic": ("anisotropic, σ₁, σ₂, degrees", _anisotropic),
    "line": ("line, size[, degrees]", _line),
    "line3": ("line3[, degrees]", _line3),
}
"""Kernels by name: how they are written, and what makes them. A line without degrees has a random angle."""


def _kernel(place: Place, kernel: str | Path, numbers: tuple[float, ...]) -> Tensor:
    if isinstance(kernel, Path):
        from linops_video.media.arrays import read_kernel  # here, since it loads FFmpeg

        if numbers:
            raise SpecError("a kernel from a file takes no numbers")
        return read_kernel(kernel)
    usage, build = KERNELS[choose(kernel, KERNELS, "kernel")]
    parameters = list(inspect.signature(build).parameters.values())[1:]
    needed = sum(p.default is p.empty for p in parameters)
    whole = [get_type_hints(build)[p.name] is int for p in parameters]
    if not needed <= len(numbers) <= len(parameters) or any(
        w and not isinstance(number, int) for w, number in zip(whole, numbers, strict=False)
    ):
        given = ", ".join([kernel, *map(str, numbers)])
        raise SpecError(f"the kernel {given} is written {usage}{', its size a whole number' if any(whole) else ''}")
    return build(place, *(n if w else float(n) for w, n in zip(whole, numbers, strict=False)))


def _parts(values: tuple[float | str, ...]) -> tuple[tuple[float, ...], Boundary]:
    """Numbers, and the boundary if it stands behind them."""
    *numbers, last = values or ("full",)
    boundary = last if isinstance(last, str) else "full"
    given = tuple(values if boundary is not last else numbers)
    words = [word for word in given if isinstance(word, str)]
    if words:
        raise SpecError(f"{words[0]} is no number of the kernel")
    choose(boundary, get_args(Boundary), "boundary")
    return given, boundary  # type: ignore[return-value]


def _behind_blur(y: Shape, kernel: str | Path, *values: float | str) -> Shape:
    numbers, boundary = _parts(values)
    sizes = _kernel(Place(y), kernel, numbers).shape[-2:]
    grow = {"full": -1, "valid": 1}.get(boundary, 0)
    return plus(y, *(grow * (k - 1) for k in sizes))


@named(
    "blur(KERNEL[, boundary])",
    "convolution of every frame; KERNEL is a file or one of the kernels below",
    "blur(disk, 4, 2, circular)",
    _behind_blur,
)
def _blur(place: Place, kernel: str | Path, *values: float | str) -> LinearOperator:
    place.axis("h")
    numbers, boundary = _parts(values)
    return Convolution(_kernel(place, kernel, numbers), place.shape, boundary)


def _taps(kernel: str | Path, numbers: tuple[float, ...]) -> Tensor:
    """The weights in time: the middle column of a spatial kernel, divided by its sum, or the numbers of a file."""
    if isinstance(kernel, Path):
        taps = _kernel(Place(()), kernel, numbers)
        if 1 not in taps.shape:
            raise ShapeError(f"the kernel {kernel} of tblur must be one row or column, not {show(taps.shape)}")
        return taps.flatten()
    kernel2d = _kernel(Place(()), choose(kernel, ("box", "gaussian"), "kernel"), numbers)
    return kernel2d[:, len(kernel2d) // 2] / kernel2d[:, len(kernel2d) // 2].sum()


def _behind_tblur(y: Shape, kernel: str | Path, *numbers: float) -> Shape:
    return plus(y, 1 - len(_taps(kernel, numbers)), 0, 0, 0)


@named(
    "tblur(KERNEL)",
    "full convolution over time; KERNEL is box, frames; gaussian, σ; or a file with one row",
    "tblur(box, 3)",
    _behind_tblur,
)
def _tblur(place: Place, kernel: str | Path, *numbers: float) -> LinearOperator:
    axis, taps = place.axis("t"), _taps(kernel, numbers)
    n = place.shape[axis]
    lag = torch.arange(n + len(taps) - 1).unsqueeze(1) - torch.arange(n)
    inside = (lag >= 0) & (lag < len(taps))
    return AxisMatrix(torch.where(inside, taps[lag.clamp(0, len(taps) - 1)], 0.0), axis, place.shape)
