"""ADMM on the exact data step; the learned solvers take the same data and dual step.

min_x ½‖y − A x‖² + Σᵢ Rᵢ(x), i = 1 … n, is split as xᵢ = z: the priors on the xᵢ and the data on z. With uᵢ the scaled
dual variables,

    xᵢ ← prox_{Rᵢ/ρ}(z − uᵢ),    z ← argmin_z ½‖y − A z‖² + nρ/2 ‖z − mean(xᵢ + uᵢ)‖²,    uᵢ ← uᵢ + xᵢ − z,

from `start`, u = 0; the reconstruction is z. Source: Boyd et al., Foundations and Trends in Machine Learning 3(1),
2011, sections 3 and 7; signs as in Milacski et al., ICML 2020. No ρ needs a new factorisation, so that ρ may change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import torch
from torch import Tensor

from linops_video import InverseProblem, NormalSolver
from linops_video.solvers.iteration import Prepared, joint, least_pull, norm, splitting_residual
from linops_video.solvers.objective import AnyPriors, Regularised, check_on_videos, check_positive, check_relaxation
from linops_video.solvers.priors.prior import Memory, Prior, Step, each, squares, total
from linops_video.solvers.priors.variation import TotalVariation
from linops_video.solvers.priors.wavelet import WaveletL1
from linops_video.solvers.start import start

BALANCE_AT = tuple(5 * 2**k for k in range(20))
"""Steps after which ρ is balanced: ever more rarely, as ADMM converges for a ρ that is constant in the end."""


def data_step(normal: NormalSolver, rho: Step, x: Tensor, u: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The data and the dual step: z = argmin_z ½‖y − A z‖² + ρ/2 ‖z − (x + u)‖², and u + x − z.

    Args:
        rho: a number, or one per sample.
        x, u: the prior's output and the dual variable, shape (*batch, *operator.in_shape).
        y: the measurement.
    """
    v = x + u
    z = normal.prox(rho, v, y)
    return z, v - z


@dataclass(frozen=True, eq=False)
class SplitState(Prepared):
    """The iterates of ADMM with any number of priors.

    Attributes:
        normal: the data step's solver, set up once.
        z: the data variable, which is the reconstruction; shape (*batch, *operator.in_shape).
        u: the scaled dual variable of each prior.
        memory: what each prior keeps from step to step.
        rho: ρ of each sample, or one number for all.
        data: v ↦ argmin_z ½‖y − A z‖² + nρ/2 ‖z − v‖².
        least: what ρ‖u‖ counts as in the residual where it is less, of each sample.
        steps: how many steps are done.
    """

    normal: NormalSolver
    z: Tensor
    u: tuple[Tensor, ...]
    memory: tuple[Memory, ...]
    rho: Step
    data: Callable[[Tensor], Tensor]
    least: Tensor
    steps: int = 0

    @property
    def estimate(self) -> Tensor:
        return self.z


@dataclass(frozen=True, kw_only=True)
class AdmmBase(Regularised):
    """The steps of ADMM; a subclass tells the priors.

    A sample's residual is the larger of √(‖z₊ − z‖² + Σᵢ ‖uᵢ₊ − uᵢ‖²) / ‖z₊‖ and √n ‖z₊ − z‖ / ‖u₊‖: uᵢ₊ − uᵢ = xᵢ − z₊
    is the primal residual (times the relaxation), ρ(z₊ − z) the dual one, and ρu₊ what that is to be small against.
    What a prior keeps is left out: it costs as much as the step.

    Attributes:
        rho: penalty ρ > 0 of the splitting; it decides how fast, not where, the iteration converges.
        relaxation: over-relaxation in (0, 2); 1.5 to 1.8 is often fastest.
        balance: let ρ follow the ratio of primal and dual residual, for each sample by itself.
    """

    rho: float = 0.1
    relaxation: float = 1.8
    balance: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("rho", self.rho)
        check_relaxation(self.relaxation)

    def init(self, problem: InverseProblem) -> SplitState:
        check_on_videos(problem)
        back, n = problem.operator.H(problem.y), len(self.priors)
        (normal, z), least = start(problem, back), least_pull(back, len(problem.batch_shape))
        rho = torch.as_tensor(self.rho).to(z.real).expand(problem.batch_shape) if self.balance else self.rho
        data = normal.data_step(n * rho, problem.y)
        return SplitState(normal, z, (torch.zeros_like(z),) * n, ((),) * n, rho, data, least)

    def resume(self, problem: InverseProblem, state: SplitState) -> SplitState:
        """The state with the data step of this problem and this ρ; duals are scaled by 1/ρ, and change with it."""
        n, normal = len(self.priors), problem.normal
        rho = state.rho if self.balance and isinstance(state.rho, Tensor) else self.rho
        least = least_pull(problem.operator.H(problem.y), len(problem.batch_shape))
        after = replace(state, normal=normal, rho=rho, data=normal.data_step(n * rho, problem.y), least=least)
        return after if rho is state.rho else self._rescaled(after, rho / state.rho)

    def step(self, problem: InverseProblem, state: SplitState) -> SplitState:
        z, alpha = state.z, self.relaxation
        moved, memory = [], []
        for prior, u, kept in zip(self.priors, state.u, state.memory, strict=True):
            x, kept = prior(z - u, 1 / state.rho, kept, alpha)
            moved.append((x if alpha == 1 else torch.lerp(z, x, alpha)) + u)
            memory.append(kept)
        z = state.data(mean(moved))
        duals = tuple(v - z for v in moved)
        after = replace(state, z=z, u=duals, memory=tuple(memory), steps=state.steps + 1)
        if self.balance and after.steps in BALANCE_AT:
            return self._balanced(problem, state, after)
        return after

    def residual(self, before: SplitState, after: SplitState) -> Tensor:
        if after.rho is not before.rho:  # balanced after the step, whose duals were scaled by the ρ before
            after = replace(self._rescaled(after, before.rho / after.rho), rho=before.rho)
        batch = after.z.ndim - len(after.normal.operator.in_shape)
        moved, *duals = (norm(b - a, batch) for a, b in zip((before.z, *before.u), (after.z, *after.u), strict=True))
        pull = torch.maximum(after.rho * joint([norm(u, batch) for u in after.u]), after.least)
        return splitting_residual((moved, *duals), after.z, len(duals) ** 0.5 * after.rho * moved, pull)

    def _balanced(self, problem: InverseProblem, before: SplitState, after: SplitState) -> SplitState:
        """ρ times the ratio of the change of the scaled duals to that of the split variables, to the power of ½.

        That makes both parts of the fixed-point residual equal, those of splittings within priors included; in one step
        by a factor of 10 at most. Source: He, Yang and Wang, Journal of Optimization Theory and Applications 106, 2000,
        here with the residuals in the units of the video.
        """
        primal = sum(total(squares(b - a)) for a, b in zip(before.u, after.u, strict=True))
        dual = len(after.u) * total(squares(after.z - before.z))
        for prior, old, new in zip(self.priors, before.memory, after.memory, strict=True):
            split, scaled = prior.changes(old, new)
            primal, dual = primal + scaled, dual + split
        tiny = torch.finfo(after.z.dtype).tiny
        factor = (primal / dual.clamp(min=tiny)).clamp(1e-4, 1e4) ** 0.25
        rho = after.rho * factor
        after = replace(after, rho=rho, data=after.normal.data_step(len(after.u) * rho, problem.y))
        return self._rescaled(after, factor)

    def _rescaled(self, state: SplitState, factor: Step) -> SplitState:
        """What a state of another ρ keeps, for one that is larger by a factor."""
        pairs = zip(self.priors, state.memory, strict=True)
        memory = tuple(prior.rescaled(kept, 1 / factor) for prior, kept in pairs)
        return replace(state, u=tuple(u / each(factor) for u in state.u), memory=memory)


def mean(parts: Sequence[Tensor]) -> Tensor:
    """The mean of tensors of one shape."""
    return parts[0] if len(parts) == 1 else reduce(torch.add, parts).div_(len(parts))


@dataclass(frozen=True)
class Admm(AdmmBase, AnyPriors):
    """min_x ½‖y − A x‖² + Σ Rᵢ(x), i = 1 … n, by ADMM for any priors:

        xᵢ ← prox_{Rᵢ/ρ}(z − uᵢ),    z ← argmin_z ½‖y − A z‖² + nρ/2 ‖z − mean(xᵢ + uᵢ)‖²,    uᵢ ← uᵢ + xᵢ − z,

    over-relaxed: xᵢ moves on by `relaxation` times its way from z. Source: Boyd, Parikh, Chu, Peleato and Eckstein,
    Foundations and Trends in Machine Learning 3(1), 2011.

    Attributes:
        prior: a `Prior`, or a tuple of them.
        rho: penalty ρ > 0 of the splitting: how fast it converges, not where.
        relaxation: over-relaxation in (0, 2); 1.5 to 1.8 is often fastest.
        balance: let ρ follow the ratio of primal and dual residual, for each sample by itself.
        max_steps: at most so many iterations.
        tol: a sample stops when √(‖z₊ − z‖² + Σᵢ ‖uᵢ₊ − uᵢ‖²) / ‖z₊‖ and √n ‖z₊ − z‖ / ‖u₊‖ are at most this.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import Admm, Box, TotalVariation, run
        >>> problem = forward_model("sr2", (8, 3, 16, 16)).measure(torch.rand(8, 3, 16, 16))
        >>> run(Admm((TotalVariation(0.01), Box()), max_steps=5), problem).x.shape
        torch.Size([8, 3, 16, 16])
    """


@dataclass(frozen=True, kw_only=True)
class AdmmWavelet(AdmmBase):
    """min_x ½‖y − A x‖² + weight · ‖details of W x‖₁ by ADMM, W the 3-D wavelet transform of a channel (`WaveletL1`).

    The row "3-D wavelet sparsity" of the paper's Table 1 is `AdmmWavelet(rho=0.3, weight=0.05, max_steps=13, tol=0,
    levels=0)`.

    Attributes:
        weight: λ ≥ 0 of the prior.
        wavelet: a name that PyWavelets knows, for all axes or one for each of T, H, W.
        levels: an int for all axes, or one for each of T, H, W; 0 penalises the pixels themselves.
        rho, relaxation, balance, max_steps, tol: as of `Admm`.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import AdmmWavelet, run
        >>> problem = forward_model("pid", (8, 3, 16, 16)).measure(torch.rand(8, 3, 16, 16))
        >>> run(AdmmWavelet(max_steps=5), problem).x.shape
        torch.Size([8, 3, 16, 16])
    """

    weight: float = 0.05
    wavelet: str | tuple[str, str, str] = "haar"
    levels: int | tuple[int, int, int] = (3, 3, 3)
    rho: float = 0.3
    max_steps: int = 100
    relaxation: float = 1.0

    @property
    def priors(self) -> tuple[Prior, ...]:
        return (WaveletL1(self.weight, self.wavelet, self.levels),)


@dataclass(frozen=True, kw_only=True)
class AdmmTV(AdmmBase):
    """min_x ½‖y − A x‖² + weight · TV(x), TV isotropic over time, space and channels (`TotalVariation`), by ADMM.

    Attributes:
        weight: λ ≥ 0 of the prior.
        time_weight: of differences in time relative to those in space.
        rho, relaxation, balance, max_steps, tol: as of `Admm`.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import AdmmTV, run
        >>> problem = forward_model("sr2", (8, 3, 16, 16)).measure(torch.rand(8, 3, 16, 16))
        >>> run(AdmmTV(max_steps=5, tol=0), problem).steps
        5
    """

    weight: float = 0.05
    time_weight: float = 4.0
    rho: float = 0.3
    max_steps: int = 100
    relaxation: float = 1.0

    @property
    def priors(self) -> tuple[Prior, ...]:
        return (TotalVariation(self.weight, self.time_weight),)
