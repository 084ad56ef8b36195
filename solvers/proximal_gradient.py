"""Proximal gradient descent, plain and accelerated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from linops_video import InverseProblem
from linops_video.algebra.parameters import per_sample
from linops_video.errors import SpecError
from linops_video.solvers.iteration import joint, norm, ratio
from linops_video.solvers.objective import AnyPriors, check_on_videos
from linops_video.solvers.priors.prior import Memory, check_count, each, total


@dataclass(frozen=True, eq=False)
class GradientState:
    """The iterates of a proximal gradient method.

    Attributes:
        x: the reconstruction.
        v: where the next gradient is taken: x, or beyond it.
        momentum: t of each sample, which grows from 1.
        step: 1/‖A‖² of each sample.
        memory: what the prior keeps.
    """

    x: Tensor
    v: Tensor
    momentum: Tensor
    step: Tensor
    memory: Memory = ()

    @property
    def estimate(self) -> Tensor:
        return self.x


@dataclass(frozen=True, kw_only=True)
class ProximalGradient(AnyPriors):
    """min_x ½‖y − A x‖² + R(x) by x ← prox_{τR}(x − τAᴴ(A x − y)), τ = 1/‖A‖² from the exact norm, from x = τAᴴy.

    For several priors take a splitting method, as Admm or PrimalDual. Source: Combettes and Wajs, Multiscale Modeling &
    Simulation 4(4), 2005.

    Attributes:
        inner: iterations of a prior whose proximal operator is iterated, each going on from the last; one that is exact
            needs one.
        prior: one `Prior`.
        max_steps, tol: as of `Admm`.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import ProximalGradient, WaveletL1, run
        >>> problem = forward_model("sr2", (8, 3, 16, 16)).measure(torch.rand(8, 3, 16, 16))
        >>> run(ProximalGradient(WaveletL1(0.01), max_steps=5), problem).x.shape
        torch.Size([8, 3, 16, 16])
    """

    inner: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.priors) != 1:
            raise SpecError(
                f"{type(self).__name__} takes one prior, got {len(self.priors)}: take admm or primal-dual for several"
            )
        check_count("inner", self.inner)

    def init(self, problem: InverseProblem) -> GradientState:
        check_on_videos(problem)
        backward = problem.operator.H(problem.y)
        norm = problem.operator.norm().to(backward.real).expand(problem.batch_shape)
        step = norm.square().clamp(min=torch.finfo(backward.dtype).tiny).reciprocal()
        x = each(step) * backward
        return GradientState(x, x, torch.ones_like(step), step)

    def resume(self, problem: InverseProblem, state: GradientState) -> GradientState:
        """The state; for an operator of another norm its x, with the step of that one."""
        fresh = self.init(problem)
        return state if bool((fresh.step == state.step).all()) else replace(fresh, x=state.x, v=state.x)

    def step(self, problem: InverseProblem, state: GradientState) -> GradientState:
        A, (prior,) = problem.operator, self.priors
        target = state.v - each(state.step) * A.H(A(state.v) - problem.y)
        x, memory = prior(target, state.step, state.memory)
        for _ in range(self.inner - 1 if memory else 0):
            x, memory = prior(target, state.step, memory)
        v, momentum = self._ahead(state, x)
        return GradientState(x, v, momentum, state.step, memory)

    def _ahead(self, state: GradientState, x: Tensor) -> tuple[Tensor, Tensor]:
        """Where the next gradient is taken, and t."""
        return x, state.momentum

    def residual(self, before: GradientState, after: GradientState) -> Tensor:
        """‖x₊ − v‖ / ‖x₊‖, v the place where the gradient was taken, and with it the change of what an iterated
        prior keeps: zero at a solution only."""
        batch, (prior,) = before.step.ndim, self.priors
        kept = torch.as_tensor(sum(prior.changes(before.memory, after.memory))).to(after.step).expand_as(after.step)
        return ratio(joint([norm(after.x - before.v, batch), kept.sqrt()]), norm(after.x, batch))


@dataclass(frozen=True)
class Fista(ProximalGradient):
    """Proximal gradient descent with the momentum of FISTA, begun anew where it points against the gradient.

        x₊ ← prox_{τR}(v − τAᴴ(A v − y)),    t₊ ← (1 + √(1 + 4t²))/2,    v ← x₊ + (t − 1)/t₊ · (x₊ − x),

    with t ← 1 and v ← x₊ for each sample where ⟨v − x₊, x₊ − x⟩ > 0. Sources: Beck and Teboulle, SIAM Journal on
    Imaging Sciences 2(1), 2009; O'Donoghue and Candès, Foundations of Computational Mathematics 15, 2015.

    Attributes:
        prior, inner, max_steps, tol: as of `ProximalGradient`.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import Fista, WaveletL1, run
        >>> problem = forward_model("sr2", (8, 3, 16, 16)).measure(torch.rand(8, 3, 16, 16))
        >>> run(Fista(WaveletL1(0.01), max_steps=5), problem).x.shape
        torch.Size([8, 3, 16, 16])
    """

    def _ahead(self, state: GradientState, x: Tensor) -> tuple[Tensor, Tensor]:
        moved = x - state.x
        restart = total(((state.v - x).conj() * moved).real) > 0
        following = (1 + (1 + 4 * state.momentum.square()).sqrt()) / 2
        beta = torch.where(restart, 0, (state.momentum - 1) / following)
        return x + per_sample(beta, x.ndim - beta.ndim) * moved, torch.where(restart, 1, following)
