"""Expressions: text to operator and back, by examples of every name and by random expressions."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from zoo import animal
from zoo.paths import asked_of

from linops_video import (
    OPERATORS,
    PROBLEMS,
    Bayer,
    BoxMean,
    Cosine,
    Diagonal,
    Difference,
    Flip,
    Fourier,
    LinearOperator,
    LinopsError,
    NormalSolver,
    Select,
    Slice,
    Stack,
    Wavelet,
    crop,
    decimate,
    forward_model,
    parse,
    save_operator,
)
from linops_video.algebra.operator import Sum
from linops_video.errors import DtypeError, ShapeError, SpecError
from linops_video.expressions.expression import check_names, shape_behind
from linops_video.expressions.names import stream
from linops_video.media.arrays import write_array

VIDEO = (8, 3, 16, 16)
SMALL = (3, 3, 4, 6)
EXAMPLES = [entry.example for entry in OPERATORS.values() if entry.example]


def same(a: Any, b: Any) -> bool:
    """Whether two operators have the same structure and the same numbers, to the bit; 2 is 2.0."""
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return a == b
    if type(a) is not type(b):
        return False
    if isinstance(a, LinearOperator):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))  # type: ignore[arg-type]
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def comes_back(A: LinearOperator) -> None:
    """The text of A is read as A itself."""
    again = parse(str(A), A.in_shape, batch=A.batch_shape)
    assert str(again) == str(A)
    again = again if A.dtype is None else again.to(dtype=A.dtype)
    assert same(again, A)


# --- every name --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_name_comes_back(text):
    for seed in (0, 3):
        A = parse(text, VIDEO, seed)
        comes_back(A)
        comes_back(A.to(dtype=torch.float64))
        comes_back(A.H)
        assert str(A.H.H) == str(A)
    check_names(text)
    assert str(parse(text, VIDEO)) == text


@pytest.mark.parametrize("text", EXAMPLES)
def test_a_text_costs_no_structure(text):
    """The same inverse is found for the operator without its text."""
    A = parse(text, VIDEO)
    plain = dataclasses.replace(A)  # type: ignore[type-var]
    assert NormalSolver.of(A).method == NormalSolver.of(plain).method
    assert NormalSolver.of(A.H).method == NormalSolver.of(plain.H).method


@pytest.mark.parametrize("name", PROBLEMS)
def test_problems_are_expressions(name):
    shape = (5, 3, 8, 10)
    by_name, by_text = forward_model(name, shape, seed=4), parse(PROBLEMS[name].text, shape, seed=4)
    assert same(by_name.operator, by_text)
    assert same(parse(name, shape, seed=4), by_text)
    comes_back(by_text)
    assert forward_model(PROBLEMS[name].text, shape).name == name
    assert (by_name.noise_std, forward_model(PROBLEMS[name].text, shape).noise_std) == (PROBLEMS[name].noise_std, 0)


@pytest.mark.parametrize("text", [*EXAMPLES, "sr(2) @ blur(disk, 4, 2, valid)", "decimate(3) @ pad(1, 2, 3, 4)"])
def test_the_shape_behind_a_measurement(text):
    A = parse(text, VIDEO)
    shape = shape_behind(text, A.out_shape)
    if shape is None:
        assert any(name in text for name in ("gaussian", "tiles", "cacti", "hadamard", "stack", "gradient", "resize"))
        return
    assert parse(text, shape).out_shape == A.out_shape
    assert all(a <= b for a, b in zip(shape, VIDEO, strict=True))


def test_shapes_flow_from_right_to_left():
    A = parse("tblur(box, 3) @ sr(2) @ grayscale", VIDEO)
    assert A.out_shape == (10, 1, 8, 8)
    x = torch.rand(VIDEO)
    by_hand = parse("tblur(box, 3)", (8, 1, 8, 8))(parse("sr(2)", (8, 1, 16, 16))(parse("grayscale", VIDEO)(x)))
    assert torch.allclose(A(x), by_hand, atol=1e-6)


def test_numbers_signs_and_sums():
    x = torch.rand(VIDEO)
    A = parse("2 * identity - 0.5 * flip(w) + -identity * 3", VIDEO)
    assert torch.allclose(A(x), 2 * x - 0.5 * x.flip(-1) - 3 * x, atol=1e-6)
    assert str(A) == "2 * identity - 0.5 * flip(w) + 3 * -identity"
    assert str(parse("(1 + 2j) * fourier(h, w)", VIDEO)) == "(1+2j) * fourier(h, w)"
    comes_back(parse("-2j * fourier(h, w)", VIDEO))


# --- seeds -------------------------------------------------------------------------------------------------------


def test_seeds():
    A, B = parse("mask(0.5) @ mask(0.5, seed=7)", VIDEO, seed=7), parse("mask(0.5)", VIDEO, seed=7)
    assert same(A, B @ B)  # equal texts and seeds are equal operators
    assert str(A) == "mask(0.5, seed=7) @ mask(0.5, seed=7)"
    assert not same(parse("mask(0.5)", VIDEO), B)
    assert str(parse("sr(2)", VIDEO, seed=7)) == "sr(2)"


def test_masks_of_different_kinds_are_independent():
    mask, shutter_masks = parse("mask(0.5)", VIDEO), parse("cacti(0.5)", VIDEO)
    first = mask.diagonal[:, 0].flatten()  # type: ignore[attr-defined]
    second = shutter_masks.right.diagonal.flatten()  # type: ignore[attr-defined]
    assert abs(float(torch.corrcoef(torch.stack([first, second]))[0, 1])) < 0.06
    assert not torch.equal(torch.rand(9, generator=stream(0, 0)), torch.rand(9, generator=stream(0, 1)))


def test_batch_axes_for_new_random_numbers():
    A = parse("sr(2) @ mask(0.5)", VIDEO, batch=(2,))
    assert A.batch_shape == (2,)
    comes_back(A)
    assert same(forward_model("sr(2) @ mask(0.5)", (2, *VIDEO)).operator, A)


# --- random expressions ------------------------------------------------------------------------------------------

SQUARE = ["identity", "flip(t, w)", "roll(h, -1)", "mask(0.4)", "blur(gaussian, 0.3, circular)", "blur(box, 3, same)"]
SQUARE += ["block(0.5)", "blocks(2, 0.3, seed=5)", "dct(t, w)", "mask(0.5, seed=2)", "difference(h, forward, periodic)"]
OTHERS = ["sr(2)", "decimate(2)", "frames(0)", "frames(::2)", "frames(-1, 0)", "every(2)", "first(0.6)", "grayscale"]
OTHERS += ["average(2)", "shutter(2, 1)", "difference(t)", "blur(disk, 2, 1)", "tblur(box, 2)", "gaussian(0.2, frame)"]
OTHERS += ["transpose(t, c, w, h)", "patches(2, 1)", "crop(0, 1, 2, 2)", "pad(0, 1, 2, 0)", "bicubic(2)", "cacti(0.5)"]
OTHERS += ["hadamard(0.3)", "fourier(h, w)", "wavelet(haar, 0, 0, 1, 1)", "resize(3, 5, area)", "tiles(2, 0.5)"]
OTHERS += ["gradient", "sr2", "tdd", "bayer(grbg)"]


@st.composite
def texts(draw: st.DrawFn, depth: int = 3, square: bool = False) -> str:
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(SQUARE if square else SQUARE + OTHERS))
    way = draw(st.sampled_from(["@", "@", "@", "+", "-", "*", "neg", "H", "stack"][: 8 if square else 9]))
    A = draw(texts(depth - 1, square or way in "+-H"))
    if way == "*":
        c = draw(st.sampled_from(["2", "0.1", "-1.5", "1e-3"]))
        return f"{c} * ({A})" if draw(st.booleans()) else f"({A}) * {c}"
    if way == "neg":
        return f"-({A})"
    if way == "H":
        return f"({A}).{draw(st.sampled_from('HT'))}"
    B = draw(texts(depth - 1, square or way in "+-"))
    return f"stack({A}, {B})" if way == "stack" else f"({A}) {way} ({B})"


def parsed(text: str) -> LinearOperator:
    try:
        return parse(text, SMALL, seed=1)
    except (ShapeError, SpecError, DtypeError):  # too small a frame for a part, an unknown shape, .T of a complex one
        assume(False)
        raise


@settings(max_examples=150, deadline=None, derandomize=True)
@given(texts())
def test_random_expressions_come_back(text):
    text_comes_back(text)


def text_comes_back(text: str) -> None:
    A = parsed(text)
    comes_back(A)
    assert torch.equal(parse(text.replace(" ", ""), SMALL, seed=1).to_dense(), A.to_dense())
    comes_back(A.H.to(dtype=torch.float64))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(texts(2), texts(2), st.sampled_from(["@", "+", "-", "*", "neg", "stack", "H@"]))
def test_what_python_makes_of_parsed_operators_comes_back(left, right, way):
    B = parsed(right)
    try:
        A = parse(left, B.out_shape if way == "@" else SMALL, seed=1)
        made = {
            "@": lambda: A @ B,
            "+": lambda: A + B,
            "-": lambda: A - B,
            "*": lambda: 0.25 * A * -3,
            "neg": lambda: -(A - 2 * A),
            "stack": lambda: Stack((A, B)),
            "H@": lambda: B.H @ B,
        }[way]()
    except LinopsError:
        assume(False)
        raise
    again = parse(str(made), made.in_shape)
    assert str(again) == str(made)
    assert torch.equal(again.to_dense(), made.to_dense())
    assert same(again, made)


def test_what_has_no_text():
    A = parse("sr(2)", VIDEO)
    own = Diagonal(torch.rand(VIDEO), VIDEO)
    for made in (A @ own, own, torch.rand(()) * A, NormalSolver.of(A).operator.gram()):
        assert str(made) == repr(made)
    assert str(A) == "sr(2)"  # nothing above has changed it
    assert repr(A).startswith("BoxMean(")


def test_adjoints():
    A = parse("sr(2) @ blur(disk, 4, 2, circular)", (8, 3, 17, 16))
    assert str(A.T) == "(sr(2) @ blur(disk, 4, 2, circular))[8, 3, 17, 16].H"
    comes_back(A.T)
    assert parse("sr(2).H", (8, 3, 8, 8)).out_shape == VIDEO  # the smallest shape that fits
    assert str(parse("sr(2).H @ sr(2)", VIDEO)) == "sr(2)[8, 3, 16, 16].H @ sr(2)"
    assert parse("mask(0.5).T", VIDEO).H is not None
    assert shape_behind("sr(2).H", VIDEO) == (8, 3, 8, 8)
    with pytest.raises(LinopsError, match="is complex"):
        parse("fourier(h).T", VIDEO)


# --- files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("kernel.npy", np.array([[0.0, 1.0, 0.0], [1.0, 4.0, 1.0], [0.0, 1.0, 0.0]]) / 8)
    (tmp_path / "my kernels (2)").mkdir()
    np.save("my kernels (2)/first.npy", np.full((2, 2), 0.25))
    np.save("gefühl.npy", np.full((1, 2), 0.5))
    np.save("taps.npy", np.array([[0.5, 0.5]]))
    write_array("mask.npz", "y", (torch.rand(1, 1, 16, 16) > 0.5).float())
    np.save("flow.npy", np.random.default_rng(1).normal(size=(1, 2, 16, 16)))
    np.save("mix.npy", np.random.default_rng(2).normal(size=(3, 2)))
    np.save("matrix.npy", np.random.default_rng(0).normal(size=(5, 8 * 3 * 16 * 16)))
    save_operator("camera.safetensors", parse("sr(2) @ mask(0.5)", VIDEO))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("blur(kernel.npy)", None),
        ("sr(2) @ blur('kernel.npy', circular)", "sr(2) @ blur(kernel.npy, circular)"),
        ("blur( ./kernel.npy , valid )", "blur(kernel.npy, valid)"),
        ("blur('my kernels (2)/first.npy') @ mask(mask.npz)", None),
        ("tblur(taps.npy) @ mask(mask.npz)", None),
        ("frames(0:4) @ blur(gefühl.npy) @ frames(1:6:1)", None),
        ("matrix(matrix.npy)", None),
        ("load(camera.safetensors)", None),
        ("sr(2) @ warp(flow.npy)", None),
        ("einsum('t c h w, c d -> t d h w', mix.npy)", None),
        ("0.5 * load(camera.safetensors) - sr(2)", None),
    ],
)
def test_files(here, text, canonical):
    A = parse(text, VIDEO)
    assert str(A) == (canonical or text)
    comes_back(A)
    if "matrix" not in text and "einsum" not in text:
        shape = shape_behind(text, A.out_shape)
        assert shape is not None
        assert parse(text, shape).out_shape == A.out_shape


def test_files_mean_what_they_hold(here):
    x = torch.rand(VIDEO)
    assert torch.equal(parse("load(camera.safetensors)", VIDEO)(x), parse("sr(2) @ mask(0.5)", VIDEO)(x))
    flat = torch.from_numpy(np.load("matrix.npy")).float() @ x.flatten()
    assert torch.allclose(parse("matrix(matrix.npy)", VIDEO)(x), flat, rtol=1e-4, atol=1e-4)
    assert torch.allclose(parse("tblur(taps.npy)", VIDEO)(x)[1:-1], (x[1:] + x[:-1]) / 2)


# --- any text, long ones -------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(alphabet="sr24()@*+-., :'[]HTmaskblur\"é=\\\n", max_size=30))
def test_any_text_is_read_or_refused(text):
    try:
        A = parse(text, SMALL)
    except LinopsError:
        return
    comes_back(A)


def test_long_chains_are_read_in_no_time():
    assert parse("sr(2)" + ".H" * 40, VIDEO).out_shape == (8, 3, 8, 8)
    assert shape_behind("frames(1000000000:)", (3, 3, 4, 4)) == (1000000003, 3, 4, 4)
    assert parse(f"roll(w, {10**300})", VIDEO).out_shape == VIDEO
    assert same(parse("si(seed=3)", VIDEO), parse("si", VIDEO, seed=3))


def test_what_is_deep_but_not_too_deep():
    A = parse(" + ".join(["identity"] * 40), VIDEO)
    assert torch.equal(A(torch.ones(VIDEO)), torch.full(VIDEO, 40.0))


def test_a_multiple_of_an_adjoint_goes_into_the_operator():
    """So that (2 Aᴴ)ᴴᴴ is 2 Aᴴ again, in structure and text."""
    A = 2 * parse("blur(box, 3, same)", VIDEO).H
    assert same(A.H.H, A)
    assert str(A.H.H) == str(A)
    comes_back(A.H.H)


def test_a_sum_of_adjoints_is_the_adjoint_of_the_sum():
    """So that (Aᴴ + Bᴴ)ᴴ is A + B, merged, in structure and text, whichever side it is reached from."""
    A = parse("(blur(gaussian, 0.3, circular).H + blur(gaussian, 0.5, circular).H).H", VIDEO)
    for made in (A, A.H, A.H.H):
        comes_back(made)
    both = parse("blur(gaussian, 0.3, circular) + blur(gaussian, 0.5, circular)", VIDEO)
    assert same(A, both)
    apart = parse("blur(box, 3, valid).H + blur(disk, 3, 2, valid).H", SMALL)  # these do not merge, either way
    assert isinstance(apart, Sum)
    comes_back(apart.H)


# --- operators made without text -----------------------------------------------------------------------------------


@asked_of()
def test_operators_that_can_be_written_are_what_is_written(entry):
    A = animal(entry)
    for operator in (A, A.H, A.gram(), A.outer()):
        if str(operator) != repr(operator):
            again = parse(str(operator), operator.in_shape)
            assert same(again if operator.dtype is None else again.to(dtype=operator.dtype), operator)


@pytest.mark.parametrize(
    ("A", "text"),
    [
        (BoxMean(2, VIDEO) @ Slice((slice(None), slice(None), slice(0, 8), slice(4, 16)), VIDEO).H, None),
        (BoxMean(4, VIDEO), "sr(4)"),
        (BoxMean(4, VIDEO, (0,)), "average(4)"),
        (BoxMean(2, VIDEO, (2, 3)), "sr(2)"),
        (crop((2, 4), (8, 8), VIDEO), "crop(2, 4, 8, 8)"),
        (decimate(2, VIDEO), "decimate(2)"),
        (decimate(2, (8, 3, 16, 1)), None),  # the name needs two columns
        (Select((0, 2, 4), 0, VIDEO), "frames(0:5:2)"),
        (Select((3, 1), 0, VIDEO), "frames(3, 1)"),
        (Select((3, 1), 2, VIDEO), None),
        (0.5 * BoxMean(2, VIDEO).H, "0.5 * sr(2)[8, 3, 16, 16].H"),
        (BoxMean(2, (8, 1, 16, 16)) @ Bayer("rggb", VIDEO), "sr(2) @ bayer(rggb)"),
        (Fourier((2, 3), VIDEO) + Flip((3,), VIDEO) * 2j, "fourier(h, w) + 2j * flip(w)"),  # type: ignore[operator]
        (Stack((Difference(0, VIDEO), Wavelet(VIDEO, "db2", (1, 0, 2, 2)))), None),
        (Cosine((1,), (4, 5)), "dct(1)"),
        (Diagonal(torch.ones(VIDEO), VIDEO), None),
    ],
)
def test_what_is_made_of_classes_is_written_too(A, text):
    if text is not None:
        assert str(A) == text
        assert same(parse(text, A.in_shape), A)
    elif str(A) != repr(A):
        assert same(parse(str(A), A.in_shape), A)
