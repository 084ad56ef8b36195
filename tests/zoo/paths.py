"""The few operators of the zoo that run all of its code, for laws that the others would only say again.

With `--slow` these laws are asked of every operator. `tests/test_zoo.py` says what is missing here.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Container, Iterator
from typing import Any

import pytest

from linops_video import LinearOperator, NormalSolver
from zoo import ZOO
from zoo.animal import Animal, animal

KINDS = (
    "Gram of a wide dense",
    "one full blur a sample",
    "Toeplitz",
    "haar wavelet",
    "Hadamard transform of a long axis",
    "entries",
    "inverse Fourier transform in time",
    "Bayer mosaic rggb",
    "patches that overlap",
    "centred difference",
    "bicubic upsampling of columns",
    "decimation of a circular blur",
    "transpose of a Kronecker product with a factor on no axis",
    "mosaic",
    "warp",
    "einsum, a matrix a frame",
    "function",
    "blocks and a multiple of the identity a sample",
    "rolls and flips of the only axis, added",
    "key frames, some entries of them, and small frames between",
    "mask that repeats itself, one a sample, of a blur",
)
"""Between them they have every class of operator and of inverse."""

PATHS = (
    *KINDS,
    "mask",
    "difference in time",
    "same blur",
    "circulant",
    "i times a Toeplitz",
    "video compressive sensing",
    "block diagonal",
    "cosine transform of a long axis",
    "Gram of random rows of a Hadamard transform",
    "wavelet multiplier",
    "full blur of wavelet synthesis",
    "rows of the spectrum of luma",
    "complex weights",
    "complex circulant",
    "complex full blur",
    "Bayer mosaic bggr",
    "Bayer mosaic gbrg",
    "one block matrix a sample",
    "periodic difference in rows",
    "one multiple of a periodic difference a sample",
    "first frame and gradient",
    "decimation of one circular blur a sample",
    "crop of a circular blur",
    "box mean of a circular blur",
    "box mean of a circular blur of colour frames",
    "cosine multiplier of a flip",
    "one warp a sample, all frames alike",
    "einsum, transposed",
    "einsum, a weighted sum of frames",
    "function of a complex result",
    "complex matrix of differences of a stack",
    "blocks of many kinds",
    "masked blocks",
    "blocks of a mask",
    "blocks beside others and beside a number",
    "two blurs in space and time",
    "masks of two temporal blurs",
    "a cosine filter between masks, along the only axis",
    "two snapshots of means over rows",
    "means over time of a full blur",
    "one color matrix a sample of a valid blur of every second frame",
    "box means, and a mask of a circular blur",
    "luma, one a sample, and box means that leave over, flipped",
    "means of rows of one symmetric blur a sample",
    "box mean that leaves over, of a symmetric blur",
    "box mean of a separable blur",
    "reflected blur of small frames",
    "weights and gains of box means along an axis each, and of every second row, of a blur",
    "box means of differences that are sums of rolls",
    "mean over time of a Bayer mosaic of a blur",
    "box means of one circular blur a frame, weighted",
    "decimations of a circular blur in a color pattern",
)
"""Every branch of applying and solving: each part of `code`, and lines that no word or flag tells of, as the branch
coverage of each of the zoo says."""

Part = tuple[object, ...]


def asked_of(names: Container[str] | None = None, exact: bool = False) -> pytest.MarkDecorator:
    """`entry` in a test: the operators of these names or all, or those solved exactly of them; others are slow."""
    entries = [entry for entry in ZOO if not exact or "cg" not in entry.method]
    marks = {entry.name: () if names is None or entry.name in names else pytest.mark.slow for entry in entries}
    return pytest.mark.parametrize("entry", [pytest.param(e, id=e.name, marks=marks[e.name]) for e in entries])


def parts(whole: Any) -> Iterator[Part]:
    """Each type within, whether its own parameters have batch axes, which run other code, and those of its fields that
    choose what runs: flags and words, but for the numbers in them."""
    values = [getattr(whole, f.name) for f in dataclasses.fields(whole)]
    batched = isinstance(whole, LinearOperator) and bool(whole.batch_shape)
    yield type(whole), batched, *(re.sub(r"\d+", "n", str(value)) for value in values if isinstance(value, str | bool))
    for value in values:
        for item in value if isinstance(value, tuple) else (value,):
            if dataclasses.is_dataclass(item):
                yield from parts(item)


def code(entry: Animal) -> set[Part]:
    """The parts of an operator and of its inverse."""
    A = animal(entry)
    whole = {"operator": A, "inverse": NormalSolver.of(A)}
    return {(name, *part) for name, item in whole.items() for part in parts(item)}
