"""The few operators that stand for the zoo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from zoo import ZOO
from zoo.paths import KINDS, PATHS, Part, code


@pytest.fixture(scope="module")
def parts_of() -> dict[str, set[Part]]:
    return {entry.name: code(entry) for entry in ZOO}


def test_names_are_given_once() -> None:
    for names in ([entry.name for entry in ZOO], PATHS):
        assert [name for name, count in Counter(names).items() if count > 1] == []


def missing(found: dict[str, set[Part]], names: Iterable[str]) -> dict[str, set[Part]]:
    """What operators have that none of these names has."""
    known = set().union(*(found[name] for name in names))
    return {name: parts - known for name, parts in found.items() if parts - known}


def test_kinds_have_every_class(parts_of: dict[str, set[Part]]) -> None:
    classes = {name: {part[:2] for part in parts} for name, parts in parts_of.items()}
    assert missing(classes, KINDS) == {}, "add one to KINDS"


def test_paths_have_every_part(parts_of: dict[str, set[Part]]) -> None:
    assert missing(parts_of, PATHS) == {}, "add one to PATHS"
