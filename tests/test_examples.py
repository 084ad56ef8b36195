"""The examples run, say something, and stay short."""

import runpy

import pytest
import torch
from tree import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path, monkeypatch, capsys):
    assert len(path.read_text().splitlines()) <= 60
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng(devices=[]):
        runpy.run_path(str(path), run_name="__main__")
    assert " dB" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
