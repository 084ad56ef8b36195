"""Measurements: operator and noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from linops_video.algebra.operator import LinearOperator
from linops_video.algebra.parameters import Shape, fit, moved, per_sample, sample_of, show
from linops_video.batch import Batch, Ragged, batch
from linops_video.errors import ShapeError
from linops_video.expressions.expression import parse
from linops_video.expressions.names import PROBLEMS, stream
from linops_video.inverses.normal import NormalSolver

BLUR = "blur"
"""Name of the deblurring of real clips: 'valid' convolution, which assumes nothing beyond the border of the frame."""


@dataclass(frozen=True, eq=False)
class InverseProblem:
    """y = A x + noise: find x.

    Attributes:
        operator: A.
        y: the measurement, shape (*batch, *A.out_shape); for a `batch` of operators a tuple, one measurement a sample.
        noise_std: standard deviation of the white Gaussian noise on every entry of y: a number, or one per sample.
        name: the name in `PROBLEMS`, by which solvers find their tuned defaults; None for any other problem.
        prepared: the `NormalSolver` of this operator where it is held; see `prepare`.
        names: those of the samples that `collate` has put together; (): all have `name`.

    Example:
        >>> import torch
        >>> A = parse("sr(2)", (4, 3, 8, 8))
        >>> InverseProblem(A, A(torch.rand(4, 3, 8, 8)), noise_std=0.01)
        InverseProblem(operator=BoxMean((4×3×8×8) → (4×3×4×4)), noise_std=0.01, name=None)
    """

    operator: LinearOperator
    y: Any = field(repr=False)  # Tensor | tuple[Tensor, ...]: solvers take either without asking which
    noise_std: float | Tensor = 0.0
    name: str | None = None
    prepared: NormalSolver | None = field(default=None, repr=False)
    names: tuple[str | None, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.operator, Batch):
            object.__setattr__(self, "y", self.operator.measurements(self.y))
        if self.prepared is not None and self.prepared.operator is not self.operator:
            object.__setattr__(self, "prepared", None)  # `replace` with another operator

    @property
    def normal(self) -> NormalSolver:
        """(AᴴA + ρI)⁻¹: what `prepare` holds, else set up anew."""
        return self.prepared or NormalSolver.of(self.operator)

    def prepare(self) -> InverseProblem:
        """The same problem with its `normal` set up once, for several solvers: minutes for a large random matrix.

        Example:
            >>> import torch
            >>> problem = forward_model("cs", (2, 1, 8, 8)).measure(torch.rand(2, 1, 8, 8)).prepare()
            >>> problem.normal is problem.normal
            True
        """
        return replace(self, prepared=self.normal)

    @property
    def batch_shape(self) -> Shape:
        """The batch axes of the measurement and of the operator's parameters."""
        if isinstance(self.operator, Batch):
            sample = InverseProblem(self.operator.operators[0], self.y[0])
            return (*sample.batch_shape, *self.operator.batch_shape)
        own = self.y.shape[: self.y.ndim - len(self.operator.out_shape)]
        if not fit(own, self.operator.batch_shape):
            raise ShapeError(
                f"{self.operator!r} has parameters for a batch of shape {show(self.operator.batch_shape)}, got "
                f"measurements for {show(own)}: axes must be equal or 1"
            )
        return np.broadcast_shapes(own, self.operator.batch_shape)  # that of torch imports sympy: half a second

    def broadcast(self) -> InverseProblem:
        """The same with a measurement for each sample, where one is shared by operators with batch axes."""
        if isinstance(self.operator, Batch):
            return self
        shape = (*self.batch_shape, *self.operator.out_shape)
        return self if tuple(self.y.shape) == shape else replace(self, y=self.y.expand(shape))

    def samples(self) -> tuple[InverseProblem, ...]:
        """The problems of the samples where the operator is a `batch`, else the problem itself alone."""
        if not isinstance(self.operator, Batch):
            return (self,)
        parts = enumerate(zip(self.operator.operators, self.y, strict=True))
        std, n = self.noise_std, len(self.y)
        names = self.names or (self.name,) * n
        return tuple(InverseProblem(A, y, sample_of(std, i, n), names[i]) for i, (A, y) in parts)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> InverseProblem:
        """The same problem on another device or in another precision."""
        std = self.noise_std.to(device, dtype) if isinstance(self.noise_std, Tensor) else self.noise_std
        y = self.y.to(device, dtype) if isinstance(self.y, Ragged) else moved(self.y, device, dtype)
        return InverseProblem(self.operator.to(device, dtype), y, std, self.name, names=self.names)


def collate(problems: Sequence[InverseProblem]) -> InverseProblem:
    """One problem of which these are the samples, each with its own operator, measurement and noise.

    Raises `ShapeError` if there are none, or their videos differ in shape.

    Example:
        >>> import torch
        >>> video = torch.rand(4, 3, 16, 16)
        >>> problem = collate([forward_model(name, (4, 3, 16, 16)).measure(video) for name in ("sr2", "pid")])
        >>> problem.batch_shape, problem.noise_std
        ((2,), tensor([0.0000, 0.1000]))
    """
    operator = batch([problem.operator for problem in problems])
    y = Ragged(problem.y for problem in problems)
    like = {"device": y.device, "dtype": y.dtype.to_real()}
    noise = [torch.as_tensor(problem.noise_std, **like) for problem in problems]
    names = tuple(problem.name for problem in problems)
    std = torch.stack(torch.broadcast_tensors(*noise), -1)
    return InverseProblem(operator, y, std, names[0] if len(set(names)) == 1 else None, names=names)


@dataclass(frozen=True, eq=False)
class ForwardModel:
    """What a camera does: x ↦ A x + noise of standard deviation `noise_std`; `name` is that of a named problem.

    `noise_std` is a number, or one per sample: a tensor of shape (*batch,).

    Example:
        >>> import torch
        >>> model = forward_model("sr4", (8, 3, 64, 64))
        >>> model.measure(torch.rand(8, 3, 64, 64)).y.shape
        torch.Size([8, 3, 16, 16])
    """

    operator: LinearOperator
    noise_std: float | Tensor = 0.0
    name: str | None = None

    def measure(self, video: Tensor, seed: int = 0) -> InverseProblem:
        """Measure a video (*batch, T, C, H, W): the same noise for the same seed, on any device; y is its own copy.

        Raises `ShapeError` if there is no number in `noise_std` for each sample, `SpecError` for a negative seed.
        """
        y = self.operator(video)
        if bool(torch.as_tensor(self.noise_std).any()):
            y = y + _noise(y, self.noise_std, self.operator, stream(seed, 1))
        y = Ragged(_apart(part, video) for part in y) if isinstance(y, Ragged) else _apart(y, video)
        return InverseProblem(self.operator, y, self.noise_std, self.name)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> ForwardModel:
        """The same model on another device or in another precision."""
        return replace(self, operator=self.operator.to(device, dtype))


def _apart(y: Tensor, video: Tensor) -> Tensor:
    """y, or a copy of it where it lies in the memory of the video, as where the operator is the identity."""
    shared = y.untyped_storage().data_ptr() == video.untyped_storage().data_ptr()
    return y.clone() if shared else y


def _noise(y: Any, std: float | Tensor, A: LinearOperator, generator: torch.Generator) -> Any:
    if isinstance(A, Batch):
        parts = enumerate(zip(A.operators, y, strict=True))
        return Ragged(_noise(part, sample_of(std, i, len(y)), B, generator) for i, (B, part) in parts)
    shape = y.shape
    if isinstance(std, Tensor):
        batch = shape[: y.ndim - len(A.out_shape)]
        try:
            shape = (*torch.broadcast_shapes(batch, std.shape), *A.out_shape)
        except RuntimeError:
            message = f"noise_std needs a number for each sample of a batch {show(batch)}, got {show(std.shape)}"
            raise ShapeError(message) from None
        std = per_sample(std.to(y.device, y.dtype.to_real()), len(A.out_shape))
    dtype = torch.complex64 if y.is_complex() else torch.float32  # complex noise: σ² = E|n|², half of it in each part
    return std * torch.randn(shape, generator=generator, dtype=dtype).to(y)


def forward_model(spec: str, shape: tuple[int, ...], seed: int = 0) -> ForwardModel:
    """The forward model of a named problem, or of any expression, for videos of one shape.

    Args:
        spec: a name in `PROBLEMS`, or an expression as `parse` reads it, without noise. The expression of a problem,
            sr(4) for sr4, gets its name too, and so the solvers' defaults for it.
        shape: (T, C, H, W), or (*batch, T, C, H, W) for a new random mask, matrix or angle per sample.
        seed: the same seed gives the same operator on any device.

    Raises:
        SpecError: if the name is unknown (the near ones are listed), or the expression cannot be read.
        ShapeError: if the problem cannot be posed for the shape.
        MemoryLimitError: if a dense matrix would not fit in memory.

    Example:
        >>> forward_model("fi2", (9, 1, 14, 14)).operator.out_shape
        (4, 1, 14, 14)
        >>> forward_model("sr(2) @ blur(disk, 4, 2, circular)", (9, 1, 14, 14)).operator.out_shape
        (9, 1, 7, 7)
    """
    if len(shape) < 4 or min(shape) < 1:
        raise ShapeError(f"{spec} needs a video shape (T, C, H, W) with positive sizes, got {tuple(shape)}")
    operator = parse(spec, tuple(shape[-4:]), seed, tuple(shape[:-4]))
    if spec in PROBLEMS:
        return ForwardModel(operator, PROBLEMS[spec].noise_std, spec)
    return ForwardModel(operator, name=problem_named(spec))


def problem_named(spec: str) -> str | None:
    """The name of the problem whose expression `spec` is, `BLUR` for itself; None for other expressions."""
    plain = "".join(spec.split())
    if plain == BLUR:
        return BLUR
    return next((name for name, problem in PROBLEMS.items() if plain in (name, "".join(problem.text.split()))), None)
