"""The operators of the zoo that run all of its code between them, for tests that take long for each."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from linops_video import LinearOperator, NormalSolver
from zoo import ZOO
from zoo.animal import Animal, animal

UNTOLD = (
    "a cosine filter between masks, along the only axis",
    "cosine transform of a long axis",
    "Hadamard transform of a long axis",
    "box mean of a circular blur",
    "box means, and a mask of a circular blur",
    "complex circulant",
    "complex weights",
    "full blur of wavelet synthesis",
    "rows of the spectrum of luma",
    "i times a Toeplitz",
    "patches that overlap",
    "one multiple of a periodic difference a sample",
    "einsum, transposed",
    "weights and gains of box means along an axis each, and of every second row, of a blur",
    "cosine multiplier of a flip",
    "crop of a circular blur",
    "luma, one a sample, and box means that leave over, flipped",
    "masks of two temporal blurs",
    "box mean of a separable blur",
)
"""Those with lines of their own that no word or flag tells of, as the branch coverage of each of the zoo says."""


def parts(whole: Any) -> Iterator[tuple[Any, ...]]:
    """Each type within, whether its own parameters have batch axes, which run other code, and those of its fields that
    choose what runs: flags and words, but for the numbers in them."""
    values = [getattr(whole, f.name) for f in dataclasses.fields(whole)]
    batched = isinstance(whole, LinearOperator) and bool(whole.batch_shape)
    yield type(whole), batched, *(re.sub(r"\d+", "n", str(value)) for value in values if isinstance(value, str | bool))
    for value in values:
        for item in value if isinstance(value, tuple) else (value,):
            if dataclasses.is_dataclass(item):
                yield from parts(item)


def code(entry: Animal) -> list[tuple[Any, ...]]:
    """The parts of an operator and of its inverse."""
    A = animal(entry)
    whole = {"operator": A, "inverse": NormalSolver.of(A)}
    return [(name, *part) for name, item in whole.items() for part in parts(item)]


@cache
def code_paths() -> list[Animal]:
    """A few that have every part that one of the zoo has: the others run the same code. The one with most new parts
    for its size comes first, and those whose parts the others have go again."""
    listed = {entry: code(entry) for entry in ZOO}
    left, chosen = {part for found in listed.values() for part in found}, []
    while left:
        best = max(listed, key=lambda entry: len(left.intersection(listed[entry])) / len(listed[entry]))
        chosen.append(best)
        left.difference_update(listed[best])
    for entry in chosen[::-1]:
        others = {part for other in chosen if other is not entry for part in listed[other]}
        if others.issuperset(listed[entry]):
            chosen.remove(entry)
    assert not set(UNTOLD) - {entry.name for entry in ZOO}
    return [entry for entry in ZOO if entry in chosen or entry.name in UNTOLD]
