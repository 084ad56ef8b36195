"""Data-parallel training: the processes that `torchrun` starts, and what they tell each other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import torch
import torch.distributed as dist

Item = TypeVar("Item")


@dataclass(frozen=True)
class Team:
    """The processes of a training run, and which of them this is.

    Attributes:
        rank: the number of this process, from 0; process 0 writes the files.
        size: how many there are.
        device: where numbers that are exchanged must lie.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """The items that this process takes: every `size`-th."""
        return items[self.rank :: self.size]

    def total(self, numbers: Sequence[float]) -> list[float]:
        """The sums of numbers over all processes."""
        if self.size == 1:
            return list(numbers)
        sums = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        return sums.tolist()

    def agreed(self, number: float) -> float:
        """The number that process 0 has."""
        return self.total([number if self.rank == 0 else 0.0])[0]

    def gathered(self, scores: Mapping[str, float]) -> dict[str, float]:
        """The scores of all processes together."""
        if self.size == 1:
            return dict(scores)
        parts: list[Mapping[str, float]] = [{}] * self.size
        dist.all_gather_object(parts, scores)
        return {name: value for part in parts for name, value in part.items()}


@contextmanager
def team(device: torch.device) -> Iterator[Team]:
    """The team of a process that `torchrun` has started (gloo on CPUs, nccl on GPUs); alone for any other process."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Team(device=device)
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Team(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
