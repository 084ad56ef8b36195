"""What does not fit is refused where it is given, in a sentence: fields of operators, ρ, weights, b, v and y."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from linops_video import (
    AxisMatrix,
    BlockDiagonal,
    BoxMean,
    Circulant,
    Convolution,
    Cosine,
    Dense,
    Diagonal,
    Difference,
    Entries,
    Fourier,
    Hadamard,
    Identity,
    Mosaic,
    Multiplier,
    NormalSolver,
    Patches,
    Select,
    Slice,
    Stack,
    Warp,
    batch,
    block_sensing,
    cacti,
    circulant,
    crop,
    decimate,
    einsum,
    linear_function,
    resize,
    zero_pad,
)
from linops_video.algebra.operator import add
from linops_video.errors import DtypeError, LinopsError, ShapeError, SpecError
from linops_video.interop import from_pylops, from_scipy
from linops_video.operators.kernels import disk, gaussian

VIDEO = (4, 3, 6, 8)
ONE: Any = 1
NUMBER: Any = 2.0
ARRAY: Any = np.ones((2, 3))


@pytest.mark.parametrize(
    ("build", "kind", "said"),
    [
        (lambda: Dense(torch.ones(5, 7)), ShapeError, r"needs a matrix of \(1×1\), got \(5×7\): give its in_shape"),
        (lambda: Dense(torch.ones(5, 7), (7,), (6,)), ShapeError, r"needs a matrix of \(6×7\), got \(5×7\)"),
        (lambda: Dense(torch.ones(5), (5,), (1,)), ShapeError, r"needs a matrix of \(1×5\), got \(5\)"),
        (lambda: AxisMatrix(torch.ones(2, 5), 0, VIDEO), ShapeError, r"as many columns .* \(2×5\)"),
        (lambda: AxisMatrix(torch.ones(2, 8), -5, VIDEO), SpecError, "axes must be distinct and in 0 … 3"),
        (lambda: AxisMatrix(torch.ones(4), 0, VIDEO), ShapeError, r"as many columns .* \(4\)"),
        (lambda: Circulant(torch.ones(6, 8), VIDEO), ShapeError, r"half spectrum .* got \(6×8\)"),
        (lambda: Circulant(torch.ones(5), (8,)), ShapeError, r"half spectrum .* got \(5\)"),
        (lambda: Circulant(torch.ones(6, 5).long(), VIDEO), DtypeError, "a real or complex w, got torch.int64"),
        (
            lambda: Circulant(torch.arange(30.0).reshape(6, 5), VIDEO),
            SpecError,
            "the w of a real kernel, where column 0",
        ),
        (lambda: Circulant(torch.arange(4.0).unsqueeze(1), (4, 1)), SpecError, "the w of a real kernel"),
        (lambda: Circulant(1j * torch.ones(2, 6, 5), VIDEO), SpecError, "at row H − k the conjugate of row k"),
        (lambda: circulant(torch.ones(5, 5), VIDEO), ShapeError, r"as large as a frame.* \(5×5\).*Convolution"),
        (lambda: circulant(torch.ones(6, 9), VIDEO), ShapeError, r"as large as a frame.* \(6×9\)"),
        (lambda: circulant(torch.ones(8), (8,)), ShapeError, "as large as a frame"),
        (lambda: Convolution(torch.ones(5), VIDEO), ShapeError, r"needs a kernel of shape .* got \(5\)"),
        (lambda: Convolution(torch.ones(3, 3), (8,)), ShapeError, r"an event of shape .* \(8\)"),
        (lambda: Convolution(torch.ones(0, 3), VIDEO), ShapeError, r"got \(0×3\)"),
        (lambda: Multiplier(Cosine((0,), (4,)), torch.ones(5)), ShapeError, r"multiplier on \(4\) .* got \(5\)"),
        (lambda: Multiplier(Cosine((0,), (4, 3)), torch.ones(4)), ShapeError, r"multiplier on \(4×3\) .* got \(4\)"),
        (lambda: Stack((batch([Identity(VIDEO)]),)), ShapeError, "measurements of several shapes"),
        (lambda: NormalSolver.of(batch([Identity(VIDEO)]).H), ShapeError, "no normal solve: take that of its H"),
        (
            lambda: Dense(torch.ones(2, 3, dtype=torch.uint8), (3,), (2,)),
            DtypeError,
            r"got torch.uint8: use .float\(\)",
        ),
        (lambda: AxisMatrix(torch.ones(2, 4).bool(), 0, VIDEO), DtypeError, r"AxisMatrix .* got torch.bool: use"),
        (lambda: Fourier(ONE, (2, 3)), SpecError, r"a tuple of whole numbers as its axes, such as \(1,\), got 1"),
        (lambda: Hadamard(torch.ones(3), (2,)), ShapeError, r"signs .* got \(3\)"),
        (lambda: Hadamard(torch.tensor([2.0, 1.0]), (2,)), SpecError, "signs of a Hadamard transform are 1 and -1"),
        (lambda: Entries(torch.tensor([4]), (2, 2)), SpecError, r"entries of \(2×2\) are numbered 0 … 3"),
        (
            lambda: Entries(torch.ones(2), (2, 2)),
            ShapeError,
            "a vector of whole numbers, got torch.float32",
        ),
        (lambda: disk(4, 0.5), SpecError, "a disk of radius 0.5 has no pixel of a 4×4 kernel"),
        (lambda: disk(3, -1.2), SpecError, "a disk of radius -1.2"),
        (lambda: gaussian(4, 0.01), SpecError, r"a Gaussian of \(0.01, 0.01\) pixels reaches none of a 4×4 kernel"),
        (lambda: Select((0,), 9, VIDEO), SpecError, "axes must be distinct and in 0 … 3"),
        (
            lambda: Diagonal(torch.ones(2, 5), (5,)) @ Dense(torch.ones(3, 5, 5), (5,), (5,)),
            ShapeError,
            r"Diagonal\(.*\) @ Dense\(.*\): parameters for batches of shapes \(2\) and \(3\)",
        ),
        (
            lambda: add(*(Dense(torch.ones(n, 5, 5), (5,), (5,)) for n in (1, 3, 2))),
            ShapeError,
            r"Dense\(.*\) \+ Dense\(.*\): parameters for batches of shapes \(3\) and \(2\)",
        ),
        (
            lambda: torch.ones(2) * Dense(torch.ones(3, 5, 5), (5,), (5,)),
            ShapeError,
            r"times a factor of shape \(2\): parameters for batches of shapes \(3\)",
        ),
        (
            lambda: Stack((Diagonal(torch.ones(2, 5), (5,)), Diagonal(torch.ones(3, 5), (5,)))),
            ShapeError,
            r"Stack has parameters for batches of shapes \(2\) and \(3\)",
        ),
        (lambda: Warp(torch.zeros(1, 2, 8, 8), (3, 8, 8)), ShapeError, r"Warp needs a video shape .* got \(3×8×8\)"),
        (lambda: Warp(torch.zeros(2, 6, 8), VIDEO), ShapeError, r"needs a flow of shape .* got \(2×6×8\)"),
        (lambda: Mosaic(((0, 1),), (2, 8, 8)), ShapeError, r"Mosaic needs a video shape .* got \(2×8×8\)"),
        (lambda: Patches(2, 2, (8,)), ShapeError, r"need frames as large as that, got \(8\)"),
        (lambda: zero_pad((1,) * 3, (1,) * 3, (8, 8)), ShapeError, r"no more axes than \(8×8\) has"),
        (lambda: block_sensing(torch.ones(16), (8, 8)), ShapeError, r"a matrix of shape .* got \(16\)"),
        (lambda: block_sensing(ARRAY, (8, 8)), DtypeError, "block sensing .* got ndarray: torch.as_tensor makes one"),
        (lambda: einsum("t c, d c -> t d", ARRAY, (4, 3)), DtypeError, "einsum needs a torch tensor, got ndarray"),
        (lambda: circulant(ARRAY, (8, 8)), DtypeError, "circulant needs a kernel as a torch tensor, got ndarray"),
        (lambda: cacti(ARRAY, VIDEO), DtypeError, "cacti needs masks as a torch tensor, got ndarray"),
        (lambda: resize((2, 2), (8,)), ShapeError, r"resize needs an event of shape \(…, H, W\), got \(8\)"),
        (lambda: crop(ONE, (2, 2), VIDEO), ShapeError, "crop needs a tuple of whole numbers as its corner, such as"),
        (lambda: crop((0, 0), (2, NUMBER), VIDEO), ShapeError, r"whole numbers as its size, got \(2, 2.0\)"),
        (lambda: zero_pad(ONE, (1,), VIDEO), ShapeError, "zero_pad needs a tuple of whole numbers as its before"),
        (lambda: zero_pad((1,), ONE, VIDEO), ShapeError, "zero_pad needs a tuple of whole numbers as its behind"),
        (lambda: decimate(NUMBER, VIDEO), SpecError, "decimate needs a whole number as its factor, got 2.0"),
        (lambda: decimate(2, VIDEO, NUMBER), SpecError, "decimate needs a whole number as its offset, got 2.0"),
        (lambda: decimate(2, ONE), ShapeError, "decimate needs a tuple of whole numbers as its in_shape"),
        (lambda: resize(ONE, VIDEO), ShapeError, r"resize needs a tuple of whole numbers as its size, such as \(1,\)"),
        (lambda: resize((NUMBER, NUMBER), VIDEO), ShapeError, r"whole numbers as its size, got \(2.0, 2.0\)"),
        (lambda: batch(Identity((2,))), SpecError, r"needs a tuple of operators as its operators, such as .*,\)"),  # type: ignore[arg-type]
        (lambda: batch([Identity((2,)), ONE]), SpecError, "a tuple of operators as its operators, got Identity, int"),
        (lambda: Diagonal(NUMBER, (3,)), DtypeError, "Diagonal needs a torch tensor as its diagonal, got float"),
        (lambda: Identity(ONE), ShapeError, r"a tuple of whole numbers as its in_shape, such as \(1,\), got 1"),
        (lambda: Convolution(torch.ones(3, 3), ONE), ShapeError, "a tuple of whole numbers as its in_shape"),
        (lambda: BoxMean(2, (NUMBER, 1, 6, 6)), ShapeError, r"whole numbers as its in_shape, got \(2.0, 1, 6, 6\)"),
        (lambda: Select(torch.tensor([True, False]), 0, (2,)), SpecError, r"whole numbers .* got \(True, False\)"),  # type: ignore[arg-type]
        (lambda: Select(ONE, 0, (2,)), SpecError, r"a tuple of whole numbers as its indices, such as \(1,\), got 1"),
        (lambda: Slice((ONE, slice(None)), (2, 3)), SpecError, r"needs 2 slices of positive steps, got \(1, slice"),
        (lambda: Slice(slice(0, 1), (2,)), SpecError, r"needs 1 slices of positive steps, got slice\(0, 1"),  # type: ignore[arg-type]
        (lambda: Difference("t", VIDEO), SpecError, "Difference needs a whole number as its axis, got 't'"),  # type: ignore[arg-type]
        (lambda: Difference(-5, VIDEO), SpecError, r"in 0 … 3, or -4 … -1 from the last one, got \(-5,\)"),
        (lambda: Mosaic((1, 0), VIDEO), SpecError, r"rows of one length with each of the 4 frames once, got \(1, 0\)"),  # type: ignore[arg-type]
        (lambda: Stack(Identity((2,))), SpecError, r"Stack needs a tuple of operators as its operators, such as .*,\)"),  # type: ignore[arg-type]
        (lambda: BlockDiagonal((torch.eye(2),)), SpecError, "a tuple of operators as its operators, got Tensor"),  # type: ignore[arg-type]
        (lambda: from_scipy(torch.eye(2)), DtypeError, "from_scipy needs .*, got Tensor: Dense takes a tensor"),  # type: ignore[arg-type]
        (lambda: from_pylops(ARRAY), DtypeError, "from_pylops needs an operator of PyLops, got ndarray: from_scipy"),  # type: ignore[arg-type]
        (lambda: linear_function(lambda x: (x, x), (3,)), SpecError, "must make one tensor, and made a tuple"),  # type: ignore[arg-type, return-value]
        (lambda: Stack(()), ShapeError, "at least one operator"),
    ],
)
def test_operators_of_a_wrong_shape_are_not_built(build, kind, said):
    with pytest.raises(kind, match=said):
        build()


NORMALS = {
    "pointwise": lambda: NormalSolver.of(Diagonal(torch.ones(VIDEO), VIDEO)),
    "FFT": lambda: NormalSolver.of(Convolution(torch.ones(3, 3), VIDEO, "circular")),
    "iterative": lambda: NormalSolver.of(
        Diagonal(torch.ones(VIDEO), VIDEO) @ Convolution(torch.ones(3, 3), VIDEO, "circular")
    ),
}


@pytest.mark.parametrize(
    "rho",
    [
        0,
        -1.0,
        float("nan"),
        float("inf"),
        1j,
        None,
        [0.1],
        torch.tensor(1j),
        torch.tensor(-0.1),
        torch.tensor(torch.inf),
    ],
)
@pytest.mark.parametrize("name", NORMALS)
def test_rho_is_positive(name, rho):
    normal, x = NORMALS[name](), torch.ones(VIDEO)
    calls = [
        lambda: normal(rho, x),
        lambda: normal.solve(rho, x),
        lambda: normal.prox(rho, x, x),
        lambda: normal.data_step(rho, x),
    ]
    for call in calls:
        with pytest.raises(SpecError, match="rho must be a positive number, got"):
            call()


def test_rho_is_any_real_number():
    normal, x = NormalSolver.of(Diagonal(torch.tensor([1.0, 2.0]), (2,))), torch.ones(2)
    numbers: list[Any] = [np.float32(0.5), np.int64(2), Fraction(1, 2)]
    for rho in numbers:
        assert torch.equal(normal(rho, x), normal(float(rho), x))
        assert torch.equal(normal.solve(rho, x).x, normal(float(rho), x))
        assert torch.equal(normal.prox(rho, x, x), normal.prox(float(rho), x, x))
        assert torch.equal(normal.data_step(rho, x)(x), normal.data_step(float(rho), x)(x))
        assert normal.logdet(rho) == normal.logdet(float(rho))


def test_rho_is_positive_for_a_batch_too():
    with pytest.raises(SpecError, match="rho must be a positive number, got 0"):
        NormalSolver.of(batch([BoxMean(2, VIDEO)]))(0, torch.ones(1, *VIDEO))


@pytest.mark.parametrize("name", NORMALS)
@pytest.mark.parametrize("wrong", [torch.ones(()), torch.ones(8), torch.ones(3, 6, 8)], ids=lambda t: str(t.ndim))
def test_nothing_is_broadcast_without_a_word(name, wrong):
    normal, x = NORMALS[name](), torch.ones(VIDEO)
    calls = [
        lambda: normal(0.3, wrong),
        lambda: normal.solve(0.3, wrong),
        lambda: normal.prox(0.3, wrong, x),
        lambda: normal.prox(0.3, x, wrong),
        lambda: normal.data_step(0.3, wrong),
        lambda: normal.pinv(wrong),
        lambda: normal.null_projection(wrong),
        lambda: normal.range_projection(wrong),
    ]
    for call in calls:
        with pytest.raises(ShapeError, match=r"needs .* of shape \(\*…×4×3×6×8\), got"):
            call()
    with pytest.raises(DtypeError, match="needs a torch tensor, got ndarray"):
        normal.pinv(x.numpy())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NORMALS)
def test_the_two_sides_of_a_data_step_are_of_one_batch(name):
    normal, v, y = NORMALS[name](), torch.ones(2, *VIDEO), torch.ones(3, *VIDEO)
    with pytest.raises(ShapeError, match=r"a data step needs v and y for one batch, got \(2\) and \(3\)"):
        normal.prox(0.3, v, y)
    assert normal.prox(0.3, v[:1], y).shape == (3, *VIDEO)


def test_weights_and_operators_are_operators():
    A = BoxMean(2, VIDEO)
    with pytest.raises(DtypeError, match=r"a weight must be an operator, such as Diagonal\(.*got Tensor"):
        NormalSolver.of(A, torch.ones(A.out_shape))  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match=r"NormalSolver.of needs an operator, .* got Tensor"):
        NormalSolver.of(torch.ones(3, 3))  # type: ignore[arg-type]


def test_operators_are_added_to_operators_only():
    A: Any = BoxMean(2, VIDEO)
    for wrong in (
        lambda: A + 1,
        lambda: 1 + A,
        lambda: A - 1,
        lambda: A - torch.ones(3),
        lambda: A / A,
        lambda: A / "2",
    ):
        with pytest.raises(TypeError) as raised:
            wrong()
        assert not isinstance(raised.value, LinopsError)
