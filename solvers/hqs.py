"""Half-quadratic splitting with a growing penalty."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from linops_video import InverseProblem, NormalSolver
from linops_video.errors import SpecError
from linops_video.solvers.admm import mean
from linops_video.solvers.iteration import relative_change
from linops_video.solvers.objective import AnyPriors, check_on_videos, check_positive, same_measurements
from linops_video.solvers.priors.prior import Memory, as_number
from linops_video.solvers.start import start


@dataclass(frozen=True, eq=False)
class HqsState:
    """The problem and its normal solver, the reconstruction z, what each prior keeps, how many steps are done, how far
    z is from the mean of what the priors answered, ‖mean(xᵢ) − z‖/‖z‖ of each sample, and the solver in words."""

    problem: InverseProblem
    normal: NormalSolver
    z: Tensor
    memory: tuple[Memory, ...]
    steps: int = 0
    gap: Tensor | None = None
    solver: str = ""

    @property
    def estimate(self) -> Tensor:
        return self.z


@dataclass(frozen=True, kw_only=True)
class HalfQuadratic(AnyPriors):
    """min_{z,xᵢ} ½‖y − A z‖² + Σᵢ (Rᵢ(xᵢ) + ρ_k/2 ‖xᵢ − z‖²) by turns, ρ_k = rho · growth^k, i = 1 … n:

        xᵢ ← prox_{Rᵢ/ρ_k}(z),    z ← argmin_z ½‖y − A z‖² + nρ_k/2 ‖z − mean(xᵢ)‖².

    As ρ grows, z and the xᵢ are driven together; how fast decides where they meet, which is near the minimum of
    ½‖y − A x‖² + Σ Rᵢ(x), not at it. It suits plug-and-play priors, which have no minimum to miss, since the denoiser
    is told less and less noise. Source: Geman and Yang, IEEE Transactions on Image Processing 4(7), 1995; Zhang et al.,
    IEEE Transactions on Pattern Analysis and Machine Intelligence 44(10), 2022.

    Attributes:
        rho: the first penalty, > 0.
        growth: ρ_{k+1}/ρ_k, 1 or more.
        prior, max_steps, tol: as of `Admm`.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import HalfQuadratic, PlugAndPlay, run
        >>> problem = forward_model("sr2", (2, 3, 16, 16)).measure(torch.rand(2, 3, 16, 16))
        >>> run(HalfQuadratic(PlugAndPlay(lambda x, sigma: x), max_steps=8), problem).steps
        1
    """

    rho: float = 0.01
    growth: float = 1.2
    max_steps: int = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("rho", self.rho)
        if not as_number(self.growth) >= 1:
            raise SpecError(f"growth must be 1 or more, got {self.growth}")

    @property
    def has_fixed_point(self) -> bool:
        """Whether its steps are all the same."""
        return self.growth == 1

    def init(self, problem: InverseProblem) -> HqsState:
        check_on_videos(problem)
        return HqsState(problem, *start(problem), ((),) * len(self.priors), solver=self._told)

    @property
    def _told(self) -> str:
        return repr((self.priors, self.rho, self.growth))

    def resume(self, problem: InverseProblem, state: HqsState) -> HqsState:
        """The state; for another problem than its own, or by another schedule, its z at the beginning of that of ρ."""
        own, z = state.problem, state.z
        answers = (replace(p, y=p.operator(z)) for p in (problem, own))
        same = problem is own or (same_measurements(problem, own) and same_measurements(*answers))
        if not same or state.solver != self._told:
            return replace(self.init(problem), z=z)
        return state if problem is own else replace(state, problem=problem, normal=problem.normal)

    def step(self, problem: InverseProblem, state: HqsState) -> HqsState:
        rho = self.rho * self.growth**state.steps
        kept = zip(self.priors, state.memory, strict=True)
        results = [prior(state.z, 1 / rho, prior.rescaled(memory, 1 / self.growth)) for prior, memory in kept]
        x = mean([x for x, _ in results])
        z = state.normal.prox(len(results) * rho, x, problem.y)
        gap = relative_change([(x, z)], z, z.ndim - len(problem.operator.in_shape))
        return replace(state, z=z, memory=tuple(memory for _, memory in results), steps=state.steps + 1, gap=gap)

    def residual(self, before: HqsState, after: HqsState) -> Tensor:
        """The larger of ‖z₊ − z‖ and ‖mean(xᵢ) − z₊‖, relative to ‖z₊‖: with a small ρ, z hardly moves at first. With a
        ρ that does not grow the xᵢ stay away from z, and the first alone counts."""
        assert after.gap is not None
        moved = relative_change([(before.z, after.z)], after.z, after.gap.ndim)
        return moved if self.growth == 1 else torch.maximum(moved, after.gap)
