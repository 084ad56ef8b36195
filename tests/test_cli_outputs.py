"""Outputs are no inputs and no other outputs, and are held by one run; what cannot be written is told first."""

import json

import numpy as np
import pytest
import torch
from command import run

from linops_video.expressions.source import files_named
from linops_video.films.parts import locked
from linops_video.media.video import read_video, write_video

SOLVE = ("--op", "sr2", "--solver", "pinv")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    smooth = torch.linspace(0.2, 0.8, 32).expand(40, 3, 32, 32).contiguous()
    write_video("clip.mkv", smooth[:4])
    write_video("film.mkv", smooth)
    write_video("black.mkv", 0 * smooth)
    write_video("mask.mkv", smooth[:1])
    np.savez("clip.npz", y=smooth[:4].numpy())
    np.savez("fast.npz", y=smooth.numpy(), fps=120.0)
    np.savez("pairs.npz", y=smooth[:4, :2].numpy())
    np.savez("set.npz", video=np.full((20, 4, 16, 16, 3), 100, np.uint8))
    np.save("array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    for name in ("empty.npz", "w.st", "k.png"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder").mkdir()
    return tmp_path


EVALUATE = ("--solvers", "pinv", "--problems", "sr2")
BAD = {
    "the data as the report": (("evaluate", "--data", "set.npz", *EVALUATE, "--json", "set.npz"), "another output"),
    "the root of the data as the report": (
        ("evaluate", "--data", "rotated-mnist", "--root", "set.npz", *EVALUATE, "--json", "set.npz"),
        "another output",
    ),
    "the weights of a solver as the report": (
        ("evaluate", "--data", "set.npz", "--solvers", "onenet(weights='w.st')", "--problems", "sr2", "--json", "w.st"),
        "another output",
    ),
    "a kernel as the picture": (
        ("figure", "--data", "set.npz", "--solvers", "pinv", "--problems", "sr2,blur(k.png, valid)", "-o", "k.png"),
        "another output",
    ),
    "two reports in one file": (
        ("evaluate", "--data", "set.npz", *EVALUATE, "--json", "r", "--markdown", "./r"),
        "another output",
    ),
    "the archive as the result": (("tune", "set.npz", "--op", "sr2", "--json", "set.npz"), "is an input"),
    "the mask as the output": (
        ("solve", "clip.mkv", "--op", "pid", "--mask", "mask.mkv", "-o", "mask.mkv"),
        "mask.mkv is an input",
    ),
    "a file of the expression": (
        ("solve", "clip.mkv", "--op", "mask(mask.mkv)", "-o", "mask.mkv"),
        "mask.mkv is an input",
    ),
    "report and output": (("solve", "clip.npz", *SOLVE, "-o", "x.npz", "--json", "x.npz"), "another output"),
    "a folder as the report": (("solve", "clip.mkv", *SOLVE, "-o", "x.mkv", "--json", "folder"), "it is a folder"),
    "this folder": (("solve", "clip.mkv", *SOLVE, "-o", "."), "give the name of a new file or folder"),
    "a black mask film": (("solve", "film.mkv", "--op", "pid", "--mask", "black.mkv", "-o", "x.mkv"), "keeps nothing"),
    "a fast GIF": (("solve", "fast.npz", *SOLVE, "-o", "x.gif"), ".gif needs 0.001 to 100 frames per second, not 120"),
    "two channels": (("solve", "pairs.npz", *SOLVE, "--figure", "f.png", "-o", "x.npz"), "of one or three channels"),
    "a shape of no digits": (("solve", "clip.npz", *SOLVE, "--shape", "8,3,²,64", "-o", "x.npz"), "four positive"),
    "an empty archive": (("evaluate", "--data", "empty.npz", *EVALUATE), "cannot read empty.npz"),
    "an array as an archive": (("evaluate", "--data", "array.npz", *EVALUATE), "cannot read array.npz"),
    "an empty archive to tune on": (("tune", "empty.npz", "--op", "sr2"), "cannot read empty.npz"),
    "table1 and more": (
        ("evaluate", "--data", "set.npz", "--solvers", "pinv", "--problems", "table1,pid"),
        "table1 stands alone",
    ),
    "a figure of nothing": (
        ("figure", "--data", "set.npz", "--frames", 4, "--solvers", "bicubic", "--problems", "pid", "-o", "f.png"),
        "no solver of bicubic is for pid",
    ),
    "a split of a clip": (("tune", "clip.mkv", "--op", "sr2", "--noise", 0.1, "--split", "val"), "--split is for an"),
    "the shape of a clip": (
        ("tune", "clip.mkv", "--simulate", "--op", "sr2", "--shape", "4,3,64,64"),
        "--shape is for a measurement",
    ),
    "an endless seed": (("ops", "pid", "--seed", 10**30), "below 2⁶³"),
    "a folder and an unknown solver": (("solve", "folder", "--op", "sr2", "--solver", "nope", "-o", "new"), "unknown"),
    "a folder and an unknown name": (("solve", "folder", "--op", "sr2 @ srr(2)", "-o", "new"), "unknown name 'srr'"),
    "a folder and no expression": (("solve", "folder", "--op", "sr2 @", "-o", "new"), "cannot read this expression"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_outputs_are_told_in_a_sentence_before_the_work(here, capsys, name):
    command, words = BAD[name]
    write_video(here / "folder" / "film.mkv", read_video("clip.mkv").frames) if "a folder and" in name else None
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
    assert run(*command) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert words in error
    assert len(error.splitlines()) == (3 if "@" in str(command) else 1), "one sentence, and the place in an expression"
    assert {path: path.stat().st_mtime_ns for path in here.rglob("*")} == before


@pytest.mark.parametrize(
    "fields",
    [
        {"frames": []},
        {"learning_rate": -1.0},
        {"betas": [2.0, 2.0]},
        {"average": 1.0},
        {"clip": 0.0},
        {"noisy": 5.0},
        {"warm_up": -5},
        {"seed": 10**30},
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_told(here, capsys, fields):
    (here / "bad.json").write_text(json.dumps(fields))
    assert run("train", "--data", "set.npz", "--size", 16, "--steps", 1, "-o", "run", "--config", "bad.json") == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (here / "run").exists()


def test_one_run_writes_a_film_at_a_time(here, capsys):
    with locked(here / "out.mkv", 0):
        assert run("solve", "film.mkv", *SOLVE, "-o", "out.mkv") == 2
    assert "another run is writing out.mkv" in capsys.readouterr().err
    assert run("solve", "film.mkv", *SOLVE, "-o", "out.mkv") == 0
    assert not list(here.glob(".*"))


def test_the_files_of_an_expression_are_known():
    (names,) = ([path.name for path in files_named(text)] for text in ["blur(ker.npy, valid) @ mask(m.png)"])
    assert sorted(names) == ["ker.npy", "m.png"]
    assert files_named("sr4") == files_named("no expression (") == []
