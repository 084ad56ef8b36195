"""`linops-video evaluate` and `figure`: tables, JSON and pictures of the right numbers."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command import run
from originals import write_arrays, write_idx

from linops_video import forward_model
from linops_video.cli.comparison import Comparison
from linops_video.cli.sheet import save_sheet, strips
from linops_video.datasets import dataset
from linops_video.datasets.table1 import PUBLISHED, table1_problems
from linops_video.media.video import read_video
from linops_video.metrics import psnr
from linops_video.solvers import AdmmWavelet, solve
from linops_video.solvers.evaluation import CAP, Result, evaluate, example

KEYS = {"psnr_mean", "psnr_median", "psnr_std", "ssim_mean", "seconds_per_video", "videos"}


@pytest.fixture(autouse=True)
def wide(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")


def archive(path: Path, clips: int = 3) -> None:
    video = np.random.default_rng(0).integers(0, 255, (clips, 6, 16, 16, 3), dtype=np.uint8)
    write_arrays(path, {"video": video, "split": np.array(["train"] + ["test"] * (clips - 1))})


def digits(count: int = 6) -> None:
    """A folder mnist with test digits that look a little like ones."""
    Path("mnist").mkdir()
    images = np.zeros((count, 28, 28), np.uint8)
    images[:, 5:22, 12:16] = np.random.default_rng(1).integers(100, 255, (count, 17, 4))
    write_idx(Path("mnist/t10k-images-idx3-ubyte.gz"), images)


def test_the_json_is_what_is_promised(capsys):
    archive(Path("data.npz"))
    arguments = ("--solvers", "pinv,bicubic", "--problems", "sr2,dd", "--frames", 4, "--json", "out.json")
    assert run("evaluate", "--data", "data.npz", *arguments) == 0
    printed = capsys.readouterr().out
    report = json.loads(Path("out.json").read_text())
    assert set(report) == {"data", "split", "limit", "results"}
    assert (report["data"], report["split"], report["limit"]) == ("data.npz", "test", None)
    assert {solver: set(cells) for solver, cells in report["results"].items()} == {
        "pinv": {"sr2", "dd"},
        "bicubic": {"sr2"},
    }
    videos = dataset("data.npz", "test", frames=4).videos([0, 1])
    for result in evaluate(videos, ["sr2", "dd"], ["pinv", "bicubic"]):
        cell = report["results"][result.solver][result.problem]
        assert set(cell) == KEYS
        psnr = np.minimum(result.psnr.numpy(), CAP)
        assert cell["psnr_mean"] == pytest.approx(psnr.mean())
        assert cell["psnr_median"] == pytest.approx(np.median(psnr))
        assert cell["psnr_std"] == pytest.approx(psnr.std())
        assert result.ssim is not None
        assert cell["ssim_mean"] == pytest.approx(result.ssim.mean().item())
        assert cell["seconds_per_video"] > 0
        assert cell["videos"] == 2
        assert f"{cell['psnr_mean']:.2f}" in printed


def test_table_one_stands_beside_our_numbers(capsys):
    digits()
    arguments = ("--data", "rotated-mnist", "--root", "mnist", "--problems", "table1", "--limit", 4)
    assert run("evaluate", *arguments, "--solvers", "paper-wavelet,pinv", "--markdown", "t.md", "--json", "t.json") == 0
    columns = table1_problems("rotated-mnist", 1)
    table = [line for line in Path("t.md").read_text().splitlines() if line.startswith("|")]
    assert table[0] == f"| method | {' | '.join(columns)} |"
    rows = {line.split(" | ")[0].removeprefix("| "): line.strip("| ").split(" | ")[1:] for line in table[2:9]}
    assert list(rows)[:2] == ["paper-wavelet", "pinv"]
    for name, cells in PUBLISHED["rotated-mnist"].items():
        assert [cell.strip("*") for cell in rows[f"paper: {name}"]] == [f"{cells[p]:.1f}" for p in columns]
    report = json.loads(Path("t.json").read_text())
    assert report["limit"] == 4
    for k, problem in enumerate(columns):
        ours = [report["results"][solver][problem]["psnr_mean"] for solver in ("paper-wavelet", "pinv")]
        assert [float(rows[s][k].strip("*")) for s in ("paper-wavelet", "pinv")] == [round(v, 2) for v in ours]
        bold = [name for name, cells in rows.items() if cells[k].startswith("**")]
        assert bold == ["paper-wavelet" if ours[0] == max(ours) else "pinv"], "six digits are not the paper's set"
    printed = capsys.readouterr().out
    assert "4 videos of 9×1×14×14; Rotated MNIST, 6 of the 10,000 test digits" in printed
    assert "VideoOneNet BCRNN" in printed


def test_the_papers_wavelet_row_is_that_solver():
    videos = torch.rand(3, 9, 1, 14, 14)
    (result,) = evaluate(videos, ["sr2"], ["paper-wavelet"])
    solver = AdmmWavelet(rho=0.3, weight=0.05, max_steps=13, tol=0.0, levels=0)
    problem = forward_model("sr2", tuple(videos.shape)).measure(videos)
    assert torch.equal(result.psnr, psnr(solve(problem, solver).x, videos))


def test_noise_replaces_that_of_the_problems(capsys):
    digits()
    arguments = ("--data", "rotated-mnist", "--root", "mnist", "--problems", "pid,dd", "--solvers", "pinv")
    for noise, file in ((None, "own.json"), (0.1, "same.json"), (0.02, "less.json")):
        extra = () if noise is None else ("--noise", noise)
        assert run("evaluate", *arguments, *extra, "--json", file) == 0
    printed = capsys.readouterr().out
    own, same, less = (
        {p: cell["psnr_mean"] for p, cell in json.loads(Path(f).read_text())["results"]["pinv"].items()}
        for f in ("own.json", "same.json", "less.json")
    )
    assert own["pid"] == same["pid"] < less["pid"], "the problem's own noise is 0.1"
    assert own["dd"] > 80 > less["dd"] > same["dd"]
    assert "noise σ = 0.02" in printed
    assert printed.count("paper: OneNet CNN") == 1, "the paper has no numbers for other noise"


def test_expressions_are_problems_too():
    archive(Path("data.npz"))
    arguments = ("--data", "data.npz", "--frames", 6, "--solvers", "pinv,bicubic", "--json", "out.json")
    assert run("evaluate", *arguments, "--problems", "sr(2) @ blur(disk, 4, 2), sr(4), sr4") == 0
    cells = json.loads(Path("out.json").read_text())["results"]
    assert list(cells["pinv"]) == ["sr(2) @ blur(disk, 4, 2)", "sr(4)", "sr4"]
    for solver in ("pinv", "bicubic"):
        assert cells[solver]["sr(4)"]["psnr_mean"] == cells[solver]["sr4"]["psnr_mean"]


def test_all_is_looked_at_before_the_first_video(capsys):
    archive(Path("data.npz"))
    base = ("evaluate", "--data", "data.npz", "--frames", 6, "--json", "out.json")
    for solvers, problems, words in (
        ("magic", "sr2", "unknown solver 'magic'"),
        ("pinv", "sr3", "unknown problem 'sr3'"),
        ("pinv", "pid,srr(2)", "unknown name 'srr'"),
        ("pinv", "pid,sr(99)", "at least 99×99"),
        ("admm-tv(wait=1)", "sr2", "has no field wait"),
        ("admm-tv(weight=x)", "sr2", "texts in quotes"),
        ("pinv,admm-tv(0.1)", "sr2", "cannot read the fields"),
        ("bicubic(a=1)", "sr2", "has no fields"),
        ("videoonet(weights='no.safetensors')", "sr2", "no such file"),
        ("bicubic", "pid", "no solver of bicubic is for pid"),
        (",", "sr2", "--solvers names none"),
        ("pinv", ",", "--problems names none"),
    ):
        assert run(*base, "--solvers", solvers, "--problems", problems) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert words in error
        assert error.count("\n") == (3 if "(" in problems else 1), "one sentence, and the place in an expression"
    for extra, words in (
        (("--noise", -1), "0 or more"),
        (("--limit", 0), "--limit must be at least 1"),
        (("--split", "dev"), "train, val, test, all"),
        (("--seed", -1), "0 or more"),
        (("--root", "here"), "leave the root out"),
        (("--markdown", "no/t.md"), "does not exist"),
    ):
        assert run(*base, "--solvers", "pinv", "--problems", "sr2", *extra) == 2
        assert words in capsys.readouterr().err
    assert run("evaluate", "--data", "data.npz", "--solvers", "pinv", "--problems", "sr2") == 2
    assert "which has 6 frames" in capsys.readouterr().err
    assert run("evaluate", "--data", "no.npz", "--solvers", "pinv", "--problems", "sr2") == 2
    assert "no such file: no.npz" in capsys.readouterr().err
    assert not Path("out.json").exists()


def test_the_picture_is_of_the_evaluated_numbers():
    """Cell by cell: the truth, what was measured, and the reconstructions with the PSNRs of `evaluate`."""
    videos = torch.rand(70, 4, 3, 16, 16)  # two batches
    solvers = ["pinv", "hold", "paper-wavelet"]
    results = {(r.problem, r.solver): r.psnr for r in evaluate(videos, ["pid", "fi2"], solvers)}
    for problem in ("pid", "fi2"):
        shown = example(videos, 66, problem, solvers)
        truth, measured, *cells = strips(shown, solvers)
        assert truth is not None
        assert torch.equal(torch.stack([f for f in truth.frames if f is not None]), videos[66])
        assert measured is not None
        assert [f is None for f in measured.frames] == [problem == "fi2" and t % 2 == 1 for t in range(4)]
        values = {s: results[problem, s][66].item() for s in solvers if (problem, s) in results}
        assert [cell and cell.note for cell in cells] == [f"{values[s]:.1f}" if s in values else None for s in solvers]
        best = [s for s, cell in zip(solvers, cells, strict=True) if cell and cell.best]
        assert best == sorted(values, key=lambda s: values[s])[-1:]


def test_figure_draws_table_two(capsys):
    digits()
    arguments = ("figure", "--data", "rotated-mnist", "--root", "mnist", "--solvers", "pinv", "--limit", 3)
    assert run(*arguments, "-o", "all.png", "--video", 2) == 0
    assert "figure: all.png" in capsys.readouterr().out
    picture = read_video("all.png").frames[0]
    assert picture.shape[1:] == (round(200 * (0.3 + 3 * (0.3 + 3 * 3.2 / 9) + 0.1)), round(200 * (1.5 + 5 * 3.2)))
    digit = dataset("rotated-mnist", "test", "mnist").videos([5])[0, 0]
    row, column = divmod(int(digit[0].argmax()), 14)
    side = 200 * 3.2 / 9  # of a frame and the space beside it
    y = 200 * 0.6 + side * (0.06 + 0.94 * (row + 0.5) / 14)
    x = 200 * 1.5 + side * 0.97 * (0.02 + 0.96 * (column + 0.5) / 14)
    brightest = picture[:, int(y), int(x)]
    assert brightest.amax() == pytest.approx(digit.max().item(), abs=0.02), "the first frame of the first truth"
    assert run(*arguments, "-o", "more.png", "--video", 3) == 2
    assert "no video 3" in capsys.readouterr().err
    assert run(*arguments, "-o", "nowhere/more.png") == 2
    assert run(*arguments, "-o", "more.jpg") == 2
    assert "-o writes PNG: name it .png, not more.jpg" in capsys.readouterr().err
    assert not Path("more.png").exists()


def test_dollars_in_names_are_no_mathematics():
    made = dataclasses.replace(example(torch.rand(1, 4, 3, 16, 16), 0, "sr2", ["pinv"]), problem="mask('$_$.png')")
    save_sheet(Path("sheet.png"), [made], ["pinv"], "$a$, $_^$")
    assert Path("sheet.png").exists()


def test_long_names_stay_within_the_picture():
    long = " @ ".join(["blur(gaussian, 1.5, circular)"] * 5)
    made = dataclasses.replace(example(torch.rand(1, 4, 3, 16, 16), 0, "sr2", ["pinv"]), problem=long)
    save_sheet(Path("sheet.png"), [made], ["pinv"], f"data, test, {'folder/' * 20}clip.mp4. PSNR in dB.")
    picture = read_video("sheet.png").frames[0]
    assert picture[..., -8:].min() == 1


def test_names_that_no_text_holds_are_escaped():
    """As names of files are that are no UTF-8; so it is with other letters where the locale is ASCII."""
    archive(Path("data.npz"))
    name, psnr = "mask('ä\udcff.png')", torch.tensor([30.0])
    found = Result(name, "pinv", psnr, None, 0.1)
    videos = dataset("data.npz", "test", frames=4)
    Comparison("data.npz", videos, None, None, False, [name], ["pinv"], [found]).write_markdown(Path("t.md"))
    assert "| method | mask('ä\\udcff.png') |" in Path("t.md").read_text(encoding="utf-8")
