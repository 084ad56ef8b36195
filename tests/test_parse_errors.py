"""Expressions that are refused: where the error points, what it says, and that nothing is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from linops_video import LinopsError, forward_model, parse
from linops_video.errors import FileError, MemoryLimitError, ShapeError, SpecError

VIDEO = (8, 3, 16, 16)


@pytest.mark.parametrize(
    ("text", "pointed", "words", "kind"),
    [
        ("sr(2) @ blr(disk, 4, 2)", "blr", "unknown name 'blr': did you mean blur", SpecError),
        ("blur(disk, 4, 2, circulr)", "circulr", "unknown boundary 'circulr': did you mean circular", SpecError),
        ("sr(2) @ blur(dsk, 4, 2)", "dsk", "unknown kernel 'dsk': did you mean disk", SpecError),
        ("sr(2.5) @ identity", "2.5", "a whole number is needed here: it is written sr(k)", SpecError),
        ("sr(two) @ identity", "two", "a whole number is needed", SpecError),
        ("sr() @ identity", "sr", "an argument is missing", SpecError),
        ("sr(2, 3)", "3", "one argument too many", SpecError),
        ("sr(2, seed=3)", "3", "draws no random numbers", SpecError),
        ("mask(0.5, keep=3)", "3", "the only argument with a name is seed=", SpecError),
        ("mask(0.5, seed=-1)", "-1", "0 or more", SpecError),
        ("sr(2) @ mask(1.5)", "mask", "a share in (0, 1], not 1.5", SpecError),
        ("sr(2) @", "", "cannot read", SpecError),
        ("(sr(2) @ sr(2)", "(", "never closed", SpecError),
        ("sr(2) sr(2)", "sr(2)", "cannot read", SpecError),
        ("sr(2) + identity", "identity", "outputs of equal shapes", ShapeError),
        ("sr(4) @ sr(2) @ sr(8)", "sr(4)", "at least 4×4, got 1×1", ShapeError),
        ("sr(2) * identity", "identity", "write A @ B", SpecError),
        ("sr(2) @ 3", "3", "an operator is needed here, not a number", SpecError),
        ("sr(2) @ kernel.npy", "kernel.npy", "no part of an expression", SpecError),
        ("sr(2)[1, 2, 3, 4]", "sr", "goes with an adjoint", SpecError),
        ("gaussian(0.1).H", "gaussian", "write the shape", SpecError),
        ("sr(2)[8, 3, 32, 32].H @ sr(4)", "sr", "its adjoint does not take (8×3×4×4)", ShapeError),
        ("sr4(2)", "sr4", "takes no arguments: it stands for sr(4)", SpecError),
        ("flip(q, w)", "q", "", SpecError),
        ("blur(nothing.npy)", "blur", "no such file: nothing.npy", FileError),
        ("1e400 * sr(2)", "1e400", "too large", SpecError),
        ("1e300 * 1e300 * sr(2)", "1e300 * 1e300", "too large", SpecError),
        ("é @ sr(2)", "é", "unknown name 'é'", SpecError),
        ("mask('é.npz') @ blr", "blr", "did you mean blur", SpecError),
        ("wavelet(bior2) @ identity", "bior2", "", SpecError),
        ("bayer(rgb) @ identity", "rgb", "unknown pattern 'rgb'", SpecError),
        (f"sr(2) @ tiles({10**20}, 0.5)", "tiles", "need frames of at least that size", ShapeError),
        ("sr(2) @ wavelet(haar, 5)", "wavelet", "of 16 entries has at most 4 levels, not 5", SpecError),
        ("sr(2) @ pad(4000000000, 0, 0, 0)", "pad", "does not fit in memory", MemoryLimitError),
        ("mask(0.5)[99999, 3, 99999, 99999].H", "mask", "does not fit in memory", MemoryLimitError),
    ],
)
def test_errors_point_at_the_character(text, pointed, words, kind):
    with pytest.raises(kind) as caught:
        parse(text, VIDEO)
    message, shown, caret = str(caught.value).split("\n")
    assert words in message
    assert shown == f"  {text}"
    assert caret.strip() == "^"
    at = caret.index("^") - 2
    assert text[at:].startswith(pointed) if pointed else at == len(text)


@pytest.mark.parametrize(
    ("kernel", "usage"),
    [
        ("gaussian, 3, 1", "gaussian, σ"),  # has no size
        ("line3, 1, 2", "line3[, degrees]"),
        ("box, 4.0", "box, size, its size a whole number"),
        ("disk, 4", "disk, size, radius, its size a whole number"),
    ],
)
def test_a_kernel_written_wrong_is_told_as_it_came(kernel, usage):
    with pytest.raises(SpecError) as caught:
        parse(f"blur({kernel})", VIDEO)
    assert str(caught.value).split("\n")[0] == f"the kernel {kernel} is written {usage}"


@pytest.mark.parametrize(
    "text",
    [
        f"{10**20} * identity",
        f"{10**18} * ({10**18} * identity)",
        "blur(disk, 4, 1e300)",
        f"blur(disk, 4, {10**20})",
        f"blur(line, 3, {10**20})",
        "wavelet(haar, 4)",
        f"patches(4, {10**20})",
    ],
)
def test_large_numbers_that_make_sense(text):
    assert parse(text, VIDEO)(torch.ones(VIDEO)).isfinite().all()


def test_negative_seeds_are_told():
    with pytest.raises(SpecError, match="a seed is a whole number, 0 or more, not -1\n  sr") as caught:
        parse("sr(2) @ mask(0.5)", VIDEO, seed=-1)
    shown, caret = str(caught.value).split("\n")[1:]
    assert shown[caret.index("^") :].startswith("mask")
    with pytest.raises(SpecError, match="a seed is a whole number"):
        forward_model("pid", VIDEO, seed=-1)
    with pytest.raises(SpecError, match="a seed is a whole number"):
        forward_model("pid", VIDEO).measure(torch.ones(VIDEO), seed=-1)


@pytest.mark.parametrize("seed", [1.5, "3", None])
def test_seeds_that_are_no_whole_numbers_are_told(seed):
    for call in (
        lambda: parse("mask(0.5)", VIDEO, seed=seed),
        lambda: forward_model("pid", VIDEO, seed=seed),
        lambda: forward_model("pid", VIDEO).measure(torch.ones(VIDEO), seed=seed),
    ):
        with pytest.raises(SpecError, match=f"a seed is a whole number, 0 or more, not {seed!r}"):
            call()


def test_whole_numbers_of_other_libraries_are_seeds():
    seed: Any = np.int64(3)
    A = parse("mask(0.5)", VIDEO, seed=seed)
    assert str(A) == "mask(0.5, seed=3)"
    assert torch.equal(A(torch.ones(VIDEO)), parse("mask(0.5)", VIDEO, seed=3)(torch.ones(VIDEO)))


def test_errors_of_long_texts_show_the_place():
    text = " @ ".join(["identity"] * 20) + " @ blr @ " + " @ ".join(["identity"] * 20)
    with pytest.raises(SpecError) as caught:
        parse(text, VIDEO)
    _, shown, caret = str(caught.value).split("\n")
    assert len(shown) < 110
    assert shown[caret.index("^") :].startswith("blr")


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch sprung')",
        "().__class__.__bases__[0].__subclasses__()",
        "sr.__globals__",
        "sr(2).__class__",
        "sr(2).operator",
        "parse('sr(2)')",
        "open('sprung', 'w')",
        "eval('1')",
        "[sr(2) for _ in (1,)]",
        "lambda: sr(2)",
        "sr(2) if True else sr(4)",
        "(x := sr(2))",
        "sr(*[2])",
        "sr(**{'k': 2})",
        "sr(True)",
        "True * sr(2)",
        "f'{sr(2)}' @ sr(2)",
        "sr(2) ** 2",
        "2 ** 10 ** 10 * sr(2)",
        "sr(2) / 2",
        "sr(2) @ None",
        "sr(2); sr(4)",
        "import os",
        "\0",
        "sr(2)\0",
        "sr(" + "9" * 1500 + ")",
        "9" * 1500 + " * sr(2)",
        "-" * 60 + "sr(2)",
        "(" * 1000,
        "sr(2) @ " * 300 + "sr(2)",
        " + ".join(["identity"] * 80),
        "blur(disk, 1000000, 3)",
        "blur(gaussian, 1e9)",
        "blocks(0, 0.2)",
        "blocks(1000000000, 0.2)",
        "decimate(" + "9" * 300 + ")",
        "wavelet(haar, 1000000000)",
        "resize(1000000000, 4, area)",
        "pad(1000000000, 0, 0, 0) @ pad(0, 0, 1000000000, 0) @ identity",
        "tiles(100000, 0.5)",
        "cacti(0.5)" + ".H" * 40,
        "gaussian(2)",
        "roll(w, 1e3)",
        "frames(99)",
        "frames(0, 0)",
        "frames(5:2)",
        "frames(::0)",
        "load(/etc/passwd.npy)",
        "mask(nothing.png)",
        "",
        "   ",
        "#",
        "'sr(2)'",
        "mask('\\d.png')",
        "2or sr(2)",
    ],
)
def test_refused(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LinopsError) as caught:
        parse(text, VIDEO)
    assert 0 < len(str(caught.value).split("\n")[0]) < 1200
    assert list(tmp_path.iterdir()) == []
