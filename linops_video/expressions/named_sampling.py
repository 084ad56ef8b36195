"""Names of masks, and of what keeps, averages or moves pixels, frames and channels."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from linops_video.algebra.operator import Identity, LinearOperator
from linops_video.algebra.parameters import Shape
from linops_video.errors import MemoryLimitError, ShapeError, SpecError
from linops_video.expressions.names import (
    Place,
    check_count,
    check_share,
    choose,
    last_axes,
    memory,
    named,
    plus,
    times,
    unknown,
)
from linops_video.operators.dense import AxisMatrix
from linops_video.operators.diagonal import Diagonal
from linops_video.operators.geometry import Flip, Roll, Transpose
from linops_video.operators.imaging import BAYER_PATTERNS, Bayer, cacti, shutter
from linops_video.operators.patches import Patches
from linops_video.operators.resample import Method, resize
from linops_video.operators.sampling import BoxMean
from linops_video.operators.select import Select, crop, decimate, zero_pad
from linops_video.operators.warp import Warp

LUMA = (0.299, 0.587, 0.114)
MAX_SIZE = 2**14

MOST_FRAMES = 2**53
"""Longest film that is looked for behind a measurement: shares of more frames are not exact."""


@named("identity", "every entry is measured", "identity")
def _identity(place: Place) -> LinearOperator:
    return Identity(place.shape)


@named("mask(share) or mask(FILE)", "keep a random share of the entries, or what is white in a file", "mask(0.5)")
def _mask(place: Place, kept: float | Path) -> LinearOperator:
    if isinstance(kept, Path):
        from linops_video.media.arrays import read_mask  # here, since it loads FFmpeg

        return Diagonal(read_mask(kept, place.shape), place.shape)
    lost = 1 - check_share(kept, "what a mask keeps")
    return Diagonal((torch.rand(*place.batch, *place.shape, generator=place.random()) >= lost).float(), place.shape)


@named("block(side)", "the central square is missing; its side is a share of the height", "block(0.4)")
def _block(place: Place, side: float) -> LinearOperator:
    place.axis("h")
    height, width = place.shape[-2:]
    pixels = int(check_share(side, "the side of a block") * height)
    top, left = round(height / 2 - pixels / 2), max(round(width / 2 - pixels / 2), 0)
    mask = torch.ones(*(1,) * (len(place.shape) - 2), height, width)
    mask[..., top : top + pixels, left : left + pixels] = 0
    return Diagonal(mask, place.shape)


@named("blocks(count, side)", "squares are missing in each frame, elsewhere each time", "blocks(3, 0.25)")
def _blocks(place: Place, count: int, side: float) -> LinearOperator:
    place.axis("t")
    *before, frames, _, height, width = place.shape
    if math.prod(place.batch) * frames * count * height * width > memory() / 4:
        raise MemoryLimitError(f"{count} blocks a frame do not fit in memory: take fewer")
    pixels = int(check_share(side, "the side of a block") * height)
    many = (*place.batch, *before, frames, check_count(count, "the number of blocks"))
    corners = block_corners(many, (height, width), pixels, place.random())
    return Diagonal(blocks_mask(*corners, (height, width), pixels), place.shape)


def block_corners(many: Shape, size: tuple[int, int], pixels: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Top rows and left columns of random squares, away from the frame's edges, each of shape `many`."""

    def corners(n: int) -> Tensor:
        low, high = 0.25 * pixels, n - 0.25 * pixels - pixels - 1
        return (low + (high - low) * torch.rand(*many, 1, generator=generator)).int().squeeze(-1)

    return corners(size[0]), corners(size[1])


def blocks_mask(top: Tensor, left: Tensor, size: tuple[int, int], pixels: int) -> Tensor:
    """Masks that are 0 in squares, (…, blocks) of their corners -> (…, 1, H, W)."""
    rows, columns = (torch.arange(n) - corner.unsqueeze(-1) for n, corner in zip(size, (top, left), strict=True))
    in_rows = ((rows >= 0) & (rows < pixels)).unsqueeze(-1)
    in_columns = ((columns >= 0) & (columns < pixels)).unsqueeze(-2)
    return (~(in_rows & in_columns).any(-3, keepdim=True)).float()


# --- fewer pixels, frames, channels --------------------------------------------------------------------------------


@named("sr(k)", "super resolution: means over k×k boxes", "sr(2)", lambda y, k: times(y, k, k))
def _sr(place: Place, factor: int) -> LinearOperator:
    _check_frames(place, "sr", factor)
    return BoxMean(factor, place.shape)


def _check_frames(place: Place, name: str, factor: int) -> None:
    place.axis("h")
    height, width = place.shape[-2:]
    if min(height, width) < check_count(factor, "the factor"):
        raise ShapeError(f"{name}({factor}) needs frames of at least {factor}×{factor}, got {height}×{width}")


def _behind_decimate(y: Shape, k: int) -> Shape:
    return plus(times(y, k, k), 1 - k, 1 - k)


@named("decimate(k)", "keep every k-th row and column", "decimate(2)", _behind_decimate)
def _decimate(place: Place, factor: int) -> LinearOperator:
    _check_frames(place, "decimate", factor)
    return decimate(factor, place.shape)


@named("bicubic(k)", "frames k times smaller, by antialiased bicubic means", "bicubic(2)", lambda y, k: times(y, k, k))
def _bicubic(place: Place, factor: int) -> LinearOperator:
    place.axis("h")
    height, width = (n // check_count(factor, "the factor") for n in place.shape[-2:])
    return resize((height, width), place.shape)


@named("resize(rows, columns, way)", "frames of another size, bicubic or by area", "resize(10, 12, area)", unknown)
def _resize(place: Place, rows: int, columns: int, way: str) -> LinearOperator:
    place.axis("h")
    if max(rows, columns) > MAX_SIZE:
        raise SpecError(f"rows and columns are at most {MAX_SIZE}, not {max(rows, columns)}")
    return resize((rows, columns), place.shape, choose(way, get_args(Method), "way to resize"))  # type: ignore[arg-type]


FRAMES_TAKES = "frames takes numbers of frames, or one range a:b:c with a step c that is not 0"


def _behind_frames(y: Shape, *which: int | slice) -> Shape | None:
    before, (kept, *frame) = last_axes(y, 4)
    if not which:
        raise SpecError(FRAMES_TAKES)
    if any(isinstance(i, int) and i < 0 for i in which):
        return None
    ends = [i + 1 for i in which if isinstance(i, int)]
    if ends:
        return (*before, max(ends), *frame)
    chosen = which[0]
    assert isinstance(chosen, slice)
    if chosen.step == 0:
        raise SpecError("the step of a range is not 0")
    longest = max(abs(n) for n in (chosen.start or 0, chosen.stop or 0)) + kept * abs(chosen.step or 1)
    least = _least(1, longest, kept, lambda t: len(range(t)[chosen]))
    return None if least is None else (*before, least, *frame)


def _least(low: int, high: float, kept: int, kept_of: Callable[[int], int]) -> int | None:
    """The least number of frames in low … high of which `kept` are kept; None if there is none."""
    if high >= MOST_FRAMES:
        raise SpecError(f"no film is so long that {kept} frames of it are kept here")
    frames = low + bisect_left(range(low, int(high) + 1), kept, key=kept_of)
    return frames if kept_of(frames) == kept else None


def _stride_frames(*which: int | slice) -> int:
    steps = [i.step for i in which if isinstance(i, slice) and i.step is not None]
    return max([1, *steps])


@named(
    "frames(i, …) or frames(a:b:c)",
    "keep these frames, counted from 0",
    "frames(0, 2, 5)",
    _behind_frames,
    _stride_frames,
)
def _frames(place: Place, *which: int | slice) -> LinearOperator:
    axis = place.axis("t")
    n = place.shape[axis]
    ranges = [i for i in which if isinstance(i, slice)]
    if not which or (ranges and (len(which) > 1 or ranges[0].step == 0)):
        raise SpecError(FRAMES_TAKES)
    kept = tuple(j for i in which for j in (range(n)[i] if isinstance(i, slice) else (i + n if i < 0 else i,)))
    if not kept or len(set(kept)) < len(kept) or not all(0 <= i < n for i in kept):
        raise SpecError(f"frames needs distinct frames in 0 … {n - 1}, got {', '.join(map(str, kept)) or 'none'}")
    return Select(kept, axis, place.shape)


def _behind_every(y: Shape, step: int) -> Shape:
    return times(y, step, 1, 1, 1)


def _stride_every(step: int) -> int:
    return check_count(step, "the step")


@named("every(k)", "keep frames 0, k, 2k, … of ⌊T/k⌋ groups", "every(2)", _behind_every, _stride_every)
def _every(place: Place, step: int) -> LinearOperator:
    axis, step = place.axis("t"), check_count(step, "the step")
    n = place.shape[axis]
    if n < step:
        raise ShapeError(f"every({step}) needs at least {step} frames, got {n}")
    return Select(tuple(range(0, step * (n // step), step)), axis, place.shape)


def _first_of(frames: int, share: float) -> int:
    return math.ceil(share * frames - 1e-9)  # 0.9 · 10 is 9, whatever it rounds to


def _behind_first(y: Shape, share: float) -> Shape | None:
    check_share(share, "what is kept")
    before, (kept, *frame) = last_axes(y, 4)
    least = _least(kept, kept / share + 2, kept, lambda frames: _first_of(frames, share))
    return None if least is None else (*before, least, *frame)


@named("first(share)", "keep the first frames, a share of them, rounded up", "first(0.75)", _behind_first)
def _first(place: Place, share: float) -> LinearOperator:
    axis = place.axis("t")
    kept = _first_of(place.shape[axis], check_share(share, "what is kept"))
    return Select(tuple(range(kept)), axis, place.shape)


@named("average(k)", "means over k frames", "average(4)", _behind_every, _stride_every)
def _average(place: Place, frames: int) -> LinearOperator:
    return BoxMean(check_count(frames, "the number of frames"), place.shape, (place.axis("t"),))


def _behind_shutter(y: Shape, length: int, stride: int) -> Shape:
    check_count(length, "the number of frames")
    before, (frames, *frame) = last_axes(y, 4)
    return (*before, (frames - 1) * check_count(stride, "the stride") + length, *frame)


def _stride_shutter(length: int, stride: int) -> int:
    return check_count(stride, "the stride")


@named("shutter(k, s)", "every s frames the mean of k frames", "shutter(3, 2)", _behind_shutter, _stride_shutter)
def _shutter(place: Place, length: int, stride: int) -> LinearOperator:
    _video_only(place, "shutter")
    return shutter(length, stride, place.shape)


def _behind_one_channel(y: Shape, *arguments: str) -> Shape:
    before, (channels, *frame) = last_axes(y, 3)
    if channels != 1:
        raise ShapeError(f"a measurement here has one channel, not {channels}: write it as gray PNGs, .mkv or .npz")
    return (*before, 3, *frame)


@named("grayscale", "luma 0.299 R + 0.587 G + 0.114 B of every pixel", "grayscale", _behind_one_channel)
def _grayscale(place: Place) -> LinearOperator:
    axis = place.axis("c")
    if place.shape[axis] == 1:
        return Identity(place.shape)
    if place.shape[axis] != 3:
        raise ShapeError(f"grayscale needs a video of 3 channels (RGB) or 1, got {place.shape[axis]}")
    return AxisMatrix(torch.tensor([LUMA]), axis, place.shape)


@named("bayer(pattern)", f"colour filter array: {', '.join(BAYER_PATTERNS)}", "bayer(rggb)", _behind_one_channel)
def _bayer(place: Place, pattern: str) -> LinearOperator:
    place.axis("h")
    return Bayer(choose(pattern, BAYER_PATTERNS, "pattern"), place.shape)


@named("cacti(share)", "snapshot imaging: all frames in one, each through its own random mask", "cacti(0.5)", unknown)
def _cacti(place: Place, kept: float) -> LinearOperator:
    _video_only(place, "cacti")
    frames, _, height, width = place.shape
    open_ = torch.rand(*place.batch, frames, 1, height, width, generator=place.random(2))
    return cacti((open_ < check_share(kept, "what a mask keeps")).float(), place.shape)


# --- the same pixels elsewhere -------------------------------------------------------------------------------------


def _behind_crop(y: Shape, top: int, left: int, height: int, width: int) -> Shape:
    return plus(y, top, left)


@named("crop(top, left, height, width)", "a part of every frame", "crop(2, 4, 8, 8)", _behind_crop)
def _crop(place: Place, top: int, left: int, height: int, width: int) -> LinearOperator:
    place.axis("h")
    return crop((top, left), (height, width), place.shape)


def _behind_pad(y: Shape, top: int, bottom: int, left: int, right: int) -> Shape:
    return plus(y, -top - bottom, -left - right)


@named("pad(top, bottom, left, right)", "zeros around every frame", "pad(1, 1, 2, 2)", _behind_pad)
def _pad(place: Place, top: int, bottom: int, left: int, right: int) -> LinearOperator:
    place.axis("h")
    return zero_pad((top, left), (bottom, right), place.shape)


@named("flip(axis, …)", "reverse these axes (t, c, h, w)", "flip(t, w)")
def _flip(place: Place, *axes: str | int) -> LinearOperator:
    if not axes:
        raise SpecError("flip needs an axis: t, c, h or w")
    return Flip(tuple(place.axis(axis) for axis in axes), place.shape)


@named("roll(axis, shift)", "move along an axis, what leaves at one end comes in at the other", "roll(w, 3)")
def _roll(place: Place, axis: str | int, shift: int) -> LinearOperator:
    i = place.axis(axis)
    return Roll((shift % place.shape[i],), (i,), place.shape)


def _behind_transpose(y: Shape, *axes: str | int) -> Shape | None:
    order = [Place(y).axis(axis) for axis in axes]
    return tuple(y[order.index(i)] for i in range(len(y))) if sorted(order) == list(range(len(y))) else None


@named("transpose(axis, …)", "the axes in another order", "transpose(t, c, w, h)", _behind_transpose)
def _transpose(place: Place, *axes: str | int) -> LinearOperator:
    return Transpose(tuple(place.axis(axis) for axis in axes), place.shape)


@named("warp(FILE)", "frames seen along the optical flow (T, 2, H, W) of a file", "")
def _warp(place: Place, path: Path) -> LinearOperator:
    from linops_video.media.arrays import read_array  # here, since it loads FFmpeg

    flow = read_array(path, "flow")
    if flow.ndim != 4:
        raise ShapeError(f"the flow {path} must have the shape (T, 2, H, W), not {tuple(flow.shape)}")
    _video_only(place, "warp")
    return Warp(flow, place.shape)


def _behind_patches(y: Shape, size: int, stride: int) -> Shape:
    check_count(size, "the size")
    before, (rows, columns, _, _) = last_axes(y, 4)
    return (*before, *((n - 1) * check_count(stride, "the stride") + size for n in (rows, columns)))


@named("patches(k, s)", "all k×k patches, one every s rows and columns", "patches(4, 2)", _behind_patches)
def _patches(place: Place, size: int, stride: int) -> LinearOperator:
    place.axis("h")
    stride = min(check_count(stride, "the stride"), max(place.shape[-2:]))  # a longer one, too, makes one patch
    return Patches(check_count(size, "the size"), stride, place.shape)


def _video_only(place: Place, name: str) -> None:
    if len(place.shape) != 4:
        raise ShapeError(f"{name} needs a video (T, C, H, W), got {len(place.shape)} axes")
