"""What a solver returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class History:
    """What happened at each step: tensors of shape (steps, *batch).

    Attributes:
        residual: the solver's residual; of a sample that has converged that of one more step, which is not taken.
        misfit: root mean square of A x − y over the measurements.
        objective: what the solver minimises; None where it has no formula.
        psnr: against the true video, in dB; None where that was not given.

    Example:
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import solve
        >>> x = torch.rand(4, 3, 8, 8)
        >>> solve(forward_model("sr2", x.shape).measure(x), "admm-tv", max_steps=3, tol=0, truth=x).history.psnr.shape
        torch.Size([3])
    """

    residual: Tensor
    misfit: Tensor
    objective: Tensor | None = None
    psnr: Tensor | None = None

    @staticmethod
    def joined(parts: Sequence[History]) -> History:
        """One history of those of consecutive steps."""

        def column(name: str) -> Tensor | None:
            tensors = [getattr(part, name) for part in parts]
            return None if tensors[0] is None else torch.cat(tensors)

        return History(**{f.name: column(f.name) for f in fields(History)})  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Solution:
    """A reconstruction and how its computation ended.

    Attributes:
        x: the reconstruction, shape (*batch, T, C, H, W).
        status: "converged", "max_steps" (the limit came first, as it always does for networks, whose number of steps is
            fixed) or "direct" (no iteration was needed).
        steps: the number of iterations done.
        residuals: the solver's residual after each iteration, the largest of the samples that had not converged.
        state: what the solver needs to go on from here.
        converged: of each sample whether its residual fell to the tolerance; None for "direct".
        sample_steps: the iterations that each sample took; None for "direct".
        history: what happened to each sample, if it was asked for.

    Example:
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import solve
        >>> solution = solve(forward_model("sr2", (4, 3, 8, 8)).measure(torch.rand(4, 3, 8, 8)), "cgls")
        >>> solution.status, solution.x.shape
        ('converged', torch.Size([4, 3, 8, 8]))
    """

    x: Tensor
    status: str
    steps: int
    residuals: tuple[float, ...] = ()
    state: Any = field(default=None, repr=False)
    converged: Tensor | None = None
    sample_steps: Tensor | None = None
    history: History | None = field(default=None, repr=False)

    def real(self) -> Solution:
        """The same with the nearest real video, the real part, in the place of a complex one."""
        return replace(self, x=self.x.real) if self.x.is_complex() else self
