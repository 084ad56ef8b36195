"""Models of films of any length: the operator of a window of frames, and the measurements that go with it.

It is the film's operator, cut down to the measurements that see nothing outside (`cut`). Where it treats all frames
alike, repeats itself, or draws a mask for every frame, it is made for the window itself, so that memory does not depend
on the length of the film.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from linops_video.algebra.operator import Identity, LinearOperator, compose
from linops_video.algebra.parameters import Shape
from linops_video.errors import CutError, FileError, LinopsError, MeasurementError, ShapeError
from linops_video.expressions.expression import Call, factors, sole_call
from linops_video.expressions.named_sampling import block_corners, blocks_mask
from linops_video.expressions.names import stream
from linops_video.films.cut import Piece, cut, whole
from linops_video.media.arrays import read_mask
from linops_video.media.video import FILM_SUFFIXES, stream_video
from linops_video.operators.diagonal import Diagonal
from linops_video.operators.select import Select
from linops_video.problems.forward_model import BLUR, problem_named
from linops_video.problems.measurement import check_inputs, model_of

PROBE = 16
"""Rows and columns of the small frames on which an operator is tried, to see whether it treats all frames alike."""

Footage = Callable[[], Iterator[Tensor]]
"""Gives the frames (C, H, W) of a film from its first one on."""


class FilmModel(Protocol):
    """The operator of a film, window by window.

    Attributes:
        shape: (T, C, H, W) of the film.
        out_shape: that of its measurement, whose first axis counts frames.
        frame_by_frame: whether each of these frames is measured of the film's frame of the same number alone.
    """

    @property
    def frame_by_frame(self) -> bool: ...

    @property
    def shape(self) -> Shape: ...

    @property
    def out_shape(self) -> Shape: ...

    def part(self, start: int, stop: int) -> Piece:
        """The operator of frames start … stop − 1, and the box of the film's measurements that it gives."""
        ...


@dataclass(frozen=True)
class Alike:
    """A model that does the same to every frame, alone: made for the window. `build`: frames -> operator."""

    shape: Shape
    build: Callable[[int], LinearOperator]
    frame_by_frame = True

    @property
    def out_shape(self) -> Shape:
        return (self.shape[0], *self.build(1).out_shape[1:])

    def part(self, start: int, stop: int) -> Piece:
        A = self.build(stop - start)
        return A, ((start, stop), *whole(A.out_shape)[1:])


@dataclass(frozen=True)
class Segments:
    """A model that repeats after `period` frames, where a measurement sees at most `reach` frames before or after.

    Made for the window with as many frames around it, and then cut: every frame between the film's ends is treated as
    it is in the whole. `piece`: frames, start, stop -> the operator of so many frames, cut in time.
    """

    shape: Shape
    piece: Callable[[int, int, int], Piece]
    period: int = 1
    reach: int = 0
    frame_by_frame = False

    @property
    def out_shape(self) -> Shape:
        return (self.shape[0] // self.period + self.reach, *self.shape[1:])

    def part(self, start: int, stop: int) -> Piece:
        done = min(max(0, start - self.reach) // self.period, self.shape[0] // self.period - 1)
        first = done * self.period  # of the last whole period, where the window lies behind it
        last = min(self.shape[0], -(-(stop + self.reach) // self.period) * self.period)
        A, ((a, b), *rest) = self.piece(last - first, start - first, stop - first)
        return A, ((a + done, b + done), *rest)


@dataclass(frozen=True)
class Beginning:
    """The first `measured` frames are seen as they are, the others not at all."""

    shape: Shape
    measured: int
    frame_by_frame = False

    @property
    def out_shape(self) -> Shape:
        return (self.measured, *self.shape[1:])

    def part(self, start: int, stop: int) -> Piece:
        seen = min(stop, self.measured) - start
        if seen < 1:
            raise CutError(
                f"{self.shape[0] - self.measured} frames are missing at the end of this film, more than a window holds "
                "together with frames before them: take fewer frames"
            )
        part = (stop - start, *self.shape[1:])
        A = Identity(part) if seen == stop - start else Select(tuple(range(seen)), 0, part)
        return A, ((start, start + seen), *whole(self.shape)[1:])


class Masked:
    """A mask for every frame, drawn or read as the windows go on."""

    frame_by_frame = True

    def __init__(self, shape: Shape, masks: Footage) -> None:
        self.shape = self.out_shape = shape
        self._masks = Rolling(masks)

    def part(self, start: int, stop: int) -> Piece:
        shape = (stop - start, *self.shape[1:])
        return Diagonal(self._masks.window(start, stop), shape), ((start, stop), *whole(shape)[1:])


@dataclass(frozen=True)
class Whole:
    """Any other operator: made for the whole film, and cut."""

    operator: LinearOperator
    frame_by_frame = False

    @property
    def shape(self) -> Shape:
        return self.operator.in_shape

    @property
    def out_shape(self) -> Shape:
        return self.operator.out_shape

    def part(self, start: int, stop: int) -> Piece:
        A, box = cut(self.operator, ((start, stop), *whole(self.shape)[1:]))
        if len(box) != 4:
            raise CutError(f"{self.operator!r} does not measure frames, so that no frames of y belong to a window")
        return A, box


@dataclass(frozen=True)
class Product:
    """`left` after `right`: what `left` measures of those measurements by `right` that see the window alone."""

    left: FilmModel
    right: FilmModel

    @property
    def frame_by_frame(self) -> bool:
        return self.left.frame_by_frame and self.right.frame_by_frame

    @property
    def shape(self) -> Shape:
        return self.right.shape

    @property
    def out_shape(self) -> Shape:
        return self.left.out_shape

    def part(self, start: int, stop: int) -> Piece:
        right, between = self.right.part(start, stop)
        if between[1:] != whole(self.right.out_shape)[1:]:
            raise CutError(f"{right!r} of a window does not measure whole frames, which {self.left!r} needs")
        left, box = self.left.part(*between[0])
        return compose(left, right), box


def film_model(
    spec: str, shape: Shape, seed: int = 0, mask: str | Path | None = None, kernel: Tensor | None = None
) -> FilmModel:
    """The model of a film (T, C, H, W): that of `model_of`, window by window.

    Raises what `model_of` raises, and `CutError` for compressive sensing of the whole film.

    Example:
        >>> part, measured = film_model("sr4", (10000, 3, 64, 64)).part(500, 532)
        >>> part.in_shape, measured[0]
        ((32, 3, 64, 64), (500, 532))
    """
    check_inputs(spec, mask, kernel)
    if mask is not None:
        _check_mask_frames(mask, shape[0])
        return Masked(shape, lambda: _mask_frames(mask, shape))

    @cache  # so that windows which are measured alike have one operator, and can be told by it
    def build(frames: int) -> LinearOperator:
        return model_of(spec, (frames, *shape[1:]), seed, kernel=kernel).operator

    @cache
    def piece(frames: int, start: int, stop: int) -> Piece:
        return cut(build(frames), ((start, stop), *whole(shape)[1:]))

    def measured(*small: int) -> int:
        return model_of(spec, small, seed).operator.out_shape[0]

    call = None if spec == BLUR else sole_call(spec, seed)
    over_time = call is not None and call.name == "gaussian" and "frame" not in call.arguments
    if over_time or problem_named(spec) == "vcs":
        raise CutError(
            f"{spec} cannot be solved in windows, since its measurements see the whole film: take fewer frames "
            "(--frames)"
        )
    match call:
        case Call("mask", (int() | float() as share,), own):
            measured(1, *shape[1:])  # raises what the arguments may have wrong, here and below
            return Masked(shape, lambda: _random_masks(shape, share, own))
        case Call("blocks", (count, side), own):
            measured(1, *shape[1:])
            return Masked(shape, lambda: _scattered_masks(shape, count, side, own))
        case Call("every" | "average", (period,)):
            measured(shape[0], 1, 1, 1)
            return Segments(shape, piece, period=period)
        case Call("tblur"):
            return Segments(shape, piece, reach=measured(1, 1, 1, 1) - 1)
        case Call("first"):
            return Beginning(shape, measured(shape[0], 1, 1, 1))
    product = _product(spec, shape, seed, build)
    if product is not None:
        return product
    small = (*shape[:2], min(shape[2], PROBE), min(shape[3], PROBE))
    if _alike(spec, small, seed, kernel) and _alike(spec, (min(2, shape[0]), *shape[1:]), seed, kernel):
        return Alike(shape, build)
    return Whole(build(shape[0]))


def _product(spec: str, shape: Shape, seed: int, build: Callable[[int], LinearOperator]) -> FilmModel | None:
    """The model of a product, of those of its factors; None where these cannot be modelled apart."""
    parts = factors(spec)
    if parts is None:
        return None
    try:
        right = film_model(parts[1], shape, seed)
        left = film_model(parts[0], right.out_shape, seed) if len(right.out_shape) == 4 else None
    except LinopsError:  # told of the whole expression, or it is one that can be cut only as a whole
        return None
    if isinstance(left, Alike) and isinstance(right, Alike):
        return Alike(shape, build)
    return None if left is None else Product(left, right)


def _alike(spec: str, shape: Shape, seed: int, kernel: Tensor | None) -> bool:
    """Whether the operator does the same to every frame, alone.

    Tried on as many frames, but small ones, and on two of full size: random holes may be too small for small frames.
    For a linear operator, equality on one random video is equality for all of them, but for a chance of rounding.
    """
    frames, *size = shape
    try:
        A = model_of(spec, shape, seed, kernel=kernel).operator
        one = model_of(spec, (1, *size), seed, kernel=kernel).operator
    except LinopsError:
        return False
    if A.out_shape[:1] != (frames,) or (1, *A.out_shape[1:]) != one.out_shape:
        return False
    x = torch.rand(frames, *size, generator=torch.Generator().manual_seed(0))
    return bool((A(x) - one(x.unsqueeze(1)).squeeze(1)).abs().max() <= 1e-5)


def _random_masks(shape: Shape, share: float, seed: int) -> Iterator[Tensor]:
    """The mask of mask(share) frame by frame."""
    generator = stream(seed, 0)
    for _ in range(shape[0]):
        yield (torch.rand(shape[1:], generator=generator) >= 1 - share).float()


def _scattered_masks(shape: Shape, count: int, side: float, seed: int) -> Iterator[Tensor]:
    """The mask of blocks(count, side) frame by frame."""
    frames, _, height, width = shape
    pixels = int(side * height)
    corners = block_corners((frames, count), (height, width), pixels, stream(seed, 0))
    for top, left in zip(*corners, strict=True):
        yield blocks_mask(top, left, (height, width), pixels)


def _check_mask_frames(path: str | Path, frames: int) -> None:
    """Raise `ShapeError` for a mask video or folder of fewer frames than the film has, unless it has one for all, and
    `MeasurementError` for one that keeps nothing."""
    if _is_video(path):
        kept = [bool((frame > 0.5).any()) for frame in stream_video(path, frames)]
        if 1 < len(kept) < frames:
            raise ShapeError(
                f"the mask {path} has {len(kept)} frames, and the film {frames}: give it one for each, or one"
            )
        if not any(kept):
            raise MeasurementError(f"the mask {path} keeps nothing: white, or 1, is what is measured")


def _mask_frames(path: str | Path, shape: Shape) -> Iterator[Tensor]:
    """The mask of a file frame by frame (`read_mask`); one frame serves for all."""
    if not _is_video(path):
        yield from read_mask(path, shape)
    elif len(list(stream_video(path, 2))) == 1:
        yield from itertools.repeat(read_mask(path, (1, *shape[1:]))[0], shape[0])
    else:
        for frame in stream_video(path):
            mask = (frame > 0.5).float()
            if (mask == mask[:1]).all():
                mask = mask[:1]
            if mask.shape[-2:] != shape[-2:] or mask.shape[0] not in (1, shape[1]):
                raise ShapeError(
                    f"a frame of the mask {path} of shape {tuple(mask.shape)} does not fit frames {shape[1:]}"
                )
            yield mask.expand(shape[1:])


def _is_video(path: str | Path) -> bool:
    return Path(path).suffix.lower() in FILM_SUFFIXES or Path(path).is_dir()


class Rolling:
    """Windows of a stream of frames: of what was read, no more than one window is kept.

    They are to go forward: for one that begins before the last one did, all is read from the first frame on again.
    """

    def __init__(self, footage: Footage) -> None:
        self._footage = footage
        self._begin()

    def _begin(self) -> None:
        self._frames, self._kept, self._first = self._footage(), deque[Tensor](), 0

    def window(self, start: int, stop: int) -> Tensor:
        """Frames start … stop − 1, stacked."""
        if start < self._first:
            self._begin()
        while self._kept and self._first < start:
            self._kept.popleft()
            self._first += 1
        while self._first + len(self._kept) < stop:
            frame = next(self._frames, None)
            if frame is None:
                raise FileError(f"a film or mask ends after {self._first + len(self._kept)} frames: {stop} are needed")
            if self._first + len(self._kept) < start:
                self._first += 1
            else:
                self._kept.append(frame)
        return torch.stack(list(self._kept)[: stop - start])
