"""Blur kernels, normalised to sum 1."""

from __future__ import annotations

import torch
from torch import Tensor

from linops_video.errors import SpecError


def disk(size: int, radius: float) -> Tensor:
    """A size×size kernel of equal weights on the pixels whose centres are nearer than `radius` to the middle.

    Raises `SpecError` if there is no such pixel.

    Example:
        >>> int((disk(4, 2.0) > 0).sum())
        12
    """
    offset = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    inside = (offset**2 + offset.unsqueeze(1) ** 2 < radius * radius).double()  # infinite, where a power would raise
    if not radius > 0 or not inside.any():
        raise SpecError(f"a disk of radius {radius:g} has no pixel of a {size}×{size} kernel: take a larger radius")
    return (inside / inside.sum()).float()


def box(size: int) -> Tensor:
    """A size×size kernel of equal weights.

    Example:
        >>> box(3).shape
        torch.Size([3, 3])
    """
    return torch.full((size, size), 1 / size**2)


def gaussian(size: int, sigma: float) -> Tensor:
    """A Gaussian of standard deviation σ = `sigma` pixels, sampled at the pixel centres of a size×size kernel.

    An odd size of 6σ + 1 or more holds all but 0.3 % of it along each axis. Raises `SpecError` unless σ > 0.

    Example:
        >>> round(float(gaussian(7, 1.0).sum()), 6)
        1.0
    """
    return anisotropic_gaussian(size, (sigma, sigma), 0.0)


def anisotropic_gaussian(size: int, sigmas: tuple[float, float], degrees: float) -> Tensor:
    """A Gaussian whose long and short axes have standard deviations of their own, turned about the middle.

    Args:
        size: the kernel is size×size.
        sigmas: standard deviations in pixels, σ₁ along the direction that `degrees` gives and σ₂ across it.
        degrees: the angle of that direction against the rows, counted as in `motion_line`.

    Raises:
        SpecError: unless both standard deviations are positive, and large enough to reach a pixel of an even size.

    Example:
        >>> k = anisotropic_gaussian(9, (3.0, 0.5), 0.0)
        >>> bool(k[4, 7] > k[7, 4])
        True
    """
    if min(sigmas) <= 0:
        raise SpecError(f"a Gaussian needs positive standard deviations, got {sigmas}")
    rows, columns, cos, sin = _grid(degrees, size)
    along, across = rows * sin + columns * cos, rows * cos - columns * sin
    kernel = torch.exp(-0.5 * ((along / sigmas[0]) ** 2 + (across / sigmas[1]) ** 2))
    if not kernel.sum() > 0:
        raise SpecError(f"a Gaussian of {sigmas} pixels reaches none of a {size}×{size} kernel: take an odd size")
    return (kernel / kernel.sum()).float()


def motion_line(degrees: float | Tensor, size: int = 7) -> Tensor:
    """Lines through the middle of size×size kernels at the given angles, anti-aliased.

    The weight of a pixel falls linearly with its distance from the line, and past the line's ends, to 0 at one pixel.

    Args:
        degrees: a number, or angles of shape (*batch,), against the rows.

    Returns:
        Kernels, shape (*batch, size, size), each of sum 1.

    Example:
        >>> motion_line(0.0, 3)
        tensor([[0.0000, 0.0000, 0.0000],
                [0.3333, 0.3333, 0.3333],
                [0.0000, 0.0000, 0.0000]], dtype=torch.float64)
    """
    rows, columns, cos, sin = _grid(degrees, size)
    across = (rows * cos - columns * sin).abs()
    along = (rows * sin + columns * cos).abs()
    kernel = (1 - across).clamp(0, 1) * (size // 2 + 1 - along).clamp(0, 1)
    return kernel / kernel.sum((-2, -1), keepdim=True)


def motion_line_3(degrees: float | Tensor) -> Tensor:
    """The last row of a 3×3 kernel, turned about the middle by nearest-neighbour rotation (the paper's experiments).

    Args:
        degrees: a number, or angles of shape (*batch,).

    Returns:
        Kernels, shape (*batch, 3, 3), each of sum 1.
    """
    rows, columns, cos, sin = _grid(degrees, 3)
    source_row = torch.round(rows * cos - columns * sin)
    source_column = torch.round(rows * sin + columns * cos)
    kernel = ((source_row == 1) & (source_column.abs() <= 1)).double()
    return kernel / kernel.sum((-2, -1), keepdim=True)


def _grid(degrees: float | Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Row and column offsets from the middle, and cosine and sine of the angles, ready to broadcast."""
    angle = torch.deg2rad(torch.as_tensor(degrees, dtype=torch.float64))[..., None, None]
    offset = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    return offset.unsqueeze(1), offset, torch.cos(angle), torch.sin(angle)
