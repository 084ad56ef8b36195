"""The operators of the zoo that run all of its code between them, for tests that take long for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Any

from linops_video import NormalSolver
from zoo import ZOO
from zoo.animal import Animal, animal


def parts(whole: Any) -> Iterator[tuple[Any, ...]]:
    """Each type within, with those of its fields that choose what runs: words and flags."""
    values = [getattr(whole, f.name) for f in dataclasses.fields(whole)]
    yield type(whole), *(value for value in values if isinstance(value, str | bool))
    for value in values:
        for item in value if isinstance(value, tuple) else (value,):
            if dataclasses.is_dataclass(item):
                yield from parts(item)


def code(entry: Animal) -> list[tuple[Any, ...]]:
    """The parts of an operator and of its inverse, which run other code with batch axes than without."""
    A = animal(entry)
    batched, whole = bool(A.batch_shape), {"operator": A, "inverse": NormalSolver.of(A)}
    return [(batched, name, *part) for name, item in whole.items() for part in parts(item)]


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
    return [entry for entry in ZOO if entry in chosen]
