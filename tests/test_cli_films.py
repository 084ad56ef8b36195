"""`linops-video solve` on films of many windows and on folders: what is written, resumed, and refused."""

import errno
import json
import os
import re
import runpy
import sys
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from command import run
from test_encoding import add_sound, clip, sound_of

from linops_video.cli import clip as clip_command
from linops_video.cli import main
from linops_video.films.parts import Parts
from linops_video.media.arrays import write_array
from linops_video.media.video import pixel_aspect, read_video, write_video
from linops_video.solvers.film import WINDOW

FRAMES = 2 * WINDOW - 4


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder to work in, with a film of three windows in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    write_video(tmp_path / "film.mkv", clip(FRAMES, 16, 24), fps=12)
    return tmp_path


SOLVE = ("--op", "sr2", "--solver", "pinv")


def test_a_film_is_solved_in_windows_and_scored(here, capsys):
    assert run("solve", "film.mkv", "--simulate", *SOLVE, "-o", "out.mkv", "--json", "r.json") == 0
    report, out = json.loads((here / "r.json").read_text()), read_video("out.mkv")
    assert (report["windows"], report["tiles"], report["shape"]) == (3, 1, [FRAMES, 3, 16, 24])
    assert (report["status"], report["steps"]) == ("direct", 0)
    assert list(report["baselines"]) == ["bicubic", "bicubic-consistent", "admm-tv"]
    truth = read_video("film.mkv").frames
    error = -10 * torch.log10((out.frames - truth).double().square().mean())
    assert report["psnr"] == pytest.approx(error.item(), abs=0.05)  # the file is rounded
    assert report["ssim"] is not None
    assert out.fps == 12
    assert "in 3 windows" in capsys.readouterr().out
    assert sorted(p.name for p in here.iterdir()) == ["film.mkv", "out.mkv", "r.json"]


@pytest.mark.parametrize("op", ["sr2", "fi2", "tdd"])
def test_a_measured_film_is_reconstructed_with_its_sound(here, op):
    add_sound(here / "film.mkv", here / "loud.mkv", seconds=20)
    assert run("solve", "loud.mkv", "--op", op, "--solver", "pinv", "-o", "out.mkv", "--seed", 1) == 0
    out = read_video("out.mkv")
    frames, height = {"sr2": (FRAMES, 32), "fi2": (2 * FRAMES, 16), "tdd": (FRAMES - 3, 16)}[op]
    assert (len(out.frames), out.frames.shape[-2], out.fps) == (frames, height, 24 if op == "fi2" else 12)
    seconds = frames / out.fps
    assert sound_of(here / "out.mkv")[-1][0] == pytest.approx(seconds, abs=0.2)


def test_a_film_tells_what_its_solver_was_tuned_for(here, capsys):
    (here / "few.json").write_text('{"fields": {"max_steps": 2}}')
    options = ("--op", "sr2", "--solver", "admm-tv", "--config", "few.json", "-o", "out.mkv", "--json", "r.json")
    assert run("solve", "film.mkv", *options) == 0
    assert "admm-tv, tuned for sr2 without noise; max_steps as given: max_steps=2, tol=" in " ".join(
        capsys.readouterr().out.split()
    )
    report = json.loads((here / "r.json").read_text())
    assert (report["fields"]["max_steps"], report["steps"], report["baselines"]) == (2, 2, None)


@pytest.mark.parametrize("frames", [4, FRAMES])
def test_pixels_keep_their_shape(here, frames):
    write_video("wide.mp4", clip(frames, 16, 24), 12, aspect=Fraction(64, 45))
    assert run("solve", "wide.mp4", *SOLVE, "-o", "out.mp4") == 0
    assert pixel_aspect("out.mp4") == Fraction(64, 45)


def test_the_bar_of_windows_shows_the_residual(here, monkeypatch):
    seen = []

    @contextmanager
    def noting(*_: object):
        yield lambda done, name=None: seen.append((done, name))

    monkeypatch.setattr("linops_video.cli.films.bar", noting)
    assert run("solve", "film.mkv", "--op", "sr2", "--solver", "cgls", "-o", "out.mkv") == 0
    assert [done for done, _ in seen if done is not None] == [1, 2, 3]
    assert all(re.fullmatch(r"film.mkv: windows, residual \d.\de[+-]\d\d", name) for done, name in seen if done is None)
    assert len(seen) >= 6


def test_a_clip_keeps_its_sound_too(here):
    add_sound(here / "film.mkv", here / "loud.mkv", seconds=6)
    assert run("solve", "loud.mkv", *SOLVE, "-o", "out.mp4", "--frames", 12) == 0
    assert sound_of(here / "out.mp4")[-1][0] == pytest.approx(1, abs=0.2)


class Killed(BaseException):
    """What no `except Exception` catches, as a kill."""


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4", "out.npz"])
def test_a_killed_run_goes_on_at_the_last_finished_window(here, monkeypatch, capsys, name):
    (here / "few.json").write_text('{"fields": {"max_steps": 3}}')
    arguments = ("solve", "film.mkv", "--simulate", "--op", "pid", "--config", "few.json", "--solver", "admm-tv", "-o")
    assert run(*arguments, f"whole-{name}") == 0
    add, calls = Parts.add, []

    def killed_at_the_third(parts, frames, state):
        calls.append(state.windows)
        if len(calls) == 3:
            raise Killed
        add(parts, frames, state)

    monkeypatch.setattr(Parts, "add", killed_at_the_third)
    with pytest.raises(Killed):
        main([str(a) for a in (*arguments, name)])
    assert (here / f"{name}.parts").is_dir()
    assert not (here / name).exists()
    capsys.readouterr()
    assert run(*arguments, name) == 0
    assert calls == [1, 2, 3, 3]
    assert "2 of 3 windows are done already" in capsys.readouterr().out
    assert not (here / f"{name}.parts").exists()
    if name == "out.npz":
        import numpy as np

        with np.load(name) as a, np.load(f"whole-{name}") as b:
            assert np.array_equal(a["x"], b["x"])
    else:
        assert torch.equal(read_video(name).frames, read_video(f"whole-{name}").frames)


def test_a_run_that_is_killed_with_its_folder_in_place_goes_on(here, monkeypatch, capsys):
    arguments = ("solve", "film.mkv", "--simulate", *SOLVE, "-o", "out")

    def killed(_: Path, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise Killed

    monkeypatch.setattr("linops_video.films.parts.shutil", SimpleNamespace(rmtree=killed))
    with pytest.raises(Killed):
        main([*arguments])
    monkeypatch.undo()
    os.chdir(here)
    assert len(list((here / "out").iterdir())) == FRAMES
    assert run("solve", "film.mkv", "--simulate", "--op", "sr4", "--solver", "pinv", "-o", "out") == 2
    assert "it is a folder with something in it" in capsys.readouterr().err
    (here / "out").rename(here / "old")
    monkeypatch.setattr("linops_video.films.parts.shutil", SimpleNamespace(rmtree=killed))
    with pytest.raises(Killed):
        main([*arguments])
    monkeypatch.undo()
    os.chdir(here)
    assert run(*arguments) == 0
    assert "reconstruction: out" in capsys.readouterr().out
    assert not (here / "out.parts").exists()
    assert run(*arguments) == 2


def test_parts_that_are_gone_are_told(here, capsys, monkeypatch):
    monkeypatch.setattr(Parts, "finish", lambda *_: None)
    assert run("solve", "film.mkv", *SOLVE, "-o", "out.mkv") == 2
    assert "cannot be read from out.mkv.parts: run again" in capsys.readouterr().err


def test_parts_of_another_run_are_not_used(here, monkeypatch):
    def stop(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(Parts, "finish", stop)
    with pytest.raises(Killed):
        main(["solve", "film.mkv", "--simulate", *SOLVE, "-o", "out.mkv"])
    monkeypatch.undo()
    os.chdir(here)
    assert run("solve", "film.mkv", "--simulate", "--op", "sr4", "--solver", "pinv", "-o", "out.mkv") == 0
    assert run("solve", "film.mkv", "--simulate", "--op", "sr4", "--solver", "pinv", "-o", "new.mkv") == 0
    assert torch.equal(read_video("out.mkv").frames, read_video("new.mkv").frames)


REFUSALS = {
    "whole-film measurements": (("film.mkv", "--simulate", "--op", "cs", "--solver", "pinv"), "see the whole film"),
    "figure": (("film.mkv", "--simulate", *SOLVE, "--figure", "f.png"), "--figure shows clips of at most 32 frames"),
    "frames missing": (("film.mkv", "--op", "fp75", "--solver", "pinv", "-o", "out.mkv"), "177 frames are missing at"),
    "wrong shape": (
        ("film.mkv", "--op", "sr2", "--solver", "pinv", "--shape", "9,3,32,48", "-o", "out.mkv"),
        "sr2 measures 9 frames as 9, but this film has 60",
    ),
    "unknown solver": (
        ("film.mkv", "--simulate", "--op", "sr2", "--solver", "amdm-tv", "-o", "out.mkv"),
        "did you mean admm-tv",
    ),
    "sound": (("opus.mkv", "--simulate", *SOLVE, "-o", "out.avi"), "cannot hold the sound"),
    "sound of a clip": (("opus.mkv", "--simulate", *SOLVE, "--frames", 4, "-o", "out.avi"), "cannot hold the sound"),
    "no folder to write": (("films", *SOLVE, "-o", "out.mkv"), "-o needs a folder to write to"),
    "the same folder": (("films", *SOLVE, "-o", "films"), "-o needs another folder"),
    "report of a folder": (("films", *SOLVE, "-o", "out", "--json", "r.json"), "go with one file"),
    "values up to 255": (("floats.npz", *SOLVE, "-o", "out.mkv"), "divide 8-bit values by 255"),
    "films and images": (("both", *SOLVE, "-o", "out"), "both holds films (a.mkv) and images (cover.png)"),
    "a short mask": (
        ("film.mkv", "--simulate", "--op", "bi", "--solver", "pinv", "--mask", "mask.mkv", "-o", "out.mkv"),
        "the mask mask.mkv has 50 frames, and the film 60",
    ),
    "nowhere to write": (("films", *SOLVE, "-o", "no/out"), "cannot write no/out: the folder no does not exist"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_bad_input_is_one_sentence_and_leaves_nothing(here, capsys, monkeypatch, name):
    arguments, words = REFUSALS[name]
    monkeypatch.setattr(
        "linops_video.cli.films.ONE_PIECE", 3 * 32 * 8 * 8
    )  # so that the film is too large to be solved whole
    (here / "films").mkdir()
    write_video(here / "films" / "a.mkv", clip(4, 16, 24))
    write_video(here / "mask.mkv", clip(50, 16, 24) + 0.5)
    write_video(here / "both", clip(1, 16, 24))
    (here / "both" / "00000.png").rename(here / "both" / "cover.png")
    write_video(here / "both" / "a.mkv", clip(4, 16, 24))
    if name.startswith("sound"):
        add_sound(here / "film.mkv", here / "opus.mkv", 5, "opus")
    write_array(here / "floats.npz", "y", 255 * clip(60, 8, 8))
    before = sorted(here.rglob("*"))
    assert run("solve", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert words in error
    assert error.count("\n") == 1
    assert sorted(here.rglob("*")) == before


def test_a_small_film_that_cannot_be_cut_is_solved_whole(here):
    write_array(here / "tiny.npz", "x", clip(36, 8, 8))
    assert run("solve", "tiny.npz", "--simulate", "--op", "cs", "--solver", "pinv", "--json", "r.json") == 0
    assert json.loads((here / "r.json").read_text())["windows"] == 1


# --- folders -----------------------------------------------------------------------------------------------------


@pytest.fixture
def films(here) -> Path:
    folder = here / "films"
    folder.mkdir()
    for number in (1, 2, 10):
        write_video(folder / f"{number}.mkv", clip(4 + number, 16, 24), fps=12)
    write_video(folder / "loop.gif", clip(5, 16, 24), fps=10)
    (folder / "notes.txt").write_text("not a film")
    return folder


def test_every_film_of_a_folder_is_solved(films, capsys):
    assert run("solve", "films", *SOLVE, "-o", "out") == 0
    assert sorted(p.name for p in Path("out").iterdir()) == ["1.mkv", "10.mkv", "2.mkv", "loop.gif"]
    assert tuple(read_video("out/10.mkv").frames.shape) == (14, 3, 32, 48)
    printed = capsys.readouterr().out
    assert printed.index("out/1.mkv") < printed.index("out/2.mkv") < printed.index("out/10.mkv")


def test_a_film_that_fails_is_named_and_the_others_are_solved(films, capsys):
    (films / "2.mkv").write_text("not a video")
    assert run("solve", "films", *SOLVE, "-o", "out") == 1
    assert sorted(p.name for p in Path("out").iterdir()) == ["1.mkv", "10.mkv", "loop.gif"]
    error = capsys.readouterr().err
    assert error.startswith("error: films/2.mkv is not a video that FFmpeg can decode")
    assert error.count("\n") == 1


def test_a_disk_that_is_full_stops_no_other_film(films, capsys, monkeypatch):
    write = clip_command.write_video

    def full(path, *arguments):
        if path.name == "2.mkv":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, *arguments)

    monkeypatch.setattr(clip_command, "write_video", full)
    assert run("solve", "films", *SOLVE, "-o", "out") == 1
    assert sorted(p.name for p in Path("out").iterdir()) == ["1.mkv", "10.mkv", "loop.gif"]
    assert capsys.readouterr().err.startswith("error: films/2.mkv: [Errno 28] No space left")


def test_two_films_that_would_become_one_are_refused(films, capsys):
    for name in ("a.mov", "a.mov.mp4"):
        write_video(films / "a.mp4", clip(4, 16, 24))
        (films / "a.mp4").rename(films / name)
    assert run("solve", "films", *SOLVE, "-o", "out") == 2
    assert "a.mov and a.mov.mp4 would both become a.mov.mp4" in capsys.readouterr().err
    assert not Path("out").exists()


def test_what_is_there_already_is_left_alone(films, capsys):
    Path("out").mkdir()
    (Path("out") / "2.mkv").write_text("done")
    assert run("solve", "films", *SOLVE, "-o", "out") == 0
    assert (Path("out") / "2.mkv").read_text() == "done"
    assert "out/2.mkv is there already" in capsys.readouterr().out


def test_processes_share_the_files(films, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert run("solve", "films", *SOLVE, "-o", "out") == 0
    assert sorted(p.name for p in Path("out").iterdir()) == ["2.mkv", "loop.gif"]
    monkeypatch.setenv("RANK", "0")
    assert run("solve", "films", *SOLVE, "-o", "out") == 0
    assert sorted(p.name for p in Path("out").iterdir()) == ["1.mkv", "10.mkv", "2.mkv", "loop.gif"]


@pytest.mark.parametrize("inputs", ["film.mkv", "films"])
def test_processes_share_the_windows_of_one_film(here, monkeypatch, capsys, inputs):
    assert run("solve", "film.mkv", *SOLVE, "--simulate", "-o", "whole.mkv", "--json", "whole.json") == 0
    out, target = ("out.mkv", "out.mkv") if inputs == "film.mkv" else ("out", "out/film.mkv")
    if inputs == "films":
        (here / "films").mkdir()
        (here / "films" / "film.mkv").write_bytes((here / "film.mkv").read_bytes())
    monkeypatch.setenv("WORLD_SIZE", "2")
    report = () if inputs == "films" else ("--json", "out.json")
    for rank in (1, 0):
        monkeypatch.setenv("RANK", str(rank))
        assert run("solve", inputs, *SOLVE, "--simulate", "-o", out, *report) == 0
        assert ("others are with other processes" in capsys.readouterr().out) == (rank == 1)
        assert Path(target).exists() == (rank == 0)
    assert torch.equal(read_video(target).frames, read_video("whole.mkv").frames)
    assert not Path(f"{target}.parts").exists()
    if report:
        told, expected = (json.loads(Path(name).read_text()) for name in ("out.json", "whole.json"))
        assert told.pop("seconds") > 0
        assert expected.pop("seconds") > 0
        for report in (told, expected):
            report |= {name: entry["psnr"] for name, entry in report.pop("baselines").items()}
        numbers = {key: value for key, value in expected.items() if isinstance(value, float)}
        assert {"psnr", "ssim", "data_misfit", "bicubic", "admm-tv"} <= set(numbers)
        assert told == expected | {key: pytest.approx(value, rel=1e-9) for key, value in numbers.items()}


def test_of_several_processes_one_solves_a_clip(here, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in (1, 0):
        monkeypatch.setenv("RANK", str(rank))
        assert run("solve", "film.mkv", "--frames", 4, *SOLVE, "-o", "out.mkv") == 0
        assert Path("out.mkv").exists() == (rank == 0)


def test_of_several_processes_one_scores_a_film_that_is_not_written(here, monkeypatch):
    assert run("solve", "film.mkv", *SOLVE, "--simulate", "--json", "alone.json") == 0
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in (1, 0):
        monkeypatch.setenv("RANK", str(rank))
        assert run("solve", "film.mkv", *SOLVE, "--simulate", "--json", "out.json") == 0
        assert Path("out.json").exists() == (rank == 0)
    told, expected = (json.loads(Path(name).read_text()) for name in ("out.json", "alone.json"))
    assert told["psnr"] == pytest.approx(expected["psnr"], rel=1e-9)


def test_torchrun_finds_the_module(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["linops_video.cli", "--version"])
    monkeypatch.delitem(sys.modules, "linops_video.cli.__main__", raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("linops_video.cli", run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("linops-video ")


def test_hidden_files_are_left_alone(here):
    write_video(here / "images", clip(2, 16, 24))
    (here / "images" / "._00000.png").write_text("no image")
    assert run("solve", "images", *SOLVE, "-o", "out.mkv") == 0
    (here / "more").mkdir()
    (here / "film.mkv").rename(here / "more" / "film.mkv")
    (here / "more" / "._film.mkv").write_text("no film")
    (here / "v1.2").mkdir()
    assert run("solve", "more", *SOLVE, "-o", "v1.2") == 0
    assert [path.name for path in (here / "v1.2").iterdir()] == ["film.mkv"]


def test_a_film_that_is_measured_backwards_is_solved_whole(here, capsys):
    assert run("solve", "film.mkv", "--op", "flip(t)", "--solver", "pinv", "-o", "out.mkv") == 0
    torch.testing.assert_close(read_video("out.mkv").frames, read_video("film.mkv").frames.flip(0), rtol=0, atol=0.01)


def test_a_folder_of_images_is_one_film(here):
    write_video(here / "images", clip(WINDOW + 4, 16, 24))
    assert run("solve", "images", *SOLVE, "-o", "out.mkv") == 0
    assert tuple(read_video("out.mkv").frames.shape) == (WINDOW + 4, 3, 32, 48)
