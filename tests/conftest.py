"""`--device cuda`: the operators and random numbers of the zoo on a GPU; `--slow`: tests that take long, too."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest
import torch


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="where the zoo lives: cpu (default), cuda, cuda:1, …")
    parser.addoption("--slow", action="store_true", help="run the tests marked slow, too")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes long; runs with --slow only")
    if available(config):
        importlib.import_module("zoo.animal").use_device(config.getoption("--device"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    together(items)
    device = config.getoption("--device")
    if not available(config):
        for item in items:
            item.add_marker(pytest.mark.skip(reason=f"no device {device!r} here"))
    if not config.getoption("--slow"):
        config.hook.pytest_deselected(items=[item for item in items if "slow" in item.keywords])
        items[:] = [item for item in items if "slow" not in item.keywords]


def together(items: list[pytest.Item]) -> None:
    """The tests of each animal of the zoo one after the other: they share its matrix and its inverse."""
    first: dict[str, int] = {}

    def place(numbered: tuple[int, pytest.Item]) -> int:
        number, item = numbered
        entry = item.callspec.params.get("entry") if hasattr(item, "callspec") else None  # type: ignore[attr-defined]
        return number if entry is None else first.setdefault(entry.name, number)

    items[:] = [item for _, item in sorted(enumerate(items), key=place)]


def available(config: pytest.Config) -> bool:
    device = torch.device(str(config.getoption("--device")))
    return device.type == "cpu" or (device.type == "cuda" and (device.index or 0) < torch.cuda.device_count())


@pytest.fixture(scope="session", autouse=True)
def _own_folder_of_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Data sets are looked for, and decoded to, a folder of the tests, not the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINOPS_VIDEO_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture
def short_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps to where the networks begin, for tests of what comes after, which is the same, in less time."""
    for steps in ("STEPS", "TV_STEPS"):
        monkeypatch.setattr(f"linops_video.solvers.learned.start.{steps}", 2)
