"""Where the unrolled networks begin: the video that a Gaussian smoothness prior finds most likely.

Solved by projected conjugate gradients on the exact data step of `NormalSolver`, so that it costs a few data steps for
any operator and any frame size. It contains the classical baselines as limits: interpolation that is linear in time for
missing frames, the last frame held for frames that are to be predicted, gray for missing colours, smooth enlargement.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video import InverseProblem, NormalSolver
from linops_video.batch import BatchNormal
from linops_video.solvers.priors.variation import TotalVariation

NOISE_FLOOR = 1e-3
"""Standard deviation of the measurement in the noise-free case: keeps the augmented system well scaled in float32."""


STEPS = 8
"""Conjugate-gradient steps: within 0.1 dB of convergence on missing frames; with 6, 0.3 dB less on fi2."""


@dataclass(frozen=True)
class Smoothness:
    """Precision (inverse variance) of the differences that the Gaussian prior expects to be small.

    The prior is ½ zᵀLz with L diagonal in the DCT-II over (T, C, H, W), and there
    L = (time·λ_T + space·(λ_H + λ_W) + mean)·(1 + chroma·[c > 0]) + gray·[c > 0], λ_n = 2 − 2 cos(πk/n).

    Attributes:
        time: of differences between frames.
        space: of differences between neighbouring pixels.
        mean: of the mean over the video, small.
        chroma: how many times as precise the two colour-difference components are.
        gray: of the colour differences themselves.
        shift: added to L (times 1 + chroma) in the preconditioner: chosen for fast convergence on masks.
    """

    time: float
    space: float
    mean: float
    chroma: float
    gray: float
    shift: float

    def eigenvalues(self, shape: tuple[int, ...], like: Tensor, shift: float = 0.0) -> Tensor:
        """The diagonal of L + shift in the DCT basis, broadcastable to `shape` = (T, C, H, W)."""
        frames, channels, height, width = shape

        def second_difference(n: int, axis: int) -> Tensor:
            angle = torch.arange(n, device=like.device, dtype=like.dtype) * (math.pi / n)
            return (2 - 2 * torch.cos(angle)).reshape([n if i == axis else 1 for i in range(4)])

        is_chroma = (torch.arange(channels, device=like.device) > 0).to(like).reshape(1, channels, 1, 1)
        luma = (
            self.time * second_difference(frames, 0)
            + self.space * (second_difference(height, 2) + second_difference(width, 3))
            + self.mean
            + shift
        )
        return luma * (1 + self.chroma * is_chroma) + self.gray * is_chroma


STILL = Smoothness(time=300.0, space=1.0, mean=1e-4, chroma=100.0, gray=300.0, shift=10.0)
"""Nearly still and nearly gray: the limit in which missing frames are interpolated and missing colours gray."""

MOVING = Smoothness(time=1000.0, space=30.0, mean=1e-3, chroma=3.0, gray=100.0, shift=30.0)
"""Ratios nearer to those of real video, where space and time are interpolated together."""


FROZEN = Smoothness(time=1e4, space=10.0, mean=1e-3, chroma=3.0, gray=0.0, shift=30.0)
"""Almost no motion: averages the noise of still places over time."""


TV_STEPS = 12
"""Steps of ADMM with total variation: most of what 60 give, measured on masks, blurs and random projections."""

TV_TIME_WEIGHT = 6.0
"""Of differences in time: between what suits noise (4) and missing entries (8)."""

TV_THRESHOLD = 0.02
"""Differences that one step takes for noise, in gray values of [0, 1]: decides how fast, not where, ADMM converges."""


@torch.no_grad()
def total_variation_start(problem: InverseProblem, normal: NormalSolver, z: Tensor) -> Tensor:
    """A few over-relaxed steps of ADMM for min_z ½‖y − A z‖² + λ TV(z), from z.

    λ = 0.8 σ^1.5, near what tuning found for masks, blurs and noise alone at σ from 1e-3 to 0.1 (`defaults.py`).
    ρ = λ / `TV_THRESHOLD`, and x is over-relaxed by 1.7 (Boyd et al., 2011, section 3.4.3).

    Args:
        z: the video to begin with, shape (*batch, T, C, H, W).
    """
    noise_std = torch.as_tensor(problem.noise_std, device=z.device, dtype=z.dtype).clamp(min=NOISE_FLOOR)
    rho = 0.8 * noise_std**1.5 / TV_THRESHOLD
    prior, memory, u = TotalVariation(1.0, TV_TIME_WEIGHT), (), torch.zeros_like(z)
    data = normal.data_step(rho, problem.y)
    for _ in range(TV_STEPS):
        x, memory = prior(z - u, TV_THRESHOLD, memory)
        v = 1.7 * x - 0.7 * z + u
        z = data(v)
        u = v - z
    return z


class CosineTransform:
    """Orthonormal DCT-II over the last four axes (T, C, H, W) by matrix products; `inverse` is its transpose.

    The matrices are made once for all steps: `Cosine`, which makes them at each call, takes 1.1 to 1.5 times as long.
    """

    def __init__(self, shape: tuple[int, ...], like: Tensor) -> None:
        self.frames, self.channels, self.height, self.width = (_dct_matrix(n).to(like) for n in shape)

    def __call__(self, x: Tensor) -> Tensor:
        return self._product(x, self.frames, self.channels, self.height, self.width)

    def inverse(self, x: Tensor) -> Tensor:
        return self._product(x, self.frames.T, self.channels.T, self.height.T, self.width.T)

    @staticmethod
    def _product(x: Tensor, frames: Tensor, channels: Tensor, height: Tensor, width: Tensor) -> Tensor:
        shape = x.shape
        x = height @ (x @ width.T)
        x = channels @ x.flatten(-2)
        return (frames @ x.flatten(-2)).reshape(shape)


def _dct_matrix(n: int) -> Tensor:
    k = torch.arange(n, dtype=torch.float64)
    matrix = torch.cos(math.pi * k[:, None] * (k + 0.5) / n) * math.sqrt(2 / n)
    matrix[0] /= math.sqrt(2)
    return matrix


@torch.no_grad()
def smooth_start(problem: InverseProblem, normal: NormalSolver, priors: tuple[Smoothness, ...]) -> Tensor:
    """argmin_z ‖y − A z‖²/σ² + zᵀLz, approximately, for each prior: shape (len(priors), *batch, T, C, H, W).

    One prior after the other: as fast as all at once, and in a third of the memory.
    """
    if isinstance(normal, BatchNormal):  # one operator a sample
        pairs = zip(problem.samples(), normal.solvers, strict=True)
        return torch.stack([smooth_start(sample, solver, priors) for sample, solver in pairs], 1)
    transform = CosineTransform(problem.operator.in_shape, problem.y)
    return torch.stack([_most_likely(problem, normal, transform, prior) for prior in priors])


def _most_likely(
    problem: InverseProblem, normal: NormalSolver, transform: CosineTransform, prior: Smoothness
) -> Tensor:
    """argmin_z ‖y − A z‖²/σ² + zᵀLz, approximately, shape (*batch, T, C, H, W).

    With e = (y − A z)/σ it is the least-norm problem min zᵀLz + ‖e‖² subject to A z + σ e = y. Conjugate gradients run
    in the null space of [A σI] (Gould, Hribar, Nocedal 2001); the projection onto it, (a, b) ↦ (a', −A a'/σ) with
    a' = a − Aᵀ(AAᵀ + σ²I)⁻¹(A a + σ b), is one exact data step, and the preconditioner is (L + shift)⁻¹ between two
    projections. One step size per sample.
    """
    A, y = problem.operator, problem.y
    shape = A.in_shape
    sigma = torch.as_tensor(problem.noise_std, device=y.device, dtype=y.dtype).clamp(min=NOISE_FLOOR)
    per_y = sigma.reshape(sigma.shape + (1,) * len(A.out_shape))
    weights, shifted = prior.eigenvalues(shape, y), prior.eigenvalues(shape, y, prior.shift)

    def project(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        a = normal.prox(sigma**2, a, -per_y * b)
        return a, -A(a) / per_y

    def precondition(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        a, b = project(a, b)
        return project(transform.inverse(transform(a) / shifted), b)

    def prior_gradient(z: Tensor) -> Tensor:
        return transform.inverse(weights * transform(z))

    z = torch.zeros(*problem.batch_shape, *shape, device=y.device, dtype=y.dtype)
    for mu in (1e-3, 1e-2, 1e-1, 1.0, 10.0):  # coarse to fine, for a start with the right means
        z = normal.prox(mu * sigma**2, transform.inverse(transform(z) / (1 + weights / mu)), y)
    e = (y - A(z)) / per_y
    r_z, r_e = -prior_gradient(z), -e
    g_z, g_e = precondition(r_z, r_e)
    p_z, p_e = g_z, g_e
    energy = _dot(r_z, g_z, 4) + _dot(r_e, g_e, len(A.out_shape))
    floor = torch.finfo(y.dtype).eps ** 1.5 * energy  # below it, a step would divide rounding by rounding
    for _ in range(STEPS):
        q_z = prior_gradient(p_z)
        curvature = _dot(p_z, q_z, 4) + _dot(p_e, p_e, len(A.out_shape))
        length = torch.where(energy > floor, energy / curvature, 0)
        z = z + _per(length, 4) * p_z
        r_z = r_z - _per(length, 4) * q_z
        r_e = r_e - _per(length, len(A.out_shape)) * p_e
        g_z, g_e = precondition(r_z, r_e)
        before, energy = energy, _dot(r_z, g_z, 4) + _dot(r_e, g_e, len(A.out_shape))
        ratio = torch.where(before > floor, energy / before, 0)
        p_z = g_z + _per(ratio, 4) * p_z
        p_e = g_e + _per(ratio, len(A.out_shape)) * p_e
    return z


def _dot(a: Tensor, b: Tensor, event: int) -> Tensor:
    return (a * b).flatten(-event).sum(-1)


def _per(number: Tensor, event: int) -> Tensor:
    return number.reshape(number.shape + (1,) * event)
