"""`linops-video solve`: what it writes, and what it refuses."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from linops_video import forward_model
from linops_video.arrays import EIGHT_BIT_NOISE, read_clip, write_array
from linops_video.cli import main
from linops_video.metrics import psnr
from linops_video.video import demo_clip, read_video, write_video

SHAPE = (4, 3, 24, 32)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder to work in, with a short real clip in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    frames = read_video(demo_clip(), frames=SHAPE[0]).frames[..., 40:64, 60:92]
    write_video(tmp_path / "clip.mkv", frames, fps=12)
    return tmp_path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code if isinstance(ended.value.code, int) else 1


def strict(path: Path) -> dict:
    """JSON without NaN and Infinity."""

    def refuse(name: str):
        raise AssertionError(f"{name} in JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_simulated_solve_reports_what_it_wrote(here, capsys):
    code = run(
        *("solve", "clip.mkv", "--simulate", "--op", "sr2", "--solver", "admm-tv", "--seed", 3),
        *("-o", "out.npz", "--json", "report.json", "--figure", "figure.png"),
    )
    assert code == 0
    printed = capsys.readouterr().out
    report, clip, out = strict(here / "report.json"), read_clip("clip.mkv"), read_clip("out.npz")
    assert list(report) == [
        *("op", "solver", "shape", "noise_std", "seed", "psnr", "ssim", "data_misfit", "seconds", "steps", "status"),
        "baselines",
    ]
    assert (report["op"], report["solver"], report["shape"]) == ("sr2", "admm-tv", list(SHAPE))
    assert (report["seed"], report["noise_std"]) == (3, 0)
    assert out.fps == clip.fps == 12
    assert report["psnr"] == pytest.approx(psnr(out.frames, clip.frames).item(), abs=1e-4)
    assert set(report["baselines"]) == {"pinv", "bicubic", "bicubic-consistent"}
    assert report["psnr"] > report["baselines"]["pinv"]["psnr"] + 1
    assert (here / "figure.png").read_bytes().startswith(b"\x89PNG")
    for words in (
        "admm-tv",
        "pinv",
        "bicubic",
        "SSIM",
        "data misfit",
        f"{report['psnr']:.2f}",
        "out.npz",
        "figure.png",
    ):
        assert words in printed


def test_without_input_the_demo_clip_is_solved_and_pictured(here, capsys):
    assert run("solve", "--op", "fi2", "--solver", "pinv", "--frames", 4, "--json", "report.json") == 0
    assert strict(here / "report.json")["shape"] == [4, 3, 144, 176]
    assert (here / "linops-video-fi2.png").stat().st_size > 50_000
    assert "figure: linops-video-fi2.png" in capsys.readouterr().out


@pytest.mark.parametrize(("op", "name"), [("sr2", "y.mkv"), ("fi2", "y.npz"), ("blur", "y.mkv"), ("cs", "y.npz")])
def test_a_measurement_alone_is_reconstructed(here, op, name):
    truth = read_clip("clip.mkv").frames
    if op == "blur":
        full = forward_model("dd", SHAPE).operator(truth)
        measured = full[..., 3:-3, 3:-3]  # the valid part
