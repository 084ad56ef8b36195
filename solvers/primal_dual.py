"""The primal-dual method of Chambolle and Pock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import torch
from torch import Tensor

from linops_video import InverseProblem
from linops_video.solvers.iteration import Prepared, least_pull, norm, splitting_residual
from linops_video.solvers.objective import AnyPriors, check_on_videos, check_positive, check_relaxation
from linops_video.solvers.priors.prior import Prior, plus
from linops_video.solvers.start import start


@dataclass(frozen=True, eq=False)
class PrimalDualState(Prepared):
    """The reconstruction x, the dual variable of each prior, Σ Kᵢᴴpᵢ, the step length of the duals, the data step with
    ρ, and what ‖Σ Kᵢᴴpᵢ‖ counts as in the residual where it is less, of each sample."""

    x: Tensor
    p: tuple[Tensor, ...]
    pull: Tensor
    sigma: float | Tensor
    data: Callable[[Tensor], Tensor]
    least: Tensor

    @property
    def estimate(self) -> Tensor:
        return self.x


@dataclass(frozen=True, kw_only=True)
class PrimalDual(AnyPriors):
    """min_x ½‖y − A x‖² + Σ gᵢ(Kᵢ x) by projections of the dual variables and the exact data step:

        x₊ ← argmin_x ½‖y − A x‖² + ρ/2 ‖x − (x_k − Σ Kᵢᴴpᵢ/ρ)‖²,    pᵢ₊ ← prox_{σgᵢ*}(pᵢ + σKᵢ(2x₊ − x_k)),

    over-relaxed: (x, p) moves by `relaxation` times the change; σ = ρ/Σ‖Kᵢ‖² from exact norms, the largest allowed.
    Where K is the identity this is ADMM. Source: Chambolle and Pock, Journal of Mathematical Imaging and Vision 40,
    2011; Condat, Journal of Optimization Theory and Applications 158, 2013.

    Attributes:
        rho: 1/τ, the inverse of the primal step length, > 0.
        relaxation: over-relaxation in (0, 2).
        prior, max_steps, tol: as of `Admm`.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import PrimalDual, TotalVariation, run
        >>> problem = forward_model("sr2", (8, 3, 16, 16)).measure(torch.rand(8, 3, 16, 16))
        >>> run(PrimalDual(TotalVariation(0.01), max_steps=5), problem).x.shape
        torch.Size([8, 3, 16, 16])
    """

    rho: float = 0.1
    relaxation: float = 1.8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("rho", self.rho)
        check_relaxation(self.relaxation)

    def init(self, problem: InverseProblem) -> PrimalDualState:
        check_on_videos(problem)
        problem, back = problem.prepare(), problem.operator.H(problem.y)  # one set-up for the start and the data step
        _, x = start(problem, back)
        p = tuple(torch.zeros_like(prior.analyse(x)) for prior in self.priors)
        return self._state(problem, back, x, p, torch.zeros_like(x))

    def resume(self, problem: InverseProblem, state: PrimalDualState) -> PrimalDualState:
        """x and the duals of the state, with the data step and the step lengths of this problem."""
        back = problem.operator.H(problem.y)
        return self._state(problem, back, state.x, state.p, pulled(self.priors, state.p))

    def _state(
        self, problem: InverseProblem, back: Tensor, x: Tensor, p: tuple[Tensor, ...], pull: Tensor
    ) -> PrimalDualState:
        """With the data step and the step lengths of a problem, whose Aᴴy is `back`."""
        squares = sum(prior.norm(problem.operator.in_shape) ** 2 for prior in self.priors)
        data, least = problem.normal.data_step(self.rho, problem.y), least_pull(back, len(problem.batch_shape))
        return PrimalDualState(x, p, pull, self.rho / max(squares, 1e-12), data, least)

    def step(self, problem: InverseProblem, state: PrimalDualState) -> PrimalDualState:
        x = state.data(plus(state.x, -1 / self.rho, state.pull))
        ahead = state.x.lerp(x, 2.0)  # 2 x₊ − x
        duals = tuple(
            prior.dual_step(p, ahead, state.sigma, self.relaxation)
            for prior, p in zip(self.priors, state.p, strict=True)
        )
        x = x if self.relaxation == 1 else state.x.lerp(x, self.relaxation)
        return replace(state, x=x, p=duals, pull=pulled(self.priors, duals))

    def residual(self, before: PrimalDualState, after: PrimalDualState) -> Tensor:
        """The larger of √(‖x₊ − x‖² + Σ‖pᵢ₊ − pᵢ‖²/(ρσ)) / ‖x₊‖, both parts in the units of x, and the dual residual
        ‖Σ Kᵢᴴ(pᵢ₊ − pᵢ) − ρ(x₊ − x)‖ / ‖Σ Kᵢᴴpᵢ₊‖."""
        batch, unit, moved = after.least.ndim, (self.rho * after.sigma) ** -0.5, after.x - before.x
        duals = (unit * norm(b - a, batch) for a, b in zip(before.p, after.p, strict=True))
        force = norm(plus(after.pull - before.pull, -self.rho, moved), batch)
        pull = torch.maximum(norm(after.pull, batch), after.least)
        return splitting_residual((norm(moved, batch), *duals), after.x, force, pull)


def pulled(priors: Sequence[Prior], p: Sequence[Tensor]) -> Tensor:
    """Σ Kᵢᴴpᵢ."""
    return reduce(torch.add, (prior.synthesise(dual) for prior, dual in zip(priors, p, strict=True)))
