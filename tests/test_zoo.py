"""The few operators that stand for the zoo."""

from __future__ import annotations

from collections import Counter

import pytest
from zoo import ZOO
from zoo.paths import KINDS, PATHS, Part, code


@pytest.fixture(scope="module")
def parts_of() -> dict[str, set[Part]]:
    return {entry.name: code(entry) for entry in ZOO}


def test_names_are_given_once() -> None:
    for names in ([entry.name for entry in ZOO], PATHS):
        assert [name for name, count in Counter(names).items() if count > 1] == []


def test_kinds_have_every_class(parts_of: dict[str, set[Part]]) -> None:
    lacking = {name: {part[:2] for part in found} for name, found in parts_of.items()}
    known = set().union(*(lacking[name] for name in KINDS))
    assert [(name, found - known) for name, found in lacking.items() if found - known] == [], "add one to KINDS"


def test_paths_have_every_part(parts_of: dict[str, set[Part]]) -> None:
    known = set().union(*(parts_of[name] for name in PATHS))
    assert [(name, found - known) for name, found in parts_of.items() if found - known] == [], "add one to PATHS"
