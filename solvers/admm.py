"""ADMM on the exact data step; the learned solvers take the same data and dual step.

min_x ½‖y − A x‖² + R(x) is split as x = z: with the prior on x and the data on z, and u the scaled dual variable,

    x ← prox_{R/ρ}(z − u),    z ← argmin_z ½‖y − A z‖² + ρ/2 ‖z − (x + u)‖²,    u ← u + x − z,

from z = A⁺ y, u = 0; the reconstruction is z. Source: Boyd et al., Foundations and Trends in Machine Learning 3(1),
2011, section 3; signs as in Milacski et al., ICML 2020.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from linops_video import InverseProblem, NormalSolver
from linops_video.errors import SpecError
from linops_video.solvers.iteration import relative_change
from linops_video.solvers.proximal import Memory, Prior, TotalVariation, WaveletL1


@dataclass(frozen=True, eq=False)
class AdmmState:
    """The iterates of ADMM.

    Attributes:
        normal: the data step's solver, set up once.
        z: the data variable, which is the reconstruction; shape (*batch, *operator.in_shape).
        u: the scaled dual variable, same shape.
        memory: what the prior keeps from step to step, tensors with the same batch axes.
    """

    normal: NormalSolver
    z: Tensor
    u: Tensor
    memory: Memory = ()

    @property
    def estimate(self) -> Tensor:
        return self.z


def start(problem: InverseProblem) -> AdmmState:
    """z = A⁺ y, u = 0."""
    normal = NormalSolver.of(problem.operator)
    z = normal.pinv(problem.y)
    return AdmmState(normal, z, z.new_zeros(z.shape))


def data_step(normal: NormalSolver, rho: float | Tensor, x: Tensor, u: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The data and the dual step: z = argmin_z ½‖y − A z‖² + ρ/2 ‖z − (x + u)‖², and u + x − z.

    Args:
        rho: a number, or one per sample.
        x, u: the prior's output and the dual variable, shape (*batch, *operator.in_shape).
        y: the measurement.
    """
    v = x + u
    z = normal.prox(rho, v, y)
    return z, v - z


def fixed_point_residual(before: AdmmState, after: AdmmState) -> Tensor:
    """√(‖z₊ − z‖² + ‖u₊ − u‖² + ‖memory₊ − memory‖²) / ‖z₊‖ per sample.

    u₊ − u = x₊ − z₊ is the primal residual and ρ(z₊ − z) the dual one. The numerator never grows for a convex prior (He
    and Yuan, Numerische Mathematik 130, 2015), and is zero at a solution only.
    """
    batch = before.z.ndim - len(before.normal.operator.in_shape)
    pairs = [(before.z, after.z), (before.u, after.u)]
    if before.memory:  # empty before the first step
        pairs += zip(before.memory, after.memory, strict=True)
    return relative_change(pairs, after.z, batch)


@dataclass(frozen=True)
class Admm(ABC):
    """ADMM with a prior; a subclass gives `prior()` and the fields that it needs.

    Attributes:
        rho: penalty ρ > 0 of the splitting; it decides how fast, not where, the iteration converges.
        weight: λ ≥ 0 of the prior.
        max_steps: at most so many iterations, 1 or more.
        tol: a sample stops when its `fixed_point_residual` is at most this, 0 or more.
    """

    rho: float
    weight: float
    max_steps: int
    tol: float

    @abstractmethod
    def prior(self) -> Prior:
        """R, as its proximal operator."""

    def __post_init__(self) -> None:
        if not 0 < self.rho < math.inf:
            raise SpecError(f"rho must be a positive number, got {self.rho}")
        if not 0 <= self.weight < math.inf:
            raise SpecError(f"weight must be 0 or more, got {self.weight}")
        if not (isinstance(self.max_steps, int) and self.max_steps >= 1):
            raise SpecError(f"max_steps must be a whole number of 1 or more, got {self.max_steps}")
        if not self.tol >= 0:
            raise SpecError(f"tol must be 0 or more, got {self.tol}")
        self.prior()  # which checks the other fields

    def init(self, problem: InverseProblem) -> AdmmState:
        return start(problem)

    def step(self, problem: InverseProblem, state: AdmmState) -> AdmmState:
        x, memory = self.prior()(state.z - state.u, 1 / self.rho, state.memory)
        z, u = data_step(state.normal, self.rho, x, state.u, problem.y)
        return AdmmState(state.normal, z, u, memory)

    def residual(self, before: AdmmState, after: AdmmState) -> Tensor:
        return fixed_point_residual(before, after)


@dataclass(frozen=True)
class AdmmWavelet(Admm):
    """min_x ½‖y − A x‖² + weight · ‖details of W x‖₁ by ADMM, W the 3-D wavelet transform of a channel (`WaveletL1`).

    The row "3-D wavelet sparsity" of the paper's Table 1 is `AdmmWavelet(rho=0.3, weight=0.05, max_steps=13, tol=0,
    levels=0)`.

    Attributes:
        wavelet: a name that PyWavelets knows, for all axes or one for each of T, H, W.
        levels: an int for all axes, or one for each of T, H, W; 0 penalises the pixels themselves.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import AdmmWavelet, run
        >>> problem = forward_model("pid", (8, 3, 16, 16)).measure(torch.rand(8, 3, 16, 16))
        >>> run(AdmmWavelet(max_steps=5), problem).x.shape
        torch.Size([8, 3, 16, 16])
    """

    rho: float = 0.3
    weight: float = 0.05
    max_steps: int = 100
    tol: float = 1e-4
    wavelet: str | tuple[str, str, str] = "haar"
    levels: int | tuple[int, int, int] = (3, 3, 3)

    def prior(self) -> WaveletL1:
        return WaveletL1(self.weight, self.wavelet, self.levels)


@dataclass(frozen=True)
class AdmmTV(Admm):
    """min_x ½‖y − A x‖² + weight · TV(x), TV isotropic over time, space and channels (`TotalVariation`), by ADMM.

    Attributes:
        time_weight: of differences in time relative to those in space.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import AdmmTV, run
        >>> problem = forward_model("sr2", (8, 3, 16, 16)).measure(torch.rand(8, 3, 16, 16))
        >>> run(AdmmTV(max_steps=5, tol=0), problem).steps
        5
    """

    rho: float = 0.3
    weight: float = 0.05
    max_steps: int = 100
    tol: float = 1e-4
    time_weight: float = 4.0

    def prior(self) -> TotalVariation:
        return TotalVariation(self.weight, self.time_weight)
