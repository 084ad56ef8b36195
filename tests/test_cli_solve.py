"""`linops-video solve`: what it writes, and what it refuses."""

import dataclasses
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from command import run

from linops_video import NormalSolver, forward_model
from linops_video.cli.picture import DPI, GAP, HEADER, LABEL, LEAST, measurement_column
from linops_video.media.arrays import EIGHT_BIT_NOISE, read_clip, write_array
from linops_video.media.video import demo_clip, read_video, write_video
from linops_video.metrics import psnr
from linops_video.solvers import AdmmTV

SHAPE = (4, 3, 24, 32)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder to work in, with a short real clip in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    frames = read_video(demo_clip(), frames=SHAPE[0]).frames[..., 40:64, 60:92]
    write_video(tmp_path / "clip.mkv", frames, fps=12)
    return tmp_path


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
        *("windows", "tiles", "baselines", "fields"),
    ]
    assert (report["op"], report["solver"], report["shape"]) == ("sr2", "admm-tv", list(SHAPE))
    assert (report["seed"], report["noise_std"]) == (3, 0)
    assert out.fps == clip.fps == 12
    assert report["psnr"] == pytest.approx(psnr(out.frames, clip.frames).item(), abs=1e-4)
    assert set(report["baselines"]) == {"pinv", "bicubic", "bicubic-consistent"}
    assert report["psnr"] > report["baselines"]["pinv"]["psnr"] + 1
    assert report["fields"].keys() == {f.name for f in dataclasses.fields(AdmmTV)}
    assert (here / "figure.png").read_bytes().startswith(b"\x89PNG")
    for words in (
        "admm-tv, tuned for sr2 without noise: ",
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
        measured = forward_model("dd", SHAPE).operator(truth)[..., 3:-3, 3:-3]  # its valid part
    else:
        measured = forward_model(op, SHAPE, seed=5).operator(truth)
    if name.endswith("npz"):
        write_array(here / name, "y", measured, fps=7)
    else:
        write_video(here / name, measured, fps=7)
    extra = ("--shape", ",".join(map(str, SHAPE))) if op == "cs" else ()
    arguments = ("solve", name, "--op", op, "--solver", "pinv", "--seed", 5, "-o", "out.npz", "--json", "r.json")
    assert run(*arguments, *extra) == 0
    report, out = strict(here / "r.json"), read_clip("out.npz")
    assert tuple(out.frames.shape) == SHAPE
    assert out.fps == (14 if op == "fi2" else 7)  # every 2nd frame was measured
    assert (report["psnr"], report["ssim"], report["baselines"]) == (None, None, None)
    if name == "y.mkv":
        assert report["noise_std"] >= EIGHT_BIT_NOISE
    else:
        assert report["noise_std"] == 0
        assert report["data_misfit"] < 1e-5


def test_a_masked_clip_comes_with_its_mask(here):
    clip = read_clip("clip.mkv").frames
    mask = torch.ones(1, 1, *SHAPE[-2:])
    mask[..., 8:14, 10:18] = 0
    write_video(here / "mask", mask)
    write_video(here / "masked.mkv", clip * mask, fps=12)
    arguments = ("solve", "masked.mkv", "--op", "bi", "--mask", "mask/00000.png", "-o", "out.mkv", "--noise", 0)
    assert run(*arguments, "--solver", "admm-tv") == 0
    filled, hole = read_clip("out.mkv").frames, mask.expand_as(clip) == 0
    assert (filled - clip)[hole].square().mean() < 0.1 * clip[hole].square().mean()


@pytest.mark.parametrize("out", ["out.mp4", "out.gif", "out.avi", "out"])
def test_every_output_format_keeps_the_frame_rate(here, out):
    assert run("solve", "clip.mkv", "--simulate", "--op", "color", "--solver", "pinv", "-o", out, "--noise", 0.01) == 0
    video = read_video(out)
    assert tuple(video.frames.shape) == SHAPE
    assert video.fps == pytest.approx(25 if out == "out" else 12, rel=0.05)


def test_the_table_of_a_measurement_has_no_empty_columns(here, capsys):
    assert run("solve", "clip.mkv", "--op", "fi2", "--solver", "pinv", "-o", "out.npz") == 0
    out = capsys.readouterr().out
    assert [word for word in ("data misfit", "PSNR", "–") if word in out] == ["data misfit"]


def test_a_measurement_has_a_picture_without_truth(here):
    write_video(here / "small.mkv", read_clip("clip.mkv").frames[..., ::2, ::2])
    assert run("solve", "small.mkv", "--op", "sr2", "--solver", "pinv", "-o", "out.mkv", "--figure", "f.png") == 0
    picture, frames = read_clip("f.png").frames[0], read_clip("out.mkv").frames
    height, width = SHAPE[-2:]
    times = -(-LEAST // width)  # as many pixels across and down for each pixel of the video
    corner = round(DPI * HEADER), round(DPI * (LABEL + 2 * GAP)) + 2 * times * width  # of the third column
    panel = picture[:, corner[0] : corner[0] + times * height, corner[1] : corner[1] + times * width]
    shown = panel[:, times // 2 :: times, times // 2 :: times]
    assert torch.equal(
        shown.repeat_interleave(times, 1).repeat_interleave(times, 2)[..., :40, :40], panel[..., :40, :40]
    )
    same = [(shown - frame).abs().amax(0) < 1.5 / 255 for frame in frames]
    assert max(float(s.double().mean()) for s in same) > 0.9  # but for the frame around what is enlarged


@pytest.mark.parametrize(
    ("op", "note"),
    [
        ("every(2)", "2 of 4"),
        ("0.5 * every(2)", "2 of 4"),
        ("average(4)", "1 from 4"),
        ("shutter(3, 1)", "2 from 4"),
        ("sr(2) @ every(2)", "2 of 4"),
        ("grayscale @ every(2)", "2 of 4"),
    ],
)
def test_a_picture_shows_fewer_frames_as_bright_as_the_video(op, note):
    video = torch.tensor([0.3, 0.5, 0.7]).view(3, 1, 1).expand(SHAPE)
    video = video.mean(1, keepdim=True).expand(SHAPE) if "grayscale" in op else video
    column = measurement_column(forward_model(op, SHAPE).measure(video))
    assert f", {note} frames" in column.note
    shown = [(t, frame) for t, frame in enumerate(column.frames) if frame is not None]
    assert [t for t, _ in shown] == ([0, 2] if "every" in op else [0, 1, 2, 3])
    for t, frame in shown:
        assert torch.allclose(frame, video[t], atol=1e-6)


def test_a_picture_of_differences_says_of_no_frame_that_it_is_not_measured():
    column = measurement_column(forward_model("difference(t)", SHAPE).measure(torch.rand(SHAPE)))
    assert None not in column.frames


@pytest.mark.parametrize(
    ("op", "simulated", "shown"),
    [
        ("pid", ["--simulate"], ["truth", "measurement", "admm-tv", "tikhonov"]),
        ("fi2", ["--simulate"], ["truth", "measurement", "motion", "tikhonov"]),
        ("fi2", [], ["measurement", "hold", "tikhonov"]),
        ("blur(box, 3, valid)", [], ["measurement", "tikhonov"]),
    ],
)
def test_a_picture_shows_an_interpolation_or_else_the_best_baseline(here, monkeypatch, op, simulated, shown):
    """Without the truth, nothing where there is no interpolation: A⁺ of a noisy blur is noise, and takes long."""
    titles = []
    monkeypatch.setattr(
        "linops_video.cli.clip.save_figure", lambda _, columns, *__: titles.extend(c.title for c in columns)
    )
    assert (
        run("solve", "clip.mkv", *simulated, "--op", op, "--solver", "tikhonov", "--figure", "f.png", "-o", "out.npz")
        == 0
    )
    assert titles == shown


def test_numbers_that_are_not_finite_are_null_in_json(here):
    """An identity without noise is reconstructed exactly: its PSNR is infinite."""
    arguments = ("--simulate", "--op", "denoise", "--noise", 0, "--solver", "pinv", "--json", "r.json")
    assert run("solve", "clip.mkv", *arguments) == 0
    assert strict(here / "r.json")["psnr"] is None


def test_small_frames_have_no_ssim(here, capsys):
    write_array(here / "tiny.npz", "x", torch.rand(4, 1, 8, 8))
    assert run("solve", "tiny.npz", "--simulate", "--op", "sr2", "--solver", "pinv", "--json", "r.json") == 0
    assert strict(here / "r.json")["ssim"] is None
    assert "SSIM" not in capsys.readouterr().out


def test_equal_seeds_give_equal_results(here):
    for seed, name in ((1, "a"), (1, "b"), (2, "c")):
        arguments = ("--simulate", "--op", "pid", "--solver", "pinv", "--seed", seed, "-o", f"{name}.npz")
        assert run("solve", "clip.mkv", *arguments) == 0
    a, b, c = (read_clip(f"{name}.npz").frames for name in "abc")
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize("command", [("solve", "--solver", "hqs"), ("tune", "--fields", "weight")], ids=lambda c: c[0])
def test_solvers_that_are_compared_share_the_set_up(here, monkeypatch, command):
    """An eigendecomposition for all of them: minutes for the random matrix of a larger clip."""
    made, of = [], NormalSolver.of
    monkeypatch.setattr(NormalSolver, "of", staticmethod(lambda A, *rest: made.append(A) or of(A, *rest)))
    assert run(*command, "clip.mkv", "--simulate", "--op", "vcs", "--frames", 4) == 0
    assert len(made) == 1


# --- refusals ----------------------------------------------------------------------------------------------------

SIMULATE = ("clip.mkv", "--simulate", "--solver", "pinv")

REFUSALS = {
    "missing file": (("no.mp4", "--simulate", "--op", "sr2"), "no such file: no.mp4"),
    "missing measurement": (("no.npz", "--op", "sr2", "-o", "out.mkv"), "no such file: no.npz"),
    "not a video": (("text.mp4", "--simulate", "--op", "sr2"), "not a video"),
    "empty clip": (("empty", "--simulate", "--op", "sr2"), "no PNG or JPEG files"),
    "wrong size": (("bytes.npz", "--op", "vcs", "--shape", "4,3,24,32", "-o", "out.mkv"), "vcs measures a video"),
    "too few frames": ((*SIMULATE, "--op", "fi4", "--frames", "2"), "every(4) needs at least 4 frames, got 2"),
    "unknown op": ((*SIMULATE, "--op", "sr5"), "unknown name 'sr5': did you mean sr, sr4 or sr2"),
    "unknown solver": (("clip.mkv", "--simulate", "--op", "sr2", "--solver", "amdm-tv"), "did you mean admm-tv"),
    "a solver with its fields": (
        ("clip.mkv", "--simulate", "--op", "sr2", "--solver", "admm-tv(weight=0.1)"),
        "its fields apart",
    ),
    "NaN": (("nan.npz", "--op", "sr2", "-o", "out.mkv"), "NaN or infinite"),
    "true values up to 255": (("floats.npz", "--simulate", "--op", "sr2"), "values from 0 to 255"),
    "measured values up to 255": (("floats.npz", "--op", "sr2", "-o", "out.mkv"), "divide 8-bit values by 255"),
    "channels last": (("last.npz", "--simulate", "--op", "sr2"), "x.transpose(0, 3, 1, 2)"),
    "negative noise": ((*SIMULATE, "--op", "sr2", "--noise", "-1"), "--noise is a standard deviation, 0 or more, not"),
    "infinite noise": ((*SIMULATE, "--op", "sr2", "--noise", "inf"), "--noise is a standard deviation"),
    "noise beyond all values": ((*SIMULATE, "--op", "sr2", "--noise", "1e30"), "values of a video lie in [0, 1]"),
    "a single number": (("scalar.npy", "--op", "denoise", "-o", "out.mkv"), "is a single number"),
    "a frame rate in words": (("words.npz", "--op", "denoise", "-o", "out.mkv"), "one positive number of frames per"),
    "no frame rate": (("still.npz", "--op", "denoise", "-o", "out.mkv"), "one positive number of frames per second"),
    "channels that no video has": (("four.npy", "--op", "denoise", "-o", "out.mkv"), "C = 1 or 3, not (4, 4, 16, 16)"),
    "no frames named": (("clip.mkv", "--op", "frames", "-o", "out.mkv"), "frames takes numbers of frames"),
    "no number": ((*SIMULATE, "--op", "sr2", "--noise", "loud"), "--noise"),
    "no op": (SIMULATE, "--op"),
    "the input as the output": (
        (*SIMULATE, "--op", "sr2", "-o", "./clip.mkv"),
        "clip.mkv is an input",
    ),
    "the input as the report": (
        ("bytes.npz", "--op", "sr2", "-o", "x.npz", "--json", "bytes.npz"),
        "is an input or another output",
    ),
    "shape of a clip": ((*SIMULATE, "--op", "sr2", "--shape", "4,3,8,8"), "--shape is that of the video behind"),
    "no output": (("clip.mkv", "--op", "sr2"), "-o FILE"),
    "no folder": ((*SIMULATE, "--op", "sr2", "-o", "no/out.mp4"), "the folder no does not exist"),
    "no folder for the figure": ((*SIMULATE, "--op", "sr2", "--figure", "no/f.png"), "the folder no does not exist"),
    "no folder for the report": ((*SIMULATE, "--op", "sr2", "--json", "no/r.json"), "the folder no does not exist"),
    "unknown format": ((*SIMULATE, "--op", "sr2", "-o", "out.webm"), ".mp4, .mkv"),
    "figure format": ((*SIMULATE, "--op", "sr2", "--figure", "f.jpg"), ".png"),
    "unknown option": ((*SIMULATE, "--op", "sr2", "--fast"), "--fast"),
    "bad shape": (("bytes.npz", "--op", "cs", "-o", "out.mkv", "--shape", "8,3"), "T,C,H,W"),
    "missing shape": (("bytes.npz", "--op", "cs", "-o", "out.mkv"), "--shape"),
    "bad device": ((*SIMULATE, "--op", "sr2", "--device", "tpu"), "auto, cpu or cuda"),
    "no weights in pinv": ((*SIMULATE, "--op", "sr2", "--weights", "w.safetensors"), "weights"),
    "missing weights": (
        ("clip.mkv", "--simulate", "--op", "sr2", "--solver", "videoonet", "--weights", "no.safetensors"),
        "no.safetensors",
    ),
    "mask of another problem": ((*SIMULATE, "--op", "sr2", "--mask", "clip.mkv"), "a mask goes with"),
    "negative seed": ((*SIMULATE, "--op", "sr2", "--seed", "-1"), "--seed is a whole number, 0 or more and below"),
    "no frames wanted": ((*SIMULATE, "--op", "sr2", "--frames", "0"), "frames must be at least 1"),
}


def test_names_and_numbers_that_are_not_plain(here, capsys):
    (here / "clip.mkv").rename(here / "12:30.mkv")
    assert run("solve", "12:30.mkv", "--op", "sr2", "--solver", "pinv", "-o", "a:b.mkv") == 0
    complex_op = ("--op", "fourier(h, w)", "--solver", "admm-tv")
    assert run("solve", "a:b.mkv", "--simulate", *complex_op, "--figure", "f.png", "-o", "X.NPZ") == 0
    assert np.load("X.NPZ")["x"].dtype == np.float32
    assert "Casting complex" not in capsys.readouterr().err


@pytest.mark.parametrize("name", REFUSALS)
def test_bad_input_is_one_sentence_and_leaves_nothing(here, capsys, name):
    arguments, words = REFUSALS[name]
    (here / "text.mp4").write_text("no video\n" * 40)
    (here / "empty").mkdir()
    np.savez(here / "nan.npz", y=np.full((4, 3, 8, 8), math.nan))
    np.savez(here / "bytes.npz", y=np.zeros(50, np.uint8))
    np.savez(here / "floats.npz", np.linspace(0, 255, 1152).reshape(2, 3, 12, 16))
    np.savez(here / "last.npz", np.zeros((2, 12, 16, 3)))
    np.save(here / "scalar.npy", np.float32(0.5))
    np.save(here / "four.npy", np.full((4, 4, 16, 16), 0.5, np.float32))
    np.savez(here / "words.npz", y=np.zeros((2, 3, 8, 8)), fps="many")
    np.savez(here / "still.npz", y=np.zeros((2, 3, 8, 8)), fps=0.0)
    before = sorted(here.rglob("*"))
    assert run("solve", *arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert sorted(here.rglob("*")) == before


def test_a_read_only_folder_is_refused(here, capsys):
    folder = here / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    here.chmod(0o755)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)  # root may write anywhere
        code = run("solve", *SIMULATE, "--op", "sr2", "-o", "locked/out.mp4")
    finally:
        os.seteuid(user)
    assert code == 2
    assert "cannot write locked/out.mp4: permission denied" in capsys.readouterr().err
    assert list(folder.iterdir()) == []
