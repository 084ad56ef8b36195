"""Measurements: operator and noise, and the named problems of the paper."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from linops_video.batch import Batch, Ragged, batch, sample_of
from linops_video.convolution import Convolution
from linops_video.dense import AxisMatrix, Dense
from linops_video.diagonal import Diagonal
from linops_video.difference import Difference
from linops_video.errors import MemoryLimitError, ShapeError, SpecError
from linops_video.kernels import disk, motion_line, motion_line_3
from linops_video.kron import kron
from linops_video.operator import Identity, LinearOperator
from linops_video.parameters import Shape
from linops_video.sampling import BoxMean
from linops_video.select import Select
from linops_video.stack import Stack

LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, eq=False)
class InverseProblem:
    """y = A x + noise: find x.

    Attributes:
        operator: A.
        y: the measurement, shape (*batch, *A.out_shape); for a `batch` of operators a tuple, one measurement a sample.
        noise_std: standard deviation of the white Gaussian noise on every entry of y: a number, or one per sample.
        name: the name in `PROBLEMS`, by which solvers find their tuned defaults; None for any other problem.
    """

    operator: LinearOperator
    y: Any  # Tensor | tuple[Tensor, ...]: solvers take either without asking which
    noise_std: float | Tensor = 0.0
    name: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.operator, Batch):
            object.__setattr__(self, "y", self.operator.measurements(self.y))

    @property
    def batch_shape(self) -> Shape:
        """The batch axes of the measurement."""
        if isinstance(self.operator, Batch):
            sample = InverseProblem(self.operator.operators[0], self.y[0])
            return (*sample.batch_shape, *self.operator.batch_shape)
        return tuple(self.y.shape[: self.y.ndim - len(self.operator.out_shape)])

    def samples(self) -> tuple[InverseProblem, ...]:
        """The problems of the samples where the operator is a `batch`, else the problem itself alone."""
        if not isinstance(self.operator, Batch):
            return (self,)
        parts = enumerate(zip(self.operator.operators, self.y, strict=True))
        return tuple(InverseProblem(A, y, sample_of(self.noise_std, i), self.name) for i, (A, y) in parts)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> InverseProblem:
        """The same problem on another device or in another precision."""
        std = self.noise_std.to(device, dtype) if isinstance(self.noise_std, Tensor) else self.noise_std
        return InverseProblem(self.operator.to(device, dtype), self.y.to(device, dtype), std, self.name)


def collate(problems: Sequence[InverseProblem]) -> InverseProblem:
    """One problem of which these are the samples, each with its own operator, measurement and noise.

    Example:
        >>> import torch
        >>> video = torch.rand(4, 3, 16, 16)
        >>> problem = collate([forward_model(name, (4, 3, 16, 16)).measure(video) for name in ("sr2", "pid")])
        >>> problem.batch_shape, problem.noise_std
        ((2,), tensor([0.0000, 0.1000]))
    """
    operator = batch([problem.operator for problem in problems])
    y = Ragged(problem.y for problem in problems)
    noise = torch.stack([torch.as_tensor(problem.noise_std, dtype=y[0].dtype.to_real()) for problem in problems], -1)
    names = {problem.name for problem in problems}
    return InverseProblem(operator, y, noise.to(y.device), names.pop() if len(names) == 1 else None)


@dataclass(frozen=True, eq=False)
class ForwardModel:
    """What a camera does: x ↦ A x + noise of standard deviation `noise_std`; `name` is that of a named problem.

    Example:
        >>> import torch
        >>> model = forward_model("sr4", (8, 3, 64, 64))
        >>> model.measure(torch.rand(8, 3, 64, 64)).y.shape
        torch.Size([8, 3, 16, 16])
    """

    operator: LinearOperator
    noise_std: float = 0.0
    name: str | None = None

    def measure(self, video: Tensor, seed: int = 0) -> InverseProblem:
        """Measure a video (*batch, T, C, H, W): the same noise for the same seed, on any device."""
        y = self.operator(video)
        if self.noise_std:
            y = y + self.noise_std * _noise_like(y, _stream(seed, "noise"))
        return InverseProblem(self.operator, y, self.noise_std, self.name)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> ForwardModel:
        """The same model on another device or in another precision."""
        return replace(self, operator=self.operator.to(device, dtype))


def _noise_like(y: Any, generator: torch.Generator) -> Any:
    if isinstance(y, Ragged):
        return Ragged(_noise_like(part, generator) for part in y)
    return torch.randn(y.shape, generator=generator, dtype=torch.float32).to(y)


Builder = Callable[[Shape, Shape, torch.Generator], LinearOperator]


@dataclass(frozen=True)
class Problem:
    """A named problem: a line on what it is, how its operator is made from a shape, and its noise."""

    summary: str
    build: Builder
    noise_std: float = 0.0


def forward_model(spec: str, shape: tuple[int, ...], seed: int = 0) -> ForwardModel:
    """The forward model of a named problem for videos of one shape.

    Args:
        spec: a name in `PROBLEMS`.
        shape: (T, C, H, W), or (*batch, T, C, H, W) for a new random mask, matrix or angle per sample.
        seed: the same seed gives the same operator on any device.

    Raises:
        SpecError: if the name is unknown (the near ones are listed).
        ShapeError: if the problem cannot be posed for the shape.
        MemoryLimitError: if a dense matrix would not fit in memory.

    Example:
        >>> forward_model("fi2", (9, 1, 14, 14)).operator.out_shape
        (4, 1, 14, 14)
    """
    if spec not in PROBLEMS:
        near = difflib.get_close_matches(spec, PROBLEMS, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(PROBLEMS)}"
        raise SpecError(f"unknown problem {spec!r}: {hint}")
    if len(shape) < 4 or min(shape) < 1:
        raise ShapeError(f"{spec} needs a video shape (T, C, H, W) with positive sizes, got {tuple(shape)}")
    problem = PROBLEMS[spec]
    batch, event = tuple(shape[:-4]), tuple(shape[-4:])
    return ForwardModel(problem.build(batch, event, _stream(seed, "operator")), problem.noise_std, spec)


def _stream(seed: int, purpose: str) -> torch.Generator:
    """Independent random numbers for each purpose, so that equal seeds do not correlate mask and noise."""
    key = {"operator": 0, "noise": 1}[purpose]
    state = np.random.SeedSequence(seed, spawn_key=(key,)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)


def _pid(batch: Shape, shape: Shape, generator: torch.Generator) -> LinearOperator:
    return Diagonal((torch.rand(*batch, *shape, generator=generator) >= 0.5).float(), shape)


def _bi(batch: Shape, shape: Shape, generator: torch.Generator) -> LinearOperator:
    height, width = shape[-2:]
    side = int(0.4 * height)
    top, left = round(height / 2 - side / 2), round(width / 2 - side / 2)
    mask = torch.ones(1, 1, height, width)
    mask[..., top : top + side, max(left, 0) : max(left, 0) + side] = 0
    return Diagonal(mask, shape)


def _si(batch: Shape, shape: Shape, generator: torch.Generator) -> LinearOperator:
    frames, _, height, width = shape
    side = int(0.2 * height)

    def corners(size: int) -> Tensor:
        low, high = 0.25 * side, size - 0.25 * side - side - 1
        return (low + (high - low) * torch.rand(*batch, frames, 10, 1, generator=generator)).int()

    top, left = corners(height), corners(width)
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = ((rows >= top) & (rows < top + side)).unsqueeze(-1)
    in_columns = ((columns >= left) & (columns < left + side)).unsqueeze(-2)
    hidden = (in_rows & in_columns).any(-3, keepdim=True)
    return Diagonal((~hidden).float(), shape)


def _sr(factor: int) -> Builder:
    return lambda batch, shape, generator: BoxMean(factor, shape)


def gaussian(rows: int, batch: Shape, in_shape: Shape, generator: torch.Generator) -> Dense:
    """A random matrix with independent Gaussian entries of variance 1/rows.

    Raises:
        MemoryLimitError: if it does not fit in the machine's memory.
    """
    columns = math.prod(in_shape)
    needed = 4 * math.prod(batch) * rows * columns
    if needed > _memory() / 2:
        raise MemoryLimitError(
            f"a Gaussian matrix of {rows}×{columns} needs {needed / 1e9:.1f} GB in float32, and as much again to be "
            f"used, but the machine has {_memory() / 1e9:.1f} GB: take fewer frames or smaller ones"
        )
    matrix = torch.randn(*batch, rows, columns, generator=generator) / math.sqrt(rows)
    return Dense(matrix, in_shape, (rows,))


def _memory() -> float:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not told by every platform
        return 16e9


def _cs(batch: Shape, shape: Shape, generator: torch.Generator) -> LinearOperator:
    return gaussian(max(1, round(0.1 * math.prod(shape))), batch, shape, generator)


def _vcs(batch: Shape, shape: Shape, generator: torch.Generator) -> LinearOperator:
    frames, channels, height, width = shape
    _need_frames("vcs", frames, 2)
    rows = max(1, round(0.1 * height * width))
    G = gaussian(rows, batch, (height, width), generator)
    differences = kron(Difference(0, (frames,)), Identity((channels,)), G)
    return Stack((Select((0,), 0, shape), differences))


def _dd(batch: Shape, shape: Shape, generator: torch.Generator) -> LinearOperator:
    return Convolution(disk(4, 2.0), shape, "full")


def _tdd(batch: Shape, shape: Shape, generator: torch.Generator) -> LinearOperator:
    frames, taps = shape[0], 4
    lag = torch.arange(frames + taps - 1).unsqueeze(1) - torch.arange(frames)
    return AxisMatrix(((lag >= 0) & (lag < taps)).float() / taps, 0, shape)


def _motion(line: Callable[[Tensor], Tensor]) -> Builder:
    def build(batch: Shape, shape: Shape, generator: torch.Generator) -> LinearOperator:
        degrees = 360 * torch.rand(batch, generator=generator, dtype=torch.float64)
        return Convolution(line(degrees).float(), shape, "full")

    return build


def _every(step: int) -> Builder:
    def build(batch: Shape, shape: Shape, generator: torch.Generator) -> LinearOperator:
        _need_frames(f"fi{step}", shape[0], step)
        return Select(tuple(range(0, step * (shape[0] // step), step)), 0, shape)

    return build


def _first(dropped: float) -> Builder:
    return lambda batch, shape, generator: Select(tuple(range(shape[0] - math.floor(dropped * shape[0]))), 0, shape)


def _color(batch: Shape, shape: Shape, generator: torch.Generator) -> LinearOperator:
    if shape[1] == 1:
        return Identity(shape)
    if shape[1] != 3:
        raise ShapeError(f"color needs a video of 3 channels (RGB) or 1, got {shape[1]}")
    return AxisMatrix(torch.tensor([LUMA]), 1, shape)


def _denoise(batch: Shape, shape: Shape, generator: torch.Generator) -> LinearOperator:
    return Identity(shape)


def _need_frames(spec: str, given: int, needed: int) -> None:
    if given < needed:
        raise ShapeError(f"{spec} needs at least {needed} frames, got {given}")


PROBLEMS: dict[str, Problem] = {
    "pid": Problem("pixelwise inpainting and denoising: half of the entries dropped, noise 0.1", _pid, 0.1),
    "bi": Problem("block inpainting: the central square of side 0.4 H is missing in every frame", _bi),
    "si": Problem("scattered inpainting: 10 squares of side 0.2 H are missing in each frame, elsewhere each time", _si),
    "sr2": Problem("super resolution: means over 2×2 boxes", _sr(2)),
    "sr4": Problem("super resolution: means over 4×4 boxes", _sr(4)),
    "cs": Problem("compressive sensing: a Gaussian matrix over the whole clip, 10 % measurements", _cs),
    "vcs": Problem("video compressive sensing: the first frame, and 10 % Gaussian measurements of differences", _vcs),
    "dd": Problem("deblurring: full convolution with a 4×4 disk", _dd),
    "tdd": Problem("temporal deblurring: full convolution over time with 4 equal taps", _tdd),
    "md": Problem("motion deblurring: full convolution with a 7×7 line at a random angle", _motion(motion_line)),
    "md3": Problem(
        "motion deblurring as in the paper's runs: a 3×3 off-centre line at a random angle", _motion(motion_line_3)
    ),
    "fi2": Problem("frame interpolation: every 2nd frame is kept", _every(2)),
    "fi4": Problem("frame interpolation: every 4th frame is kept", _every(4)),
    "fp25": Problem("frame prediction: the last 25 % of the frames are missing", _first(0.25)),
    "fp50": Problem("frame prediction: the last 50 % of the frames are missing", _first(0.5)),
    "fp75": Problem("frame prediction: the last 75 % of the frames are missing", _first(0.75)),
    "color": Problem("colorization: luma 0.299 R + 0.587 G + 0.114 B of every pixel", _color),
    "denoise": Problem("denoising: every entry is measured, noise 0.1", _denoise, 0.1),
}
"""The named problems: Table 1 of Milacski et al. (ICML 2020), and `denoise`."""
