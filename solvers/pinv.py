"""Solvers without iteration, and the pseudoinverse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from linops_video import InverseProblem


@dataclass(frozen=True, eq=False)
class DirectState:
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
    def init(self, problem: InverseProblem) -> DirectState: ...

    def resume(self, problem: InverseProblem, state: DirectState) -> DirectState:
        """Solved again: the state may be of other measurements."""
        return self.init(problem)

    def step(self, problem: InverseProblem, state: DirectState) -> DirectState:
        return state

    def residual(self, before: DirectState, after: DirectState) -> Tensor:
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

    def init(self, problem: InverseProblem) -> DirectState:
        return DirectState(problem.normal.pinv(problem.y))
