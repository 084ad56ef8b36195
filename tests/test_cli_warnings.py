"""What the command says of warnings: a sentence at the end, not a wall of lines with paths."""

from __future__ import annotations

import warnings

import pytest

from linops_video import ConvergenceWarning
from linops_video.cli import app as application
from linops_video.cli import main


def test_warnings_of_one_kind_are_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def app(*_: object, **__: object) -> int:
        for residual in (0.1, 0.2, 0.3):
            warnings.warn(f"stopped at {residual}", ConvergenceWarning, stacklevel=1)
        return 0

    monkeypatch.setattr(application, "app", app)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with pytest.raises(SystemExit) as end:
            main(["ops"])
    assert end.value.code == 0
    assert capsys.readouterr().err == "warning: stopped at 0.3 (3 warnings like this)\n"


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_short_memory_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, error: Exception) -> None:
    def app(*_: object, **__: object) -> int:
        raise error

    monkeypatch.setattr(application, "app", app)
    with pytest.raises(SystemExit) as end:
        main(["ops"])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: out of memory")


def test_other_errors_are_not_called_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def app(*_: object, **__: object) -> int:
        raise RuntimeError("a bug")

    monkeypatch.setattr(application, "app", app)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["ops"])
