"""Measured data as an inverse problem: the shape of the video behind them, and their noise."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from linops_video.algebra.operator import LinearOperator
from linops_video.algebra.parameters import Shape
from linops_video.errors import MeasurementError, ShapeError, SpecError
from linops_video.expressions.expression import frame_stride, shape_behind
from linops_video.expressions.names import PROBLEMS
from linops_video.media.arrays import LARGEST_VALUE, Measurement, read_mask
from linops_video.operators.convolution import Convolution
from linops_video.operators.diagonal import Diagonal
from linops_video.operators.kernels import disk
from linops_video.problems.forward_model import BLUR, ForwardModel, InverseProblem, forward_model, problem_named
from linops_video.problems.noise import estimate_noise, reached

MASKED = ("pid", "bi", "si")
"""Problems whose mask may come from a file."""


def noise_of(y: Tensor, noise_floor: float, operator: LinearOperator, noise_std: float | None) -> float:
    """The σ to solve with: as given or, for 8-bit sources, estimated from y; never below the source's own floor.

    Arrays of floats (floor 0) for which none is given count as free of noise.
    """
    if noise_std is not None or noise_floor == 0:
        return max(noise_std or 0.0, noise_floor)
    return max(estimate_noise(y, reached(operator, y)), noise_floor)


def infer_shape(spec: str, y_shape: Shape, kernel: Tensor | None = None) -> Shape:
    """Shape `(T, C, H, W)` of the video behind a measurement of shape `y_shape`; the smallest where several fit.

    Raises `SpecError` for problems and expressions whose y does not tell (cs, vcs), `ShapeError` where no video fits.

    Example:
        >>> infer_shape("sr4", (8, 3, 36, 44))
        (8, 3, 144, 176)
        >>> infer_shape("sr(2) @ blur(disk, 4, 2, valid)", (8, 3, 36, 44))
        (8, 3, 75, 91)
    """
    if spec == BLUR:
        rows, columns = _blur_kernel(kernel).shape
        if len(y_shape) != 4:
            raise ShapeError(f"a measurement for {spec} has the shape (T, C, H, W), not {y_shape}")
        frames, channels, height, width = y_shape
        return frames, channels, height + rows - 1, width + columns - 1
    shape = shape_behind(spec, y_shape)
    if shape is None:
        raise SpecError(f"a measurement for {spec} does not tell the shape of the video: give it (--shape 8,3,64,64)")
    if len(shape) != 4:
        raise ShapeError(f"a measurement for {spec} has the shape (T, C, H, W), not {y_shape}")
    return shape


def model_of(
    spec: str, shape: Shape, seed: int = 0, mask: str | Path | None = None, kernel: Tensor | None = None
) -> ForwardModel:
    """The forward model of a problem or expression, with one's own mask file (pid, bi, si) or blur kernel (blur).

    "blur" is the 'valid' convolution with the kernel, by default the 4×4 disk of dd. Raises what `forward_model` and
    `read_mask` raise, and `SpecError` for a mask or kernel that the problem has no use for.
    """
    check_inputs(spec, mask, kernel)
    if spec == BLUR:
        return ForwardModel(Convolution(_blur_kernel(kernel), shape, "valid"), name=BLUR)
    if mask is not None:
        return ForwardModel(Diagonal(read_mask(mask, shape), shape), PROBLEMS[spec].noise_std, spec)
    return forward_model(spec, shape, seed)


def _blur_kernel(kernel: Tensor | None) -> Tensor:
    """One's own, or the disk of dd."""
    return disk(4, 2.0) if kernel is None else kernel


def check_inputs(spec: str, mask: str | Path | None, kernel: Tensor | None) -> None:
    """Raise `SpecError` for a mask or kernel that the problem has no use for."""
    if mask is not None and spec not in MASKED:
        raise SpecError(f"a mask goes with {', '.join(MASKED)}, not with {spec}: in expressions write mask(FILE)")
    if kernel is not None and spec != BLUR:
        raise SpecError(f"a kernel goes with {BLUR}, not with {spec}: in expressions write blur(FILE, valid)")


def frame_rate_of(spec: str, fps: float) -> float:
    """Frames per second of the video behind a measurement with `fps`: more where frames are to be put between them.

    As many times more as `frame_stride` says, whose errors it raises.

    Example:
        >>> frame_rate_of("fi2", 25.0), frame_rate_of("shutter(3, 2) @ sr(2)", 25.0), frame_rate_of("sr4", 25.0)
        (50.0, 50.0, 25.0)
    """
    return fps if spec == BLUR else fps * frame_stride(spec)


def inverse_problem(
    measurement: Measurement,
    spec: str,
    shape: Shape | None = None,
    noise_std: float | None = None,
    seed: int = 0,
    mask: str | Path | None = None,
    kernel: Tensor | None = None,
) -> InverseProblem:
    """Measured data as an inverse problem: the model that fits their shape, and their noise (`noise_of`).

    Entries of y that the operator does not measure, behind a mask, are set to zero.

    A gray measurement that was stored as RGB, as most video formats do, is taken as gray by "color".

    Raises `ShapeError` where the measurement does not fit the problem, what `check_range` raises, and what `model_of`
    and `infer_shape` raise.
    """
    y = measurement.y
    if spec == "color" and y.ndim == 4:
        y = gray_of(y)
    shape = shape or infer_shape(spec, tuple(y.shape), kernel)
    operator = model_of(spec, shape, seed, mask, kernel).operator
    if tuple(y.shape) != operator.out_shape:
        raise ShapeError(
            f"{spec} measures a video {shape} as {operator.out_shape}, but this measurement is {tuple(y.shape)}"
        )
    y = y * reached(operator, y)  # what a file holds at lost entries means nothing
    std = noise_of(y, measurement.noise_floor, operator, noise_std)
    problem = InverseProblem(operator, y, std, problem_named(spec))
    check_range(problem)
    return problem


def check_range(problem: InverseProblem) -> None:
    """Raise `MeasurementError` if no video with values up to `LARGEST_VALUE` is measured like this.

    ‖A x‖² = ⟨Aᴴ A x, x⟩ ≤ Σ|Aᴴ A x| · max|x|, and white noise adds mσ² to the left side for m entries.
    """
    A, y = problem.operator, problem.y
    energy = float(y.abs().square().sum()) - 2 * y.numel() * float(problem.noise_std) ** 2
    if energy > LARGEST_VALUE * float(A.H(y).abs().sum()):
        raise MeasurementError(
            f"no video with values in [0, 1] is measured as these values from {y.real.min():g} to {y.real.max():g}: "
            "divide 8-bit values by 255"
        )


def gray_of(y: Tensor) -> Tensor:
    """Frames (…, 1, H, W) of gray ones that were stored as RGB; a `ShapeError` for frames that have colours."""
    if y.shape[-3] != 3:
        return y
    gray = y.mean(dim=-3, keepdim=True)
    if (y - gray).abs().max() > 0.1:
        raise ShapeError("a measurement for color is gray, but this one has colours: --simulate removes them")
    return gray
