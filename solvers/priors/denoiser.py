"""Denoisers as priors: plug-and-play, and regularisation by denoising."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from linops_video.errors import ShapeError
from linops_video.solvers.priors.prior import VIDEO_AXES, Memory, Prior, Step, check_video, check_weight, each

Denoise = Callable[[Tensor, "float | Tensor"], Tensor]
"""(noisy, σ) -> clean, shape kept: a function or an nn.Module; σ is a number, or one per sample of what it is given."""


@dataclass(frozen=True)
class PlugAndPlay(Prior):
    """A denoiser in the place of a proximal operator: prox_{step·R}(v) = denoiser(v, √(step · weight)).

    That is what the proximal operator is of a prior −weight · log p(x): the most probable x given v with noise of that
    σ. Source: Venkatakrishnan et al., IEEE GlobalSIP, 2013.

    Args:
        denoiser: called as `denoiser(x, sigma)`; those of deepinv fit.
        weight: λ ≥ 0; in ADMM the denoiser is told σ = √(weight/ρ).
        frames: whether the denoiser takes images (N, C, H, W), all frames at once, or videos (*batch, T, C, H, W).

    Example:
        >>> import torch
        >>> prior = PlugAndPlay(lambda x, sigma: x.clamp(0, 1), 0.01)
        >>> prior(torch.rand(4, 3, 8, 8), 1.0)[0].shape
        torch.Size([4, 3, 8, 8])
    """

    denoiser: Denoise
    weight: float = 1e-3
    frames: bool = True

    def __post_init__(self) -> None:
        check_weight("weight", self.weight)

    def __call__(self, v: Tensor, step: Step, memory: Memory = (), relaxation: float = 1.0) -> tuple[Tensor, Memory]:
        return _denoised(self.denoiser, v, (step * self.weight) ** 0.5, self.frames), memory


@dataclass(frozen=True)
class Red(Prior):
    """R(x) = weight/2 · xᵀ(x − D(x)), whose gradient is weight · (x − D(x)) for a homogeneous denoiser D.

    Each call is one fixed-point step of x − v + step · weight · (x − D(x)) = 0, from the last call's x:
    x ← (v + step · weight · D(x)) / (1 + step · weight). Source: Romano, Elad and Milanfar, SIAM Journal on Imaging
    Sciences 10(4), 2017.

    Args:
        denoiser: called as `denoiser(x, sigma)`.
        weight: λ ≥ 0.
        noise_std: the σ that D is told.
        frames: as for `PlugAndPlay`.

    Example:
        >>> import torch
        >>> x, memory = Red(lambda x, sigma: torch.zeros_like(x), 1.0)(torch.ones(2, 1, 4, 4), 1.0)
        >>> x.mean().item()
        0.5
    """

    denoiser: Denoise
    weight: float = 0.1
    noise_std: float = 0.05
    frames: bool = True
    parts: ClassVar[int | None] = 1

    def __post_init__(self) -> None:
        check_weight("weight", self.weight)

    def __call__(self, v: Tensor, step: Step, memory: Memory = (), relaxation: float = 1.0) -> tuple[Tensor, Memory]:
        (x,) = memory or (v,)
        t = each(step) * self.weight
        x = (v + t * _denoised(self.denoiser, x, self.noise_std, self.frames)) / (1 + t)
        return x, (x,)


def _denoised(denoiser: Denoise, v: Tensor, sigma: float | Tensor, frames: bool) -> Tensor:
    check_video(v)
    if not frames:
        x = denoiser(v, sigma)
    else:
        images = v.flatten(0, -VIDEO_AXES)
        if isinstance(sigma, Tensor) and sigma.ndim:
            sigma = sigma.reshape(sigma.shape + (1,)).expand(v.shape[:-3]).flatten()
        x = denoiser(images, sigma)
        x = x.reshape(v.shape) if x.shape == images.shape else x
    if x.shape != v.shape:
        raise ShapeError(f"the denoiser was given {tuple(v.shape)} and returned {tuple(x.shape)}: it must keep shapes")
    return x
