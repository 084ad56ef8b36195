"""What an entry of the zoo is, and its random numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video import LinearOperator

VIDEO = (4, 3, 6, 5)
GRAM, OUTER = ", from the Gram", ", from the outer product"


@dataclass(frozen=True)
class Animal:
    """A name, the operator made from a source of random numbers, and `NormalSolver.method` as it must be."""

    name: str
    make: Callable[[Callable[..., Tensor]], LinearOperator]
    method: str


def normal_numbers(seed: int) -> Callable[..., Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)


def mask(r: Callable[..., Tensor], *shape: int) -> Tensor:
    return (r(*shape) > 0).double()


def animal(entry: Animal, seed: int = 0) -> LinearOperator:
    return entry.make(normal_numbers(seed))
