"""`linops-video ops`, and the command as a whole."""

import itertools
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command import run
from rich.console import Console

import linops_video
from linops_video import OPERATORS, PROBLEMS
from linops_video.cli.report import Row, print_table
from linops_video.media.arrays import write_array
from linops_video.solvers.evaluation import Score

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def wide(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def test_ops_lists_problems_and_operators(capsys):
    assert run("ops") == 0
    printed = capsys.readouterr().out
    for name, problem in PROBLEMS.items():
        assert name in printed
        assert problem.summary in printed
        assert problem.text in printed
    for entry in OPERATORS.values():
        assert entry.usage in printed
        assert entry.summary in printed


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "cs"])
def test_ops_describes_every_problem(capsys, name):
    assert run("ops", name, "--shape", "8,3,16,16") == 0
    printed = capsys.readouterr().out
    for words in ("8×3×16×16", "norm", "condition number", "exact: ", "adjoint test"):
        assert words in printed


def test_ops_tells_the_known_numbers_of_a_box_mean(capsys):
    """k×k box means have singular values 1/k only."""
    assert run("ops", "sr4", "--shape", "8,3,64,64") == 0
    rows = [line.strip("│ \n").split("│") for line in capsys.readouterr().out.splitlines() if "│" in line]
    facts = {row[0].strip(): row[1].strip() for row in rows}
    assert facts["measurement"] == "8×3×16×16"
    assert facts["norm ‖A‖"] == "0.25"
    assert facts["condition number"] == "1"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ops", "sr5"), "did you mean sr, sr4 or sr2"),
        (("ops", "sr4", "--shape", "8,3,64"), "T,C,H,W"),
        (("ops", "sr4", "--shape", "8,3,2,2"), "at least 4×4"),
        (("restore",), "restore"),
    ],
)
def test_bad_input_is_one_sentence(capsys, arguments, words):
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert words in captured.err
    assert captured.err.count("\n") == 1


FORKS = """
import gc, os, signal, sys
import linops_video.cli.clip as clip
from linops_video.cli import main
from linops_video.media.files import replacing

def command(line):
    sys.argv[1:] = line.split()
    main()

def solve_until(number):
    def ended(path, *_):
        with replacing(path) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), number)

    signal.signal(number, signal.SIG_DFL)  # as without nohup
    os.chdir("solved")
    clip.write_video = ended
    command("solve ../clip.npz --simulate --op sr2 --solver pinv -o out.mp4 --figure f.png")

gc.freeze()  # so that no child goes through what all have imported
for name, code in zip(sys.argv[1::2], sys.argv[2::2]):
    if child := os.fork():
        print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    for number, stream in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{name}.{stream}", os.O_CREAT | os.O_WRONLY), number)
    exec(code)
    sys.exit()
"""
CHILDREN = {
    "failing": "command('solve')",
    "full": "os.dup2(os.open('/dev/full', os.O_WRONLY), 1); command('ops')",
    "closed": "os.close(1); sys.stdout = sys.__stdout__ = None; command('--version')",
    "terminated": "solve_until(signal.SIGTERM)",
    "hung up": "solve_until(signal.SIGHUP)",
    "memory": (
        "import resource, torch\n"
        "from linops_video.films.heap import reuse_freed_memory\n"
        "reuse_freed_memory()\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "before = faults()\n"
        "for _ in range(10): torch.ones(1 << 24)\n"
        "print(faults() - before)"
    ),
    "released": (
        "import torch\n"
        "from memory import in_use\n"
        "from linops_video.films.heap import release_freed_memory, reuse_freed_memory\n"
        "reuse_freed_memory()\n"
        "tensors = [torch.ones(1 << 20) for _ in range(32)]\n"
        "del tensors[:-1:2]\n"
        "before = in_use()\n"
        "release_freed_memory()\n"
        "print(before - in_use())"
    ),
}


@pytest.fixture(scope="module")
def children(tmp_path_factory):
    """Exit code, output and errors of the command in processes of its own, of one that has imported everything."""
    folder = tmp_path_factory.mktemp("children")
    write_array(folder / "clip.npz", "x", torch.rand(2, 3, 8, 8))
    (folder / "solved").mkdir()
    command = [sys.executable, "-c", FORKS, *itertools.chain(*CHILDREN.items())]
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    environment = {**os.environ, "PYTHONPATH": paths, "COLUMNS": "200"}
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    codes = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    texts = {name: [(folder / f"{name}.{stream}").read_text() for stream in ("out", "err")] for name in CHILDREN}
    return {name: (int(codes[name]), *texts[name]) for name in CHILDREN}, folder


def test_the_process_itself_exits_with_the_code(children):
    code, _, error = children[0]["failing"]
    assert code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_output_that_cannot_be_written_is_told(children):
    assert children[0]["full"] == (2, "", "error: the output cannot be written: no space left on device\n")


def test_without_standard_output_the_work_is_done(children):
    assert children[0]["closed"] == (0, "", "")


def test_a_command_that_is_ended_leaves_nothing_half_written(children):
    done, folder = children
    assert [done[name] for name in ("terminated", "hung up")] == [(143, "", ""), (129, "", "")]
    assert list((folder / "solved").iterdir()) == []


def test_a_narrow_terminal_shows_every_digit(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    print_table(Console(), "", [Row("bicubic", Score(30.157, 0.97612, 7.26e-3), 0.0)])
    lines = [line.split("│")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert ["".join(map(str.strip, column)) for column in zip(*lines, strict=True)] == [
        *("bicubic", "30.16", "0.9761", "7.3e-03", "0.0")
    ]


def test_paths_stay_whole_in_a_pipe(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "40")
    out = tmp_path / ("long " * 20 + ".npz")
    assert run("solve", "--op", "sr2", "--solver", "pinv", "--frames", 2, "--figure", "f.png", "-o", out) == 0
    assert f"reconstruction: {out}\n" in capsys.readouterr().out


def test_without_a_command_the_help_is_printed_and_no_empty_error(capsys):
    assert run() == 2
    captured = capsys.readouterr()
    assert "evaluate" in captured.out
    assert "error" not in captured.err
    assert run("data") == 2
    assert capsys.readouterr().err == "error: Missing command.\n"


def test_the_version_is_printed(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out == f"linops-video {linops_video.__version__}\n"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_the_command_uses_freed_memory_again(children):
    """Ten tensors of 64 MB, one after another, are 163,840 pages of 4 kB; here a third of that is asked for at most."""
    assert int(children[0]["memory"][1]) < 163840 / 3


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_that_lies_between_tensors_is_handed_back(children):
    """Sixteen tensors of 4 MB, each between two that are kept."""
    assert int(children[0]["released"][1]) > 15 * 2**22
