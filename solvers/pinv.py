"""Solvers without iteration: the pseudoinverse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from linops_video import InverseProblem


@dataclass(frozen=True, eq=False)
class PinvState:
    """The reconstruction alone."""

    estimate: Tensor


class Direct(ABC):
    """A solver without iteration: `init` gives the reconstruction."""

    @property
    def max_steps(self) -> int:
        return 0

    @property
    def tol(self) -> float:
        return 0.0

    @abstractmethod
    def init(self, problem: InverseProblem) -> PinvState: ...

    def step(self, problem: InverseProblem, state: PinvState) -> PinvState:
        return state

    def residual(self, before: PinvState, after: PinvState) -> Tensor:
        return after.estimate.new_zeros(())


@dataclass(frozen=True)
class Pinv(Direct):
    """x = A⁺ y, the least-squares solution of smallest norm; it knows nothing of noise or of videos.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import Pinv, run
        >>> problem = forward_model("fi2", (4, 1, 8, 8)).measure(torch.rand(4, 1, 8, 8))
        >>> run(Pinv(), problem).status
        'direct'
    """

    def init(self, problem: InverseProblem) -> PinvState:
        return PinvState(problem.normal.pinv(problem.y))
