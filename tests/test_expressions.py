"""Random well-typed expressions of operators, against a dense float64 oracle."""

from __future__ import annotations

import math
from typing import Any

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from zoo import LEAVES, normal_numbers

from linops_video import (
    BlockDiagonal,
    Convolution,
    Diagonal,
    Flip,
    Identity,
    LinearOperator,
    NormalSolver,
    Shape,
    Stack,
    kron,
    scale,
)
from linops_video.algebra.operator import Compose, Scaled, Sum
from linops_video.errors import SpecError
from linops_video.testing import check_operator

Draw = st.DrawFn
DEPTH, LARGEST = 5, 200


def leaf(draw: Draw, shape: Shape) -> LinearOperator:
    """A leaf on tensors of this shape, with the identity where the one drawn does not take it."""
    r = normal_numbers(draw(st.integers(0, 1000)))
    A = LEAVES[draw(st.integers(0, len(LEAVES) - 1))](r, shape)
    fits = A is not None and 0 < A.out_size <= LARGEST
    return A if A is not None and fits else Identity(shape)


def square(draw: Draw, shape: Shape) -> LinearOperator:
    r = normal_numbers(draw(st.integers(0, 1000)))
    options = [Identity(shape), Diagonal(r(*shape), shape), Diagonal(r(2, *shape), shape), Flip((0,), shape)]
    if len(shape) > 1:
        options.append(Convolution(r(min(2, shape[-2]), min(2, shape[-1])), shape, "circular"))
    return draw(st.sampled_from(options))


def factor(draw: Draw) -> Any:
    own = torch.tensor([0.5, -2.0], dtype=torch.float64)
    return draw(st.sampled_from([-1.0, 0.5, 3.0, own, 0.6 - 0.8j, 1j * own]))


def tree(draw: Draw, shape: Shape, depth: int) -> LinearOperator:
    """An expression on tensors of this shape, of at most this depth."""
    if depth <= 1:
        return leaf(draw, shape)
    ways = ["leaf", "compose", "compose", "compose", "scale", "sum", "stack", "blocks", "kron", "normal", "adjoint"]
    way = draw(st.sampled_from(ways))
    if way == "kron" and len(shape) > 1:
        cut = draw(st.integers(1, len(shape) - 1))
        return small(kron(tree(draw, shape[:cut], depth - 1), tree(draw, shape[cut:], depth - 1)), shape)
    A = tree(draw, shape, depth - 1)
    if way == "compose":
        return small(tree(draw, A.out_shape, depth - 1) @ A, shape)
    if way == "scale":
        return scale(factor(draw), A)
    if way == "sum":
        return A @ square(draw, shape) + square(draw, A.out_shape) @ A
    if way == "stack":
        return small(Stack((A, tree(draw, shape, depth - 1))), shape)
    if way == "blocks":
        B = tree(draw, shape, depth - 1)
        parts = tuple(tree(draw, part.out_shape, depth - 1) for part in (A, B))
        return small(BlockDiagonal(parts) @ Stack((A, B)), shape)
    if way == "normal":
        return A.H @ A
    return (A.H @ leaf(draw, A.out_shape).H).H if way == "adjoint" else A


def small(A: LinearOperator, shape: Shape) -> LinearOperator:
    return A if A.out_size <= LARGEST else Identity(shape)


@st.composite
def expressions(draw: Draw, depth: int = DEPTH) -> LinearOperator:
    sizes = [st.integers(1, 3), st.integers(1, 3), st.integers(2, 5), st.integers(2, 5)]
    shape = tuple(draw(size) for size in sizes[draw(st.sampled_from([0, 0, 0, 1, 2])) :])
    return tree(draw, shape, draw(st.integers(1, depth)))


def close(got: Tensor, expected: Tensor, size: float, tolerance: float = 1e-10) -> None:
    expected = expected.to(torch.promote_types(got.dtype, expected.dtype))
    got, expected = torch.broadcast_tensors(got, expected)
    assert float((got - expected).abs().max()) <= tolerance * size


@settings(max_examples=200, deadline=None, derandomize=True)
@given(expressions())
def test_random_expressions(A: LinearOperator) -> None:
    obeys_the_laws(A)


def bound(A: LinearOperator) -> float:
    """What ‖A‖ could be at most, by the norms of its parts."""
    if isinstance(A, Compose):
        return bound(A.left) * bound(A.right)
    if isinstance(A, Sum):
        return sum(bound(term) for term in A.terms)
    if isinstance(A, Scaled):
        return float(torch.as_tensor(A.factor).abs().max()) * bound(A.operator)
    return float(A.norm().max())


def obeys_the_laws(A: LinearOperator) -> None:
    # parts that cancel to less than a thousandth have rounding of their own size, not of that of A
    norm = A.norm()
    assume(bool(((norm == 0) | (norm > 1e-3 * bound(A))).all()))
    check_operator(A)
    M = A.to_dense()
    singular = torch.linalg.svdvals(M)
    size = float(singular[..., 0].max()) + 1e-3
    close(A.norm(), singular[..., 0], size, 1e-6)
    close(A.H.to_dense(), M.mH, size)
    close(A.gram().to_dense(), M.mH @ M, size**2)
    close(A.outer().to_dense(), M @ M.mH, size**2)
    r = normal_numbers(7)
    W, V = Diagonal(r(*A.out_shape).abs(), A.out_shape), Diagonal(r(*A.in_shape).abs(), A.in_shape)
    close(A.gram(W).to_dense(), M.mH @ W.to_dense().to(M) @ M, 3 * size**2)
    close(A.outer(V).to_dense(), M @ V.to_dense().to(M) @ M.mH, 3 * size**2)
    solves(A, M, size)
    pseudoinverse(A, M, singular)


def flat(x: Tensor, shape: Shape) -> Tensor:
    return x.flatten(x.ndim - len(shape))


def random_vector(r, A: LinearOperator, shape: Shape) -> Tensor:
    x = r(*A.batch_shape, *shape)
    return torch.complex(x, r(*x.shape)) if A.is_complex() else x


def solves(A: LinearOperator, M: Tensor, size: float) -> None:
    """(AᴴWA + ρI)⁻¹ and the data step, W = I and diagonal, with their gradients."""
    r = normal_numbers(8)
    rho = 0.1 * size**2
    b, c, y = (random_vector(r, A, shape) for shape in (A.in_shape, A.in_shape, A.out_shape))
    for W in (None, Diagonal(r(*A.out_shape).abs(), A.out_shape)):
        normal = NormalSolver.of(A, weight=W, rtol=1e-11)
        tolerance = 1e-10 if normal.exact else 1e-8
        weight = torch.eye(M.shape[-2]).to(M) if W is None else W.to_dense().to(M)
        N = torch.linalg.inv(M.mH @ weight @ M + rho * torch.eye(M.shape[-1]).to(M))

        def times(x: Tensor, N: Tensor = N) -> Tensor:
            return (N @ flat(x, A.in_shape)[..., None])[..., 0]

        expected = times(b)
        close(flat(normal(rho, b), A.in_shape), expected, float(expected.abs().max()), tolerance)
        right = rho * b + A.H(y if W is None else W(y))
        expected = times(right)
        close(flat(normal.prox(rho, b, y), A.in_shape), expected, float(expected.abs().max()), tolerance)

        variable = b.clone().requires_grad_()
        shift = torch.full(A.batch_shape, rho, dtype=torch.float64, requires_grad=True)
        value = (c.conj() * normal(shift, variable)).real.sum()
        slope, steep = torch.autograd.grad(value, (variable, shift))
        close(flat(slope, A.in_shape), times(c), float(times(c).abs().max()), 100 * tolerance)
        along = -(flat(c, A.in_shape).conj() * times(times(b).reshape(b.shape))).real.sum(-1)
        close(steep, along, float(times(b).norm() * times(c).norm()) + 1e-12, 100 * tolerance)


def pseudoinverse(A: LinearOperator, M: Tensor, singular: Tensor) -> None:
    """The four Moore–Penrose conditions where no singular value is near the cut; the determinant and eigenvalues."""
    normal = NormalSolver.of(A)
    if not normal.exact:
        return
    batch, largest = len(A.batch_shape), singular[..., :1]
    expected = torch.log(singular**2 + 0.3).sum(-1) + (A.in_size - singular.shape[-1]) * math.log(0.3)
    rounding = 1e-15 * A.in_size * float(largest.max()) ** 2 / 0.3  # of the eigenvalues, against ρ
    close(normal.logdet(0.3), expected, 1.0 + float(expected.abs().max()), 1e-9 + rounding)
    try:
        close(normal.singular_values(), singular, float(largest.max()) + 1e-12, 1e-7)
    except SpecError:
        assert "margin" in normal.method
    if bool(((singular > 1e-9 * largest) & (singular < 1e-4 * largest)).any()) or not bool((largest > 0).all()):
        return
    basis = torch.eye(A.out_size).to(M).reshape(A.out_size, *(1,) * batch, *A.out_shape)
    columns = normal.pinv(basis.expand(A.out_size, *A.batch_shape, *A.out_shape))
    X = flat(columns, A.in_shape).movedim(0, -1)
    gain = float(torch.linalg.matrix_norm(X, 2).max()) + 1e-12
    size = float(largest.max())
    close(M @ X @ M, M, size, 1e-8)
    close(X @ M @ X, X, gain, 1e-8)
    close(M @ X, (M @ X).mH, 1.0, 1e-8)
    close(X @ M, (X @ M).mH, 1.0, 1e-8)


def test_the_leaves_are_many_and_take_common_shapes() -> None:
    made = [make(normal_numbers(0), (3, 3, 4, 4)) for make in LEAVES]
    assert sum(A is not None for A in made) >= 40
    assert len({type(A) for A in made if A is not None}) >= 15
