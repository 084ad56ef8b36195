"""What an entry of the zoo is, and its random numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from linops_video import LinearOperator, NormalSolver

VIDEO = (4, 3, 6, 5)
GRAM, OUTER = ", from the Gram", ", from the outer product"


@dataclass(frozen=True)
class Animal:
    """A name, the operator made from a source of random numbers, and `NormalSolver.method` as it must be."""

    name: str
    make: Callable[[Callable[..., Tensor]], LinearOperator]
    method: str


DEVICE = torch.device("cpu")


def use_device(name: str) -> None:
    """Where `normal_numbers` and `animal` put what they make: `pytest --device`."""
    global DEVICE
    DEVICE = torch.device(name)


def normal_numbers(seed: int, device: torch.device | None = None) -> Callable[..., Tensor]:
    """A source of float64 normal numbers, the same on any device."""
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64).to(device or DEVICE)


def mask(r: Callable[..., Tensor], *shape: int) -> Tensor:
    """Bool: sums of masks must count, not join by "or"."""
    return r(*shape) > 0


def animal(entry: Animal, seed: int = 0) -> LinearOperator:
    return entry.make(normal_numbers(seed, torch.device("cpu"))).to(DEVICE)


# What several laws need of one animal, whose tests conftest.py puts one after the other; not to be written to.


@lru_cache(maxsize=4)
def dense(entry: Animal) -> Tensor:
    """The matrix of `animal(entry)`, the oracle of its laws."""
    return animal(entry).to_dense()


@lru_cache(maxsize=4)
def singular_values(entry: Animal) -> Tensor:
    """Those of the matrix."""
    return torch.linalg.svdvals(dense(entry))


@lru_cache(maxsize=4)
def pseudoinverse(entry: Animal) -> Tensor:
    """That of the matrix."""
    return torch.linalg.pinv(dense(entry), rtol=1e-6)


@lru_cache(maxsize=4)
def solver(entry: Animal) -> NormalSolver:
    """The inverse that is found, with `animal(entry)` as its operator."""
    return NormalSolver.of(animal(entry))


@lru_cache(maxsize=4)
def norm(entry: Animal) -> Tensor:
    """What `animal(entry)` says that its norm is."""
    return animal(entry).norm()
