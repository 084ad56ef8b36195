"""Expressions on the command line: solved on clips and measurements, described, refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command import run

from linops_video import parse
from linops_video.media.arrays import read_clip, write_array
from linops_video.media.video import demo_clip, read_video, write_video

SHAPE = (4, 3, 24, 32)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder to work in, with a short real clip in it, and a kernel."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    write_video(tmp_path / "clip.mkv", read_video(demo_clip(), frames=4).frames[..., 40:64, 60:92], fps=12)
    np.save("kernel.npy", np.full((3, 3), 1 / 9))
    return tmp_path


@pytest.mark.parametrize(
    "op",
    ["sr(2) @ blur(disk, 4, 2, circular)", "stack(frames(0), 0.5 * grayscale)", "blur(kernel.npy) @ mask(0.8)"],
)
def test_a_clip_is_degraded_and_restored(here, capsys, op):
    Path("few.json").write_text('{"fields": {"max_steps": 10}}')
    solver = ("--solver", "admm-tv", "--config", "few.json")
    arguments = ("--simulate", "--op", op, *solver, "--seed", 3, "-o", "out.npz", "--json", "r.json")
    assert run("solve", "clip.mkv", *arguments, "--figure", "figure.png") == 0
    report, truth = json.loads(Path("r.json").read_text()), read_clip("clip.mkv").frames
    assert (report["op"], report["noise_std"], report["shape"]) == (op, 0, list(SHAPE))
    assert report["psnr"] > report["baselines"]["pinv"]["psnr"] - 0.01
    assert set(report["baselines"]) == {"pinv"}
    A = parse(op, SHAPE, seed=3)
    misfit = (A(read_clip("out.npz").frames) - A(truth)).square().mean().sqrt()
    assert report["data_misfit"] == pytest.approx(misfit.item(), rel=0.05, abs=1e-6)
    assert Path("figure.png").read_bytes().startswith(b"\x89PNG")
    assert op in " ".join(capsys.readouterr().out.split())


def test_the_expression_of_a_problem_has_its_baselines(here):
    assert run("solve", "clip.mkv", "--simulate", "--op", "sr(2)", "--solver", "pinv", "--json", "r.json") == 0
    assert set(json.loads(Path("r.json").read_text())["baselines"]) == {"admm-tv", "bicubic", "bicubic-consistent"}


@pytest.mark.parametrize("op", ["sr(2) @ blur(kernel.npy, valid)", "mask(0.7) @ every(2)", "crop(4, 8, 16, 16)"])
def test_a_measurement_tells_the_shape_of_its_video(here, op):
    truth = read_clip("clip.mkv").frames
    A = parse(op, SHAPE, seed=5)
    write_array("y.npz", "y", A(truth) + (A(truth) == 0) * 0.3)  # whatever stands at lost entries is left out
    arguments = ("--op", op, "--solver", "pinv", "--seed", 5, "-o", "out.npz", "--json", "r.json")
    assert run("solve", "y.npz", *arguments) == 0
    out = read_clip("out.npz").frames
    assert parse(op, tuple(out.shape), seed=5).out_shape == A.out_shape
    assert json.loads(Path("r.json").read_text())["data_misfit"] < 1e-5
    assert run("solve", "y.npz", *arguments, "--shape", "4,3,24,32") == 0
    assert tuple(read_clip("out.npz").frames.shape) == SHAPE


def test_the_shape_is_asked_for_where_it_is_not_told(here, capsys):
    write_array("y.npz", "y", torch.rand(40))
    assert run("solve", "y.npz", "--op", "gaussian(0.1) @ sr(2)", "-o", "out.npz") == 2
    assert "does not tell the shape of the video: give it (--shape" in capsys.readouterr().err
    assert not Path("out.npz").exists()


def test_without_a_clip_the_picture_is_named_after_the_expression(here):
    op = "frames(::2) @ sr(4)"
    assert run("solve", "--op", op, "--solver", "pinv", "--frames", 2) == 0
    assert Path("linops-video-frames-2-sr-4.png").exists()


def test_ops_describes_an_expression(here, capsys):
    assert run("ops", "mask(0.5) @ blur(gaussian, 1.5)", "--shape", "4,3,16,16", "--seed", 4) == 0
    printed = capsys.readouterr().out
    for words in ("mask(0.5, seed=4) @ blur(gaussian, 1.5)", "4×3×26×26", "not computed: the solve is iterative"):
        assert words in printed
    assert run("ops", "sr(4)", "--shape", "4,3,16,16") == 0
    printed = capsys.readouterr().out
    for words in ("sr4: super resolution", "exact: scalar", "condition number │ 1 "):
        assert words in printed


@pytest.mark.parametrize("command", ["ops", "solve"])
@pytest.mark.parametrize(
    ("op", "words", "pointed"),
    [
        ("sr(2) @ blr(disk, 4, 2)", "did you mean blur", "blr"),
        ("sr(2) @ sr(999)", "at least 999×999", "sr(999)"),
        ("mask(missing.png) @ sr(2)", "no such file: missing.png", "mask"),
        ("sr(2", "never closed", "("),
    ],
)
def test_bad_expressions_are_one_sentence_and_a_pointer(here, capsys, command, op, words, pointed):
    before = sorted(here.iterdir())
    arguments = (op,) if command == "ops" else ("--op", op, "--frames", 1)
    assert run(command, *arguments) == 2
    message, shown, caret = capsys.readouterr().err.rstrip("\n").split("\n")
    assert message.startswith("error: ")
    assert words in message
    assert shown == f"  {op}"
    assert op[caret.index("^") - 2 :].startswith(pointed)
    assert sorted(here.iterdir()) == before
