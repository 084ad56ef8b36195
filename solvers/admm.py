"""ADMM on the exact data step; the learned solvers take the same data and dual step.

min_x ½‖y − A x‖² + R(x) is split as x = z: with the prior on x and the data on z, and u the scaled dual variable,

    x ← prox_{R/ρ}(z − u),    z ← argmin_z ½‖y − A z‖² + ρ/2 ‖z − (x + u)‖²,    u ← u + x − z,

from z = A⁺ y, u = 0; the reconstruction is z. Source: Boyd et al., Foundations and Trends in Machine Learning 3(1),
2011, section 3; signs as in Milacski et al., ICML 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from linops_video import InverseProblem, NormalSolver
from linops_video.solvers.iteration import relative_change


@dataclass(frozen=True, eq=False)
class AdmmState:
    """The iterates of ADMM.

    Attributes:
        normal: the data step's solver, set up once.
        z: the data variable, which is the reconstruction; shape (*batch, *operator.in_shape).
        u: the scaled dual variable, same shape.
        memory: what the prior keeps from step to step, tensors with the same batch axes; None if it keeps nothing.
    """

    normal: NormalSolver
    z: Tensor
    u: Tensor
    memory: Any = None

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
    """√(‖z₊ − z‖² + ‖u₊ − u‖²) / ‖z₊‖ per sample.

    Its numerator never grows for a convex prior (ADMM is an averaged operator on (z, u)), and is zero at the solution
    only; u₊ − u = x₊ − z₊ is the primal residual and ρ(z₊ − z) the dual one.
    """
    batch = before.z.ndim - len(before.normal.operator.in_shape)
    return relative_change((before.z, before.u), (after.z, after.u), after.z, batch)
