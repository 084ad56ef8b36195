"""Where the splitting methods begin: what was measured, and around it what nothing was measured of."""

from __future__ import annotations

import torch
from torch import Tensor

from linops_video import InverseProblem, NormalSolver
from linops_video.algebra.krylov import conjugate_gradient
from linops_video.algebra.parameters import per_sample
from linops_video.problems.noise import covered
from linops_video.solvers.priors.prior import VIDEO_AXES

ROUGH = 1e-3
"""‖Aᴴ(y − A z)‖/‖Aᴴy‖ of a start that is found by iteration."""


def start(problem: InverseProblem, back: Tensor | None = None) -> tuple[NormalSolver, Tensor]:
    """The data step's solver, and where to begin: A⁺ y without noise, (AᴴA + σ²I)⁻¹ Aᴴ y with noise of σ, `filled`.

    The second is the most likely video of unit variance: small singular values do not magnify the noise, as A⁺ does,
    out of whose amplified noise no prior finds back. Where both are iterative, (AᴴA + σ²I)⁻¹ Aᴴ y to `ROUGH`: what is
    left is to be found by the iteration that begins here. `back`: Aᴴ y, if it is known.
    """
    A, y, normal = problem.operator, problem.y, problem.normal
    noise_std = torch.as_tensor(problem.noise_std, device=y.device, dtype=y.dtype.to_real())
    noisy, back = noise_std > 0, A.H(y) if back is None else back
    if not normal.exact:
        shift = per_sample(noise_std**2, len(A.in_shape))
        z = conjugate_gradient(lambda x: A.H(A(x)) + shift * x, back, len(A.in_shape), rtol=ROUGH).x
    elif not bool(noisy.any()):
        z = normal.pinv(y)
    else:
        z = normal(torch.where(noisy, noise_std**2, 1.0), back)
        if not bool(noisy.all()):
            z = torch.where(per_sample(noisy, len(A.in_shape)), z, normal.pinv(y))
    if len(A.in_shape) != VIDEO_AXES or bool(back.all()):  # Aᴴy is zero, exactly, where A does not cover x
        return normal, z
    return normal, filled(z, covered(A, z).expand(z.shape))


def filled(x: Tensor, seen: Tensor) -> Tensor:
    """A video whose unseen entries are weighted means of near ones that are seen, which stay.

    Normalised convolution (Knutsson and Westin, CVPR 1993) with (1, 1, 1)/3 at distances 1, 2, 4, …, along T, H and W
    in turn: an entry takes the mean as soon as one that is seen is within reach. Where none ever is, x stays.

    Example:
        >>> x = torch.tensor([1.0, 0.0, 5.0, 0.0]).reshape(4, 1, 1, 1)
        >>> filled(x, x != 0).flatten().round()
        tensor([1., 3., 5., 5.])
    """
    if seen.all() or not seen.any():
        return x
    known = weight = seen.to(x.real)
    total = weight * x
    distance, largest = 1, max(x.shape[-4], *x.shape[-2:])
    while distance < largest and not known.all():
        for dim in (-4, -2, -1):
            if distance < x.shape[dim]:
                total, weight = _spread(total, dim, distance), _spread(weight, dim, distance)
                reached = weight.sign()
                mean = total / weight.clamp(min=torch.finfo(weight.dtype).tiny)
                x = x.lerp(mean, (reached - known).to(x.dtype))  # arithmetic on 0 and 1: a tenth of the time of `where`
                known = reached
        distance *= 2
    return x


def _spread(x: Tensor, dim: int, distance: int) -> Tensor:
    """The mean of each entry and the two at a distance along an axis, zero beyond its ends."""
    n, spread = x.shape[dim] - distance, x / 3
    spread.narrow(dim, 0, n).add_(x.narrow(dim, distance, n), alpha=1 / 3)
    spread.narrow(dim, distance, n).add_(x.narrow(dim, 0, n), alpha=1 / 3)
    return spread
