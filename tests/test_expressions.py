"""Random well-typed expressions of operators, against a dense float64 oracle."""

from __future__ import annotations

from typing import get_args

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from zoo import mask, normal_numbers

from linops_video import (
    AxisMatrix,
    BoxMean,
    Convolution,
    Dense,
    Diagonal,
    Difference,
    Flip,
    Identity,
    LinearOperator,
    NormalSolver,
    Select,
    Shape,
    Stack,
)
from linops_video.convolution import Boundary
from linops_video.testing import check_operator

Draw = st.DrawFn


def leaf(draw: Draw, shape: Shape) -> LinearOperator:
    """An operator on tensors of this shape (T, C, H, W)."""
    r = normal_numbers(draw(st.integers(0, 1000)))
    frames, channels, height, width = shape
    boundary = draw(st.sampled_from(get_args(Boundary)))
    kernel = r(min(3, height), min(2, width))
    choices = [
        lambda: Identity(shape),
        lambda: Diagonal(mask(r, *shape), shape),
        lambda: Diagonal(r(frames, 1, 1, 1), shape),
        lambda: Diagonal(r(2, *shape), shape),
        lambda: Flip((0, 2), shape),
        lambda: Select(tuple(range(0, frames, 2)), 0, shape),
        lambda: Select(tuple(range(height - 1, -1, -2)), 2, shape),
        lambda: AxisMatrix(r(1, channels), 1, shape),
        lambda: AxisMatrix(r(frames + 1, frames), 0, shape),
        lambda: AxisMatrix(r(2, 2, channels), 1, shape),
        lambda: Convolution(kernel, shape, boundary),
        lambda: Convolution(r(2, 2, 2), shape, "full"),
    ]
    if min(height, width) >= 2:
        choices += [lambda: BoxMean(2, shape)]
    if frames >= 2:
        choices += [lambda: Difference(0, shape)]
    return draw(st.sampled_from(choices))()


@st.composite
def expressions(draw: Draw, depth: int = 4) -> LinearOperator:
    A = leaf(draw, (draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(2, 5)), draw(st.integers(2, 5))))
    for _ in range(draw(st.integers(0, depth - 1))):
        way = draw(st.sampled_from(["compose", "compose", "compose", "scale", "add", "adjoint"]))
        if way == "compose":
            A = leaf(draw, A.out_shape) @ A
        elif way == "scale":
            A = draw(st.sampled_from([-1.0, 0.5, 3.0])) * A
        elif way == "adjoint":
            A = A.H
        elif A.in_shape == A.out_shape:
            A = A + leaf_square(draw, A.in_shape)
    ending = draw(st.sampled_from(["none", "none", "stack", "gaussian"]))
    r = normal_numbers(draw(st.integers(0, 1000)))
    if ending == "stack":
        A = Stack((A, leaf(draw, A.in_shape)))
    elif ending == "gaussian":
        A = Dense(r(3, int(torch.tensor(A.out_shape).prod())), A.out_shape, (3,)) @ A
    return A


def leaf_square(draw: Draw, shape: Shape) -> LinearOperator:
    r = normal_numbers(draw(st.integers(0, 1000)))
    options = [Identity(shape), Diagonal(r(*shape), shape), Flip((1,), shape), Convolution(r(2, 2), shape, "circular")]
    return draw(st.sampled_from(options))


def close(got: torch.Tensor, expected: torch.Tensor, scale: float, tolerance: float = 1e-10) -> None:
    assert got.shape == expected.shape
    assert float((got - expected).abs().max()) <= tolerance * scale


@settings(max_examples=200, deadline=None, derandomize=True)
@given(expressions())
def test_random_expressions(A: LinearOperator) -> None:
    obeys_the_laws(A)


def obeys_the_laws(A: LinearOperator) -> None:
    check_operator(A)
    M = A.to_dense()
    size = float(torch.linalg.matrix_norm(M, 2).max()) + 1e-3
    close(A.H.to_dense(), M.mH, size)
    r = normal_numbers(7)
    W = Diagonal(r(*A.out_shape).abs(), A.out_shape)
    V = Diagonal(r(*A.in_shape).abs(), A.in_shape)
    close(A.gram().to_dense(), M.mH @ M, size**2)
    close(A.outer().to_dense(), M @ M.mH, size**2)
    close(A.gram(W).to_dense(), M.mH @ W.to_dense() @ M, size**2 * 3)
    close(A.outer(V).to_dense(), M @ V.to_dense() @ M.mH, size**2 * 3)

    normal = NormalSolver.of(A)
    tolerance = 1e-4 if "cg" in normal.method else 1e-10
    rho = 0.1 * size**2
    x, y = r(*A.batch_shape, *A.in_shape), r(*A.batch_shape, *A.out_shape)
    G = M.mH @ M + rho * torch.eye(M.shape[-1], dtype=M.dtype)
    n = len(A.in_shape)
    expected = torch.linalg.solve(G, x.flatten(x.ndim - n)[..., None])[..., 0]
    close(normal(rho, x).flatten(x.ndim - n), expected, float(expected.abs().max()), tolerance)
    b = A.H(y) + rho * x
    expected = torch.linalg.solve(G, b.flatten(b.ndim - n)[..., None])[..., 0]
    close(normal.prox(rho, x, y).flatten(x.ndim - n), expected, float(expected.abs().max()), tolerance)
