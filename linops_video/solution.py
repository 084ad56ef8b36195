"""What a solver returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Solution:
    """A reconstruction and how its computation ended.

    Attributes:
        x: the reconstruction, shape (*batch, T, C, H, W).
        status: "converged", "max_steps" (the limit came first) or "direct" (no iteration was needed).
        steps: the number of iterations done.
        residuals: the solver's residual after each iteration, the largest over the batch.
        state: what the solver needs to go on from here.
    """

    x: Tensor
    status: str
    steps: int
    residuals: tuple[float, ...] = ()
    state: Any = field(default=None, repr=False)
