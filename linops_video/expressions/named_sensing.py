"""Names of random and stored matrices, transforms, differences, and of several measurements at once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import get_args

import torch

from linops_video.algebra.operator import Identity, LinearOperator
from linops_video.algebra.parameters import Shape, replaced, show
from linops_video.errors import MemoryLimitError, ShapeError, SpecError
from linops_video.expressions.names import Place, check_count, check_share, choose, memory, named, unknown
from linops_video.expressions.storage import load_operator
from linops_video.operators.cosine import Cosine
from linops_video.operators.dense import Dense
from linops_video.operators.difference import Difference, Ends, Scheme, gradient
from linops_video.operators.einsum import einsum
from linops_video.operators.fourier import Fourier
from linops_video.operators.hadamard import random_hadamard
from linops_video.operators.kron import kron
from linops_video.operators.patches import block_sensing
from linops_video.operators.stack import Stack
from linops_video.operators.wavelet import Wavelet


@named(
    "gaussian(share[, frame])",
    "compressive sensing: Gaussian matrix with a share of rows, over the whole clip or the same over every frame",
    "gaussian(0.1, frame)",
    unknown,
)
def _gaussian(place: Place, share: float, over: str = "clip") -> LinearOperator:
    whole = choose(over, ("clip", "frame"), "way to measure") == "clip"
    first = 0 if whole else place.axis("h")
    before, measured = place.shape[:first], place.shape[first:]
    rows = max(1, round(check_share(share, "the number of measurements") * math.prod(measured)))
    _check_memory(math.prod(place.batch) * rows * math.prod(measured), f"{rows}×{math.prod(measured)}")
    matrix = torch.randn(*place.batch, rows, math.prod(measured), generator=place.random()) / math.sqrt(rows)
    return kron(Identity(before), Dense(matrix, measured, (rows,)))


def _check_memory(entries: int, what: str) -> None:
    if 4 * entries > memory() / 2:
        raise MemoryLimitError(
            f"a Gaussian matrix of {what} needs {4 * entries / 1e9:.1f} GB in float32, and as much again to be used, "
            f"but the machine has {memory() / 1e9:.1f} GB: take fewer frames or smaller ones"
        )


@named("hadamard(share)", "fast compressive sensing: random rows of a Hadamard transform", "hadamard(0.1)", unknown)
def _hadamard(place: Place, share: float) -> LinearOperator:
    rows = max(1, round(check_share(share, "the number of measurements") * math.prod(place.shape)))
    seed = int(torch.randint(2**62, (), generator=place.random(4)))
    return random_hadamard(rows, place.shape, seed)


@named("tiles(k, share)", "block compressive sensing: the same Gaussian matrix on k×k tiles", "tiles(8, 0.25)", unknown)
def _tiles(place: Place, size: int, share: float) -> LinearOperator:
    place.axis("h")
    if size > min(place.shape[-2:]):
        height, width = place.shape[-2:]
        raise ShapeError(f"tiles of {size}×{size} need frames of at least that size, got {height}×{width}")
    pixels = check_count(size, "the size of a tile") ** 2
    rows = max(1, round(check_share(share, "the number of measurements") * pixels))
    _check_memory(math.prod(place.batch) * rows * pixels, f"{rows}×{pixels}")
    matrix = torch.randn(*place.batch, rows, pixels, generator=place.random(3)) / math.sqrt(rows)
    return block_sensing(matrix, place.shape)


@named("matrix(FILE)", "the matrix of a file on the whole clip, as many columns as that has entries", "", unknown)
def _matrix(place: Place, path: Path) -> LinearOperator:
    from linops_video.media.arrays import read_matrix  # here, since it loads FFmpeg

    matrix, n = read_matrix(path), math.prod(place.shape)
    if matrix.shape[-1] != n:
        raise ShapeError(f"the matrix {path} has {matrix.shape[-1]} columns, but {show(place.shape)} has {n} entries")
    return Dense(matrix, place.shape, (matrix.shape[-2],))


@named("einsum('t c h w, c d -> t d h w', FILE)", "the array of a file contracted with named axes", "", unknown)
def _einsum(place: Place, text: str, path: Path) -> LinearOperator:
    from linops_video.media.arrays import read_array  # here, since it loads FFmpeg

    return einsum(text, read_array(path, "tensor"), place.shape)


def _behind_load(y: Shape, path: Path) -> Shape:
    return load_operator(path).in_shape


@named("load(FILE)", "an operator that `save_operator` wrote", "", _behind_load)
def _load(place: Place, path: Path) -> LinearOperator:
    A = load_operator(path)
    if A.in_shape != place.shape:
        raise ShapeError(f"the operator in {path} takes {show(A.in_shape)}, here is {show(place.shape)}")
    return A


SCHEMES, ENDS = get_args(Scheme), get_args(Ends)


def _behind_difference(y: Shape, axis: str | int, scheme: str = "forward", ends: str = "free") -> Shape:
    i = Place(y).axis(axis)
    lost = 0 if ends == "periodic" else 2 if scheme == "centred" else 1
    return replaced(y, i, y[i] + lost)


@named(
    "difference(axis[, scheme, ends])",
    f"differences along an axis (t, c, h, w), {' or '.join(SCHEMES)}, their ends {' or '.join(ENDS)}",
    "difference(t)",
    _behind_difference,
)
def _difference(place: Place, axis: str | int, scheme: str = "forward", ends: str = "free") -> LinearOperator:
    i, scheme, ends = place.axis(axis), choose(scheme, SCHEMES, "scheme"), choose(ends, ENDS, "kind of ends")
    return Difference(i, place.shape, scheme, ends)  # type: ignore[arg-type]


@named("gradient", "forward differences in time, rows and columns, stacked", "gradient", unknown)
def _gradient(place: Place) -> LinearOperator:
    if len(place.shape) < 3:
        raise ShapeError(f"gradient needs a video (T, …, H, W), got {show(place.shape)}")
    return gradient(place.shape)


@named("fourier(axis, …)", "orthonormal discrete Fourier transform of these axes", "fourier(h, w)")
def _fourier(place: Place, *axes: str | int) -> LinearOperator:
    return Fourier(_axes(place, axes), place.shape)


@named("dct(axis, …)", "orthonormal discrete cosine transform (DCT-II) of these axes", "dct(t, h, w)")
def _dct(place: Place, *axes: str | int) -> LinearOperator:
    return Cosine(_axes(place, axes), place.shape)


def _axes(place: Place, axes: tuple[str | int, ...]) -> tuple[int, ...]:
    if not axes:
        raise SpecError("a transform needs an axis: t, c, h or w")
    return tuple(place.axis(axis) for axis in axes)


@named(
    "wavelet(name[, levels, …])", "wavelet transform; levels for t, h and w, one or one each", "wavelet(haar, 1, 2, 2)"
)
def _wavelet(place: Place, name: str, *levels: int) -> LinearOperator:
    longest = max(place.shape, default=1)
    most = max(1, (longest - 1).bit_length())  # then nothing is left to halve
    if max(levels, default=1) > most:
        raise SpecError(f"a wavelet transform of {longest} entries has at most {most} levels, not {max(levels)}")
    return Wavelet(place.shape, name, levels if len(levels) > 1 else (levels or (1,))[0])


@named("stack(A, B, …)", "several measurements of one video", "stack(frames(0), 0.5 * grayscale)", unknown)
def _stack(place: Place, *parts: LinearOperator) -> LinearOperator:
    if not parts:
        raise SpecError("stack needs operators")
    return Stack(parts)
