"""The one registry of names that `parse` and `--op` understand: operators, and the named problems made of them.

The operators themselves register in named_sampling.py, named_blur.py and named_sensing.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import index
from typing import SupportsIndex

import numpy as np
import torch

from linops_video.algebra.operator import LinearOperator
from linops_video.algebra.parameters import Shape, show
from linops_video.errors import ShapeError, SpecError, near_names


@dataclass
class Place:
    """Where in an expression a name stands, and the random numbers that are there for it.

    Attributes:
        shape: the event shape that the operator is to take.
        batch: batch axes of random parameters, for one mask, matrix or angle per sample.
        seed: of those parameters.
        drawn: whether some were drawn, so that the seed belongs to the text.
    """

    shape: Shape
    batch: Shape = ()
    seed: int = 0
    drawn: bool = False

    def random(self, purpose: int = 0) -> torch.Generator:
        """Random numbers for the operator: the same for the same seed and purpose, on any device."""
        self.drawn = True
        return stream(self.seed, purpose)

    def axis(self, name: str | int) -> int:
        """The axis that is meant by t, c, h, w (of a video: the last four axes) or by its number."""
        n = len(self.shape)
        axis = n - 4 + "tchw".index(name) if isinstance(name, str) and name in ("t", "c", "h", "w") else name
        if not isinstance(axis, int):
            raise SpecError(f"an axis is t, c, h, w or a number, not {axis!r}")
        if not -n <= axis < n or (isinstance(name, str) and axis < 0):
            raise ShapeError(f"there is no axis {name} in the shape {show(self.shape)}")
        return axis % n


def whole_seed(seed: SupportsIndex) -> int:
    """A seed as Python's int, from NumPy's and the like; `SpecError` for what is no whole number."""
    try:
        return index(seed)
    except TypeError:
        raise SpecError(f"a seed is a whole number, 0 or more, not {seed!r}") from None


def stream(seed: int, purpose: int) -> torch.Generator:
    """Random numbers for one purpose, independent of those for others: equal seeds do not correlate them.

    Purpose 0 are the operators of the named problems, 1 is noise, and other kinds of operators have their own.
    Raises `SpecError` for a negative seed, and what is no whole number.
    """
    seed = whole_seed(seed)
    if seed < 0:
        raise SpecError(f"a seed is a whole number, 0 or more, not {seed}")
    state = np.random.SeedSequence(seed, spawn_key=(purpose,)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)


Behind = Callable[..., "Shape | None"]


@dataclass(frozen=True)
class Name:
    """An operator that can be made from text: how it is written, a line on what it is, and how it is made.

    Attributes:
        usage: the name and its arguments; those in brackets may be left out.
        summary: what it does.
        example: one that works on a video of 8 frames, 3 channels and 16×16 pixels, on its own or on the last one's.
        build: (place, *arguments) -> operator; the annotations of the arguments say what they may be.
        behind: (shape of the output, *arguments) -> the smallest shape of the input, None if that cannot be told.
        stride: (*arguments) -> how many times fewer frames, at equal distances, the output has.

    Example:
        >>> from linops_video import OPERATORS
        >>> OPERATORS["sr"].usage, OPERATORS["sr"].example
        ('sr(k)', 'sr(2)')
    """

    usage: str
    summary: str
    example: str
    build: Callable[..., LinearOperator]
    behind: Behind
    stride: Callable[..., int]


@dataclass(frozen=True)
class Problem:
    """A named problem: a line on what it is, the expression that it stands for, and its noise.

    Example:
        >>> PROBLEMS["pid"].text, PROBLEMS["pid"].noise_std
        ('mask(0.5)', 0.1)
    """

    summary: str
    text: str
    noise_std: float = 0.0


OPERATORS: dict[str, Name] = {}
"""Every operator that can be made from text, seeds and files."""

PROBLEMS: dict[str, Problem] = {
    "pid": Problem("pixelwise inpainting and denoising: half of the entries dropped, noise 0.1", "mask(0.5)", 0.1),
    "bi": Problem("block inpainting: the central square of side 0.4 H is missing in every frame", "block(0.4)"),
    "si": Problem(
        "scattered inpainting: 10 squares of side 0.2 H are missing in each frame, elsewhere each time",
        "blocks(10, 0.2)",
    ),
    "sr2": Problem("super resolution: means over 2×2 boxes", "sr(2)"),
    "sr4": Problem("super resolution: means over 4×4 boxes", "sr(4)"),
    "cs": Problem("compressive sensing: a Gaussian matrix over the whole clip, 10 % measurements", "gaussian(0.1)"),
    "vcs": Problem(
        "video compressive sensing: the first frame, and 10 % Gaussian measurements of differences",
        "stack(frames(0), gaussian(0.1, frame) @ difference(t))",
    ),
    "dd": Problem("deblurring: full convolution with a 4×4 disk", "blur(disk, 4, 2)"),
    "tdd": Problem("temporal deblurring: full convolution over time with 4 equal taps", "tblur(box, 4)"),
    "md": Problem("motion deblurring: full convolution with a 7×7 line at a random angle", "blur(line, 7)"),
    "md3": Problem("motion deblurring as in the paper's runs: a 3×3 off-centre line at a random angle", "blur(line3)"),
    "fi2": Problem("frame interpolation: every 2nd frame is kept", "every(2)"),
    "fi4": Problem("frame interpolation: every 4th frame is kept", "every(4)"),
    "fp25": Problem("frame prediction: the last 25 % of the frames are missing", "first(0.75)"),
    "fp50": Problem("frame prediction: the last 50 % of the frames are missing", "first(0.5)"),
    "fp75": Problem("frame prediction: the last 75 % of the frames are missing", "first(0.25)"),
    "color": Problem("colorization: luma 0.299 R + 0.587 G + 0.114 B of every pixel", "grayscale"),
    "denoise": Problem("denoising: every entry is measured, noise 0.1", "identity", 0.1),
}
"""The named problems: Table 1 of Milacski et al. (ICML 2020), and `denoise`."""


def named(
    usage: str,
    summary: str,
    example: str,
    behind: Behind = lambda y, *arguments: y,
    stride: Callable[..., int] = lambda *arguments: 1,
) -> Callable[[Callable[..., LinearOperator]], Callable[..., LinearOperator]]:
    """Register what builds an operator: of the shape of its input, unless `behind` and `stride` say otherwise."""

    def register(build: Callable[..., LinearOperator]) -> Callable[..., LinearOperator]:
        OPERATORS[usage.partition("(")[0]] = Name(usage, summary, example, build, behind, stride)
        return build

    return register


def unknown(y: Shape, *arguments: object) -> None:
    """For `behind`, where the output does not tell the input."""


def last_axes(y: Shape, count: int) -> tuple[Shape, Shape]:
    """The other axes of an output, and the last ones; a ShapeError if it has fewer."""
    if len(y) < count:
        raise ShapeError(f"a measurement here has at least {count} axes, (…, {', '.join('TCHW'[-count:])}), not {y}")
    return y[: len(y) - count], y[len(y) - count :]


def times(y: Shape, *factors: int) -> Shape:
    """A shape with its last axes that many times longer; a SpecError for factors below 1."""
    first, last = last_axes(y, len(factors))
    return (*first, *(n * check_count(k, "the factor") for n, k in zip(last, factors, strict=True)))


def plus(y: Shape, *lengths: int) -> Shape:
    """A shape with its last axes longer by so much."""
    first, last = last_axes(y, len(lengths))
    return (*first, *(n + k for n, k in zip(last, lengths, strict=True)))


def choose(word: str, known: Iterable[str], what: str) -> str:
    """The word if it is a known one, else a SpecError with the near ones."""
    if word not in (names := list(known)):
        raise SpecError(f"unknown {what} {word!r}: {near_names(word, names)}")
    return word


def check_share(value: float, what: str) -> float:
    """The value if it is in (0, 1], else a SpecError."""
    if not 0 < value <= 1:
        raise SpecError(f"{what} is a share in (0, 1], not {value:g}")
    return value


def check_count(value: int, what: str) -> int:
    """The value if it is 1 or more, else a SpecError."""
    if value < 1:
        raise SpecError(f"{what} is a whole number, 1 or more, not {value}")
    return value


def memory() -> float:
    """Bytes of memory of this machine; 16 GB where it does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 16e9
