"""Where the unrolled networks begin: the video that a Gaussian smoothness prior finds most likely.

Solved by projected conjugate gradients on the exact data step of `NormalSolver`, so that it costs a few data steps for
any operator and any frame size. It contains the classical baselines as limits: interpolation that is linear in time for
missing frames, the last frame held for frames that are to be predicted, gray for missing colours, smooth enlargement.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video import Cosine, InverseProblem, NormalSolver
from linops_video.algebra.parameters import per_sample
from linops_video.batch import BatchNormal
from linops_video.solvers.priors.prior import each
from linops_video.solvers.priors.variation import SquaredDifferences, TotalVariation, second_difference

NOISE_FLOOR = 1e-3
"""Standard deviation of the measurement in the noise-free case: keeps the augmented system well scaled in float32."""

STEPS = 8
"""Conjugate-gradient steps: within 0.1 dB of convergence on missing frames; with 6, 0.3 dB less on fi2."""


@dataclass(frozen=True)
class Smoothness:
    """Precision (inverse variance) of the differences that the Gaussian prior expects to be small.

    The prior is ½ zᵀLz, with K the chroma, which is what is left of a pixel without the mean of its channels, and DᵢᵀDᵢ
    the second difference along an axis, with free ends:

        L = (time·D_TᵀD_T + space·(D_HᵀD_H + D_WᵀD_W) + mean)(I + chroma·K) + gray·K.

    Differences are taken directly; L is inverted in the DCT-II over (T, H, W), where it is a division for each of the
    mean and the chroma.

    Attributes:
        time: of differences between frames.
        space: of differences between neighbouring pixels.
        mean: of the mean over the video, small.
        chroma: how many times as precise the chroma is.
        gray: of the chroma itself.
        shift: added to L (times 1 + chroma) in the preconditioner: chosen for fast convergence on masks.
    """

    time: float
    space: float
    mean: float
    chroma: float
    gray: float
    shift: float

    def __call__(self, z: Tensor) -> Tensor:
        """L z, shape (*batch, T, C, H, W)."""
        differences = SquaredDifferences(self.space, math.sqrt(self.time / self.space))
        chroma = z - z.mean(-3, keepdim=True)
        weighted = z + self.chroma * chroma
        product = self.space * differences.synthesise(differences.analyse(weighted))
        return product.add_(weighted, alpha=self.mean).add_(chroma, alpha=self.gray)

    def inverse(self, shape: tuple[int, ...], like: Tensor) -> Callable[[Tensor, float, float], Tensor]:
        """(b, luma, chroma) ↦ (L + luma·(I − K) + chroma·K)⁻¹ b for videos of `shape` = (T, C, H, W)."""
        t, h, w = (second_difference(shape[axis]) for axis in (0, 2, 3))
        slow = (self.time * t.reshape(-1, 1, 1, 1) + self.space * (h.unsqueeze(-1) + w) + self.mean).to(like)
        transform = Cosine((0, 2, 3), shape)

        def apply(b: Tensor, luma: float, chroma: float) -> Tensor:
            b = transform(b)
            mean = b.mean(-3, keepdim=True)
            b = b.sub_(mean).div_(slow * (1 + self.chroma) + (self.gray + chroma))
            return transform.H(b.add_(mean.div_(slow + luma)))

        return apply


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


def total_variation_start(problem: InverseProblem, normal: NormalSolver, z: Tensor) -> Tensor:
    """A few over-relaxed steps of ADMM for min_z ½‖y − A z‖² + λ TV(z), from z.

    λ = 0.8 σ^1.5, near what tuning found for masks, blurs and noise alone at σ from 1e-3 to 0.1 (`defaults.py`).
    ρ = λ / `TV_THRESHOLD`, and x is over-relaxed by 1.7 (Boyd et al., 2011, section 3.4.3). Not `AdmmTV`: λ is another
    one for each sample, derivatives flow through the steps in training, and the numbers are those of the trained files.

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


def smooth_start(problem: InverseProblem, normal: NormalSolver, priors: tuple[Smoothness, ...]) -> Tensor:
    """argmin_z ‖y − A z‖²/σ² + zᵀLz, approximately, for each prior: shape (len(priors), *batch, T, C, H, W).

    One prior after the other: as fast as all at once, and in a third of the memory.
    """
    if isinstance(normal, BatchNormal):  # one operator a sample
        pairs = zip(problem.samples(), normal.solvers, strict=True)
        return torch.stack([smooth_start(sample, solver, priors) for sample, solver in pairs], 1)
    return torch.stack([_most_likely(problem, normal, prior) for prior in priors])


def _most_likely(problem: InverseProblem, normal: NormalSolver, prior: Smoothness) -> Tensor:
    """argmin_z ‖y − A z‖²/σ² + zᵀLz, approximately, shape (*batch, T, C, H, W).

    With e = (y − A z)/σ it is the least-norm problem min zᵀLz + ‖e‖² subject to A z + σ e = y. Conjugate gradients run
    in the null space of [A σI] (Gould, Hribar, Nocedal 2001); the projection onto it, (a, b) ↦ (a', −A a'/σ) with
    a' = a − Aᵀ(AAᵀ + σ²I)⁻¹(A a + σ b), is one exact data step, and the preconditioner is (L + shift)⁻¹ between two
    projections. One step size per sample. Not `conjugate_gradient`: the iterate is the pair (z, e), and the steps are
    always as many, with derivatives.
    """
    A, y = problem.operator, problem.y
    shape = A.in_shape
    sigma = torch.as_tensor(problem.noise_std, device=y.device, dtype=y.dtype).clamp(min=NOISE_FLOOR)
    per_y = per_sample(sigma, len(A.out_shape))
    inverse = prior.inverse(shape, y)

    def project(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        a = normal.prox(sigma**2, a, -per_y * b)
        return a, -A(a) / per_y

    def precondition(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        a, b = project(a, b)
        return project(inverse(a, prior.shift, prior.shift * (1 + prior.chroma)), b)

    zero = torch.zeros(*problem.batch_shape, *shape, device=y.device, dtype=y.dtype)
    z = normal.prox(1e-3 * sigma**2, zero, y)
    for mu in (1e-2, 1e-1, 1.0, 10.0):  # coarse to fine, for a start with the right means
        z = normal.prox(mu * sigma**2, mu * inverse(z, mu, mu), y)
    e = (y - A(z)) / per_y
    r_z, r_e = -prior(z), -e
    g_z, g_e = precondition(r_z, r_e)
    p_z, p_e = g_z, g_e
    energy = _dot(r_z, g_z, 4) + _dot(r_e, g_e, len(A.out_shape))
    floor = torch.finfo(y.dtype).eps ** 1.5 * energy  # below it, a step would divide rounding by rounding
    for _ in range(STEPS):
        q_z = prior(p_z)
        curvature = _dot(p_z, q_z, 4) + _dot(p_e, p_e, len(A.out_shape))
        length = _ratio(energy, curvature, energy > floor)
        z = z + each(length) * p_z
        r_z = r_z - each(length) * q_z
        r_e = r_e - per_sample(length, len(A.out_shape)) * p_e
        g_z, g_e = precondition(r_z, r_e)
        before, energy = energy, _dot(r_z, g_z, 4) + _dot(r_e, g_e, len(A.out_shape))
        ratio = _ratio(energy, before, before > floor)
        p_z = g_z + each(ratio) * p_z
        p_e = g_e + per_sample(ratio, len(A.out_shape)) * p_e
    return z


def _ratio(a: Tensor, b: Tensor, where: Tensor) -> Tensor:
    """a/b, elsewhere 0, and so its derivative."""
    return torch.where(where, a / torch.where(where, b, 1), 0)


def _dot(a: Tensor, b: Tensor, event: int) -> Tensor:
    return (a * b).flatten(-event).sum(-1)
