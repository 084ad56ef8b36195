"""Where the splitting methods begin: what was measured, and around it what nothing was measured of."""

from __future__ import annotations

import torch
from torch import Tensor

from linops_video import InverseProblem, LinearOperator, NormalSolver
from linops_video.solvers.priors.prior import VIDEO_AXES


def start(problem: InverseProblem) -> tuple[NormalSolver, Tensor]:
    """The data step's solver, and where to begin: A⁺ y without noise, (AᴴA + σ²I)⁻¹ Aᴴ y with noise of σ, `filled`.

    The second is the most likely video of unit variance: small singular values do not magnify the noise, as A⁺ does,
    out of whose amplified noise no prior finds back.
    """
    A, y, normal = problem.operator, problem.y, problem.normal
    noise_std = torch.as_tensor(problem.noise_std, device=y.device, dtype=y.dtype.to_real())
    noisy = noise_std > 0
    if not bool(noisy.any()):
        z = normal.pinv(y)
    else:
        z = normal(torch.where(noisy, noise_std**2, 1.0), A.H(y))
        if not bool(noisy.all()):
            z = torch.where(noisy.reshape(*noisy.shape, *(1,) * len(A.in_shape)), z, normal.pinv(y))
    return normal, filled(z, reached(A, z).expand(z.shape)) if len(A.in_shape) == VIDEO_AXES else z


def reached(A: LinearOperator, like: Tensor) -> Tensor:
    """Which entries of x have a part in A x, shape (*A.batch_shape, *A.in_shape).

    Of AᴴA on random entries the others are exactly zero. `like`: for device and precision.
    """
    probe = torch.rand(*A.batch_shape, *A.in_shape, generator=torch.Generator().manual_seed(0))
    return A.H(A(probe.to(like))) != 0


def filled(x: Tensor, seen: Tensor) -> Tensor:
    """A video whose unseen entries are means of near ones that are seen, which stay: "push-pull" over halved grids.

    An entry takes the mean of the smallest cell of 2×1×1, 2×2×1, 2×2×2, 4×2×2, … (T, H, W) entries that holds one.
    Source: Gortler et al., The Lumigraph, SIGGRAPH 1996, section 3.4. Where nothing is seen, x stays.

    Example:
        >>> x = torch.tensor([1.0, 0.0, 0.0, 5.0]).reshape(4, 1, 1, 1)
        >>> filled(x, x != 0).flatten()
        tensor([1., 1., 5., 5.])
    """
    if seen.all() or not seen.any():
        return x
    return _pushed_and_pulled(torch.where(seen, x, 0), seen.to(x.real), 0)


def _pushed_and_pulled(total: Tensor, count: Tensor, level: int) -> Tensor:
    """The means total/count, of coarser cells where the count is zero; halved along T, H and W in turn."""
    if not bool((count == 0).any()) or max(total.shape[-VIDEO_AXES], *total.shape[-2:]) == 1:
        return total / count.clamp(min=1)
    dim = (-4, -2, -1)[level % 3]
    coarse = _pushed_and_pulled(_halved(total, dim), _halved(count, dim), level + 1)
    near = coarse.repeat_interleave(2, dim).narrow(dim, 0, total.shape[dim])
    return torch.where(count > 0, total / count.clamp(min=1), near)


def _halved(x: Tensor, dim: int) -> Tensor:
    """The sums of neighbouring pairs along an axis; the last entry alone if their number is odd."""
    n = x.shape[dim]
    if n % 2:
        x = torch.cat([x, torch.zeros_like(x.narrow(dim, 0, 1))], dim)
    return x.unflatten(dim, (-1, 2)).sum(dim)
