"""`linops-video tune`, and `solve --config`, which takes what it found."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from command import run
from videos import smooth_video

from linops_video import forward_model
from linops_video.metrics import psnr
from linops_video.solvers import solve


@pytest.fixture(autouse=True)
def wide(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def clips():
    """Three clips, 8 bits."""
    return [(255 * scale * smooth_video(4, 3, 16)).round() / 255 for scale in (0.9, 0.5, 0.7)]


def save_archive(path):
    """Of the three the first and the last are for validation."""
    video = np.stack([(255 * x).round().byte().permute(0, 2, 3, 1).numpy() for x in clips()])
    np.savez(path, video=video, split=np.array(["val", "train", "val"]))


def measured(x, noise_std):
    return replace(forward_model("sr2", tuple(x.shape)), noise_std=noise_std).measure(x)


@pytest.mark.parametrize("chosen", [(), ("--split", "all", "--clips", 2)])  # both the first and the last
def test_true_clips_choose_the_fields_with_the_best_psnr(chosen, tmp_path, capsys):
    save_archive("clips.npz")
    assert run("tune", "clips.npz", *chosen, "--op", "sr2", "--noise", 0.05, "--json", "found.json") == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["solver"], found["criterion"], found["clips"]) == ("admm-tv", "psnr", 2)
    best = max(found["trials"], key=lambda trial: trial["psnr"])
    assert found["fields"] == {"weight": best["weight"], "rho": best["rho"]}
    printed = capsys.readouterr().out
    assert "2 clip(s) of 4×3×16×16" in printed
    assert f"{best['psnr']:.2f}" in printed

    def mean(**fields):
        pairs = [(measured(x, 0.05), x) for x in (clips()[0], clips()[2])]
        return sum(psnr(solve(problem, "admm-tv", **fields).x, x).item() for problem, x in pairs) / 2

    assert mean(**found["fields"]) == pytest.approx(best["psnr"], abs=1e-3)
    assert mean() == pytest.approx(found["trials"][0]["psnr"], abs=1e-3)  # first what `solve` takes by itself


def test_a_measurement_is_tuned_by_its_noise_and_solved_with_what_was_found(tmp_path, capsys):
    problem = measured(smooth_video(4, 3, 16), 0.05)
    np.savez("measured.npz", y=problem.y.numpy())
    command = ("measured.npz", "--op", "sr2", "--noise", 0.05)
    assert run("tune", *command, "--json", "found.json") == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["criterion"] == "misfit over noise"
    ratios = [abs(math.log(trial["misfit over noise"])) for trial in found["trials"]]
    best = found["trials"][ratios.index(min(ratios))]
    assert found["fields"] == {"weight": best["weight"], "max_steps": 300}
    assert best["misfit over noise"] == pytest.approx(1, abs=0.15)
    done = ("solve", *command, "--solver", "admm-tv", "--config", "found.json", "-o", "x.npz", "--json", "report.json")
    assert run(*done) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["data_misfit"] == pytest.approx(0.05 * best["misfit over noise"], rel=1e-3)
    x = solve(problem, "admm-tv", **found["fields"]).x
    np.testing.assert_allclose(np.load("x.npz")["x"], x.numpy(), atol=1e-5)


def test_steps_are_whole_numbers(tmp_path):
    np.savez("clip.npz", x=smooth_video(2, 1, 16).numpy())
    command = ("tune", "clip.npz", "--simulate", "--op", "dd", "--noise", 0.02, "--solver", "cgls")
    assert run(*command, "--fields", "max_steps", "--json", "found.json") == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert isinstance(found["fields"]["max_steps"], int)
    assert found["fields"]["max_steps"] < 50  # of 100: noise makes one stop early


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("tune", "y.npz", "--op", "sr2"), "needs the noise of every problem"),
        (("tune", "y.npz", "--op", "sr2", "--solver", "fista", "--noise", 0.1), "Fista has no weight: say what"),
        (("tune", "y.npz", "--op", "sr2", "--fields", "lam", "--noise", 0.1), "AdmmTV has no field lam"),
        (("tune", "y.npz", "--op", "sr2", "--fields", ",", "--noise", 0.1), "--fields names none"),
        (("tune", "y.npz", "--op", "sr2", "--fields", "balance", "--noise", 0.1), "balance = False cannot be tuned"),
        (("tune", "y.npz", "--op", "sr2", "--noise", -1), "--noise is a standard deviation"),
        (("tune", "clips.npz", "--op", "sr2", "--split", "test"), "test"),
        (("tune", "none.npz", "--op", "sr2"), "none.npz"),
        (("tune", "broken.npz", "--op", "sr2"), "cannot read broken.npz"),
        (("solve", "y.npz", "--op", "sr2", "-o", "x.npz", "--config", "none.json"), "no such file: none.json"),
        (("solve", "y.npz", "--op", "sr2", "-o", "x.npz", "--config", "y.npz"), "cannot read y.npz as JSON"),
        (("solve", "y.npz", "--op", "sr2", "-o", "x.npz", "--config", "list.json"), "must hold a JSON object"),
        (("solve", "y.npz", "--op", "sr2", "-o", "x.npz", "--config", "empty.json"), "must hold fields of the solver"),
        (("solve", "y.npz", "--op", "sr2", "-o", "x.npz", "--config", "other.json"), "give --solver tikhonov"),
        (
            ("solve", "y.npz", "--op", "sr2", "-o", "x.npz", "--config", "text.json", "--solver", "admm-tv"),
            "weight in text.json must be a number, not 'much'",
        ),
    ],
)
def test_bad_input_is_told_in_a_sentence(tmp_path, capsys, command, words):
    save_archive("clips.npz")
    np.savez("y.npz", y=np.zeros((2, 3, 8, 8), np.float32))
    files = {"list": [1], "empty": {}, "other": {"solver": "tikhonov", "fields": {"weight": 1.0}}}
    for name, content in (files | {"text": {"fields": {"weight": "much"}}}).items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    before = set(tmp_path.iterdir())
    assert run(*command) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert words in error
    assert len(error.splitlines()) == 1
    assert set(tmp_path.iterdir()) == before
