"""`linops-video train`: a small run writes weights that `solve` takes, and refuses what it cannot train on."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command import run
from safetensors.torch import load_file

from linops_video import __version__
from linops_video.media.arrays import read_clip, write_array
from linops_video.media.video import demo_clip
from linops_video.solvers.learned.checkpoint import describe

SMALL = {
    "samples": 1,
    "frames": [4],
    "validate_every": 2,
    "network": {"features": 8, "steps": 1, "coarse": 1, "fine": 1},
}


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with an archive of two training windows and one for validation, of a real clip."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    frames = (read_clip(demo_clip(), frames=4).frames * 255).byte().permute(0, 2, 3, 1).numpy()
    windows = np.stack([frames[:, 30 * i : 30 * i + 24, 40 * i : 40 * i + 24] for i in range(3)])
    np.savez(tmp_path / "data.npz", video=windows, split=np.array(["train", "train", "val"]))
    (tmp_path / "small.json").write_text(json.dumps(SMALL))
    return tmp_path


TRAIN = ("train", "--data", "data.npz", "-o", "runs", "--problems", "sr2,fi2", "--size", 16, "--config", "small.json")


def test_the_folders_above_a_run_are_made(here):
    assert run(*TRAIN, "--steps", 1, "-o", "new/runs/a") == 0
    assert (here / "new" / "runs" / "a" / "videoonet.safetensors").exists()


def test_a_run_writes_weights_that_solve_takes(here, capsys):
    assert run(*TRAIN, "--steps", 4) == 0
    assert "runs/videoonet.safetensors" in capsys.readouterr().out
    with (here / "runs" / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert all(float(row["sr2"]) > 10 for row in rows)
    facts = describe(here / "runs" / "videoonet.safetensors")
    assert facts["config"]["form"] == "videoonet"
    assert facts["config"]["features"] == 8
    assert facts["data"] == ["data.npz"]
    assert (facts["license"], facts["version"]) == ("unknown", __version__)
    assert set(facts["problems"]) == {"sr2", "fi2"}
    write_array("clip.npz", "x", read_clip(demo_clip(), frames=4).frames[..., :24, :32])
    solve = ("solve", "clip.npz", "--simulate", "--op", "sr2", "--weights", "runs/videoonet.safetensors")
    assert run(*solve, "--json", "r.json") == 0
    assert json.loads((here / "r.json").read_text())["steps"] == 1


def test_what_is_given_comes_before_the_file(here):
    own = {**SMALL, "steps": 1, "seed": 5, "problems": {"sr2": 3, "pid": 2}}
    (here / "own.json").write_text(json.dumps(own))
    assert run(*TRAIN, "--config", "own.json") == 0
    facts = describe(here / "runs" / "videoonet.safetensors")
    assert (facts["steps"], facts["problems"]) == (1, {"sr2": 3, "fi2": 1})
    command = ("train", "--data", "data.npz", "--size", 16, "--config", "own.json")
    assert run(*command, "-o", "more", "--steps", 2, "--seed", 0) == 0
    facts = describe(here / "more" / "videoonet.safetensors")
    assert (facts["steps"], facts["problems"]) == (2, {"sr2": 3, "pid": 2})


def test_weights_to_begin_with(here, capsys):
    assert run(*TRAIN, "--steps", 2) == 0
    first = here / "runs" / "videoonet.safetensors"
    begin = ("--weights", first, "--steps", 2, "-o", "more")
    (here / "plain.json").write_text(json.dumps({**SMALL, "network": {}, "learning_rate": 1e-12}))
    assert run(*TRAIN, *begin, "--config", "plain.json") == 0
    facts, tensors, before = (
        describe(here / "more" / first.name),
        load_file(here / "more" / first.name),
        load_file(first),
    )
    assert facts["start"] == first.name
    assert facts["config"] == describe(first)["config"]
    assert all(torch.equal(tensors[name], before[name]) for name in before)  # nothing is learned at this rate
    assert run(*TRAIN, *begin, "-o", "other", "--config", "small.json", "--weights", "videoonet") == 2
    assert "differs from that of --weights" in capsys.readouterr().err
    assert run(*TRAIN, *begin, "-o", "other", "--config", "plain.json", "--weights", "rotated-mnist") == 2
    assert "for videos with C = 1, not a videoonet for C = 3" in capsys.readouterr().err
    assert not (here / "other").exists()


def test_a_run_continues_where_it_was_when_asked_to(here, capsys):
    assert run(*TRAIN, "--steps", 2) == 0
    curve = (here / "runs" / "curve.csv").read_text()
    assert run(*TRAIN, "--steps", 2, "--resume") == 0  # done already: nothing is trained again
    assert (here / "runs" / "curve.csv").read_text() == curve
    assert run(*TRAIN, "--steps", 2) == 2
    assert "holds a run: resume it" in capsys.readouterr().err


@pytest.mark.parametrize("solver", ["onenet-cnn", "onenet-projector"])
def test_a_data_set_by_name_and_the_papers_forms(here, solver):
    digits = np.random.default_rng(0).integers(0, 255, (20, 28, 28)).astype(np.uint8)
    np.savez(here / "digits.npz", x_train=digits, x_test=digits)
    (here / "paper.json").write_text('{"network": {"features": 4, "steps": 2}, "groups": 2}')
    command = ("train", "--data", "rotated-mnist", "--root", "digits.npz", "--solver", solver, "-o", "runs")
    assert run(*command, "--steps", 2, "--clips", 2, "--config", "paper.json") == 0
    facts = describe(here / "runs" / f"{solver}.safetensors")
    assert facts["config"]["channels"] == 1
    assert facts["config"]["blocks"] == "convolutional"
    assert (facts["data"], facts["license"]) == (["rotated-mnist"], "that of the data")
    assert len(facts["problems"]) == 15


WRONG = {
    "two": '{"samples": "two"}',
    "flat": '{"frames": 4}',
    "betas": '{"betas": [0.9]}',
    "mix": '{"problems": ["sr2"]}',
    "net": '{"network": {"rho": "x"}}',
    "yes": '{"checkpointing": 1}',
    "gray": '{"network": {"channels": 1}}',
    "magic": '{"problems": {"magic": 1}}',
}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--data", "no.npz"), "no such file: no.npz"),
        (("--problems", "sr2,magic"), "unknown problem 'magic'"),
        (("--config", "no.json"), "no such file: no.json"),
        (("--config", "data.npz"), "as JSON"),
        (("--config", "odd.json"), "TrainConfig has no field speed"),
        (("--config", "list.json"), "JSON object"),
        (("--data", "rotated-mnist"), "or archives (.npz) alone"),
        (("--resume",), "nothing to resume in runs"),
        (("--device", "tpu"), "--device is auto, cpu or cuda"),
        (("--minutes", 0), "minutes must be positive"),
        (("--clips", 0), "--clips must be at least 1, not 0"),
        (("--size", 0), "--size must be at least 1, not 0"),
        (("--config", "two.json"), "samples in two.json must be a whole number, not 'two'"),
        (("--config", "flat.json"), "frames in flat.json must be a list, each a whole number, not 4"),
        (("--config", "betas.json"), "betas in betas.json must be a list of 2, not [0.9]"),
        (("--config", "mix.json"), "problems in mix.json must be an object of numbers, not ['sr2']"),
        (("--config", "net.json"), "rho in net.json must be a number or null, not 'x'"),
        (("--config", "yes.json"), "checkpointing in yes.json must be true or false, not 1"),
        (("--config", "gray.json"), "the videos have C = 3, not 1: leave channels out of --config"),
        (("--config", "magic.json"), "unknown name 'magic'"),
        (("--size", 64), "too small for 4 frames of 64×64: give a smaller --size"),
        (("--steps", 0), "1 or more"),
        (("--solver", "videonet"), "did you mean videoonet"),
        (("-o", "data.npz/run"), "the folder data.npz does not exist"),
    ],
)
def test_bad_input_is_one_sentence_and_starts_nothing(here, capsys, arguments, words):
    (here / "odd.json").write_text('{"speed": 3}')
    (here / "list.json").write_text("[1, 2]")
    for name, text in WRONG.items():
        (here / f"{name}.json").write_text(text)
    assert run(*TRAIN, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert not (here / "runs").exists()
