"""Least squares without a proximal operator: conjugate gradients, and squared differences as the only prior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from linops_video import InverseProblem, NormalSolver, Stack, gradient
from linops_video.algebra.krylov import IterativeSolve, Map, conjugate_gradient
from linops_video.algebra.parameters import per_sample
from linops_video.inverses.inverse import warn_of_residual
from linops_video.inverses.normal import implicit_solution
from linops_video.solvers.objective import (
    check_on_videos,
    check_positive,
    check_stopping,
    energy,
    same_measurements,
    squared_misfit,
    squared_norm,
    times,
)
from linops_video.solvers.pinv import Direct, DirectState
from linops_video.solvers.priors.prior import check_weight
from linops_video.solvers.priors.variation import SquaredDifferences

LARGEST = 1e8
"""Largest weight of squared differences relative to ‖A‖²: of a larger one float64 would not tell A from zero."""


@dataclass(frozen=True, eq=False)
class CglsState:
    """The iterates of conjugate gradients on the normal equations.

    Attributes:
        problem: what they solve.
        x: the reconstruction.
        r: y − A x.
        p: the direction of the next step.
        energy: ‖Aᴴr‖² of each sample, float64.
        first: its first value.
    """

    problem: InverseProblem
    x: Tensor
    r: Tensor
    p: Tensor
    energy: Tensor
    first: Tensor

    @property
    def estimate(self) -> Tensor:
        return self.x


@dataclass(frozen=True, kw_only=True)
class Cgls:
    """min_x ½‖y − A x‖² by conjugate gradients from x = 0, which tends to A⁺ y; stopped early it is a regulariser.

    The first steps find what singular values are large for, so that with noise the number of steps takes the place of a
    weight. Every step is one A and one Aᴴ; nothing is set up. Source: Hestenes and Stiefel, Journal of Research of the
    National Bureau of Standards 49(6), 1952; Björck, Numerical Methods for Least Squares Problems, 1996, section 7.4.

    Attributes:
        max_steps: at most so many iterations, 1 or more.
        tol: a sample stops when ‖Aᴴ(y − A x)‖ is at most this share of ‖Aᴴy‖.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import Cgls, run
        >>> problem = forward_model("dd", (2, 3, 16, 16)).measure(torch.rand(2, 3, 16, 16))
        >>> run(Cgls(max_steps=5), problem).x.shape
        torch.Size([2, 3, 16, 16])
    """

    max_steps: int = 100
    tol: float = 1e-4
    has_fixed_point: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_stopping(self.max_steps, self.tol)

    def objective(self, problem: InverseProblem, x: Tensor) -> Tensor:
        """½‖y − A x‖² of each sample."""
        return squared_misfit(problem, x) / 2

    def init(self, problem: InverseProblem) -> CglsState:
        p = problem.operator.H(problem.y)
        first = energy(p, len(problem.operator.in_shape))
        return CglsState(problem, torch.zeros_like(p), problem.y, p, first, first)

    def resume(self, problem: InverseProblem, state: CglsState) -> CglsState:
        """The state; for another problem than its own, its x with the residual and the gradient of that one."""
        A, event, own = problem.operator, len(problem.operator.in_shape), state.problem
        if problem is own or (A is own.operator and same_measurements(problem, own)):
            return state
        r = problem.y - A(state.x)
        p = A.H(r)
        return CglsState(problem, state.x, r, p, energy(p, event), energy(A.H(problem.y), event))

    def step(self, problem: InverseProblem, state: CglsState) -> CglsState:
        A, event = problem.operator, len(problem.operator.in_shape)
        q = A(state.p)
        length = _ratio(state.energy, squared_norm(problem, q))
        x = state.x + per_sample(length.to(state.x), event) * state.p
        r = state.r - times(problem, length.to(state.x), q)
        s = A.H(r)
        left = energy(s, event)
        arrived = left <= self.tol**2 * state.first
        if bool(arrived.any()):  # r drifts from what it stands for, which decides
            r = r + times(problem, arrived.to(state.x), problem.y - A(x) - r)
            s = A.H(r)
            left = energy(s, event)
        p = s + per_sample(_ratio(left, state.energy).to(s), event) * state.p
        return replace(state, x=x, r=r, p=p, energy=left)

    def residual(self, before: CglsState, after: CglsState) -> Tensor:
        """‖Aᴴ(y − A x₊)‖ / ‖Aᴴy‖."""
        return _ratio(after.energy, after.first).sqrt()


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """a/b, 0 where b is."""
    return torch.where(b > 0, a / torch.where(b > 0, b, 1), 0)


@dataclass(frozen=True)
class Tikhonov(Direct):
    """min_x ½‖y − A x‖² + weight/2 · ‖D x‖², D the differences in time, rows and columns: a smooth video.

    A linear estimate, exact in one solve where the algebra gives AᴴA + weight · DᵀD an eigendecomposition (denoising,
    whole frames, blur in time, luma), else by conjugate gradients, preconditioned in the DCT, to 1e-6 relative. Source:
    Tikhonov, Doklady Akademii Nauk SSSR 151, 1963.

    Attributes:
        weight: λ > 0; above `LARGEST` · ‖A‖² it counts as that, where a video is as smooth as it gets.
        time_weight: of differences in time relative to those in space, ≥ 0.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import Tikhonov, run
        >>> problem = forward_model("fi2", (8, 3, 16, 16)).measure(torch.rand(8, 3, 16, 16))
        >>> run(Tikhonov(0.01), problem).x.shape
        torch.Size([8, 3, 16, 16])
    """

    weight: float = 0.01
    time_weight: float = 1.0

    def __post_init__(self) -> None:
        check_positive("weight", self.weight)
        check_weight("time_weight", self.time_weight)

    @property
    def prior(self) -> SquaredDifferences:
        """R."""
        return SquaredDifferences(self.weight, self.time_weight)

    def objective(self, problem: InverseProblem, x: Tensor) -> Tensor:
        """½‖y − A x‖² + R(x) of each sample."""
        return squared_misfit(problem, x) / 2 + self.prior.value(x)

    def init(self, problem: InverseProblem) -> DirectState:
        check_on_videos(problem)
        samples = problem.samples()
        if samples[0] is problem:
            return DirectState(self._solve(problem))
        return DirectState(torch.stack([self._solve(s) for s in samples], -1 - len(problem.operator.in_shape)))

    def _solve(self, problem: InverseProblem) -> Tensor:
        A, y, prior = problem.operator, problem.y, self.prior
        b = A.H(y)
        t, h, w = (float(A.in_shape[axis] > 1) for axis in (0, -2, -1))  # no differences along an axis of one entry
        if not any((self.time_weight * t, h, w)):
            return problem.normal.pinv(y)  # nothing differs
        D = gradient(A.in_shape, (self.time_weight * t, h, w))
        ratio = float(torch.as_tensor(self.weight).detach() / A.norm().detach().square().max())
        weight, ratio = self.weight * min(1.0, LARGEST / ratio), min(ratio, LARGEST)
        both = Stack((A, weight**0.5 * D))
        normal = NormalSolver.of(both)
        if normal.exact and ratio > 1e-10:  # a smaller one is below what the pseudoinverse counts as zero
            flat = y.flatten(y.ndim - len(A.out_shape))
            return normal.pinv(torch.cat((flat, flat.new_zeros(*flat.shape[:-1], *D.out_shape)), -1))
        # in float32 rounding is what A says of x beside a large weight · DᵀD x, or what that says beside AᴴA x
        if b.dtype.to_real() == torch.float32:
            return self._solve(problem.to(dtype=torch.float64)).to(b.dtype)
        # what A does not see is told by the prior alone: a residual that counts there is as small as its weight
        rtol = max(1e-6 * min(1.0, ratio), 8 * torch.finfo(b.dtype).eps)
        G: Map = lambda x: both.H(both(x))  # noqa: E731

        def solved(r: Tensor) -> IterativeSolve:
            with torch.no_grad():
                return conjugate_gradient(G, r, len(A.in_shape), lambda r: prior.inverse(ratio, r), rtol)

        found = solved(b.detach())
        warn_of_residual(found, rtol, "", "use a larger weight")
        return implicit_solution(found.x, b - G(found.x), lambda r: solved(r).x)
