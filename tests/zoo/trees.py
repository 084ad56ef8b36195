"""Random well-typed expressions, each with its matrix, multiplied out of the matrices of its leaves."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from linops_video import (
    AxisMatrix,
    BlockDiagonal,
    Convolution,
    Cosine,
    Diagonal,
    Flip,
    Identity,
    LinearOperator,
    LinopsError,
    Shape,
    Stack,
    kron,
    parse,
    scale,
)
from zoo import LEAVES, mask, normal_numbers

Draw = st.DrawFn
DEPTH, LARGEST = 5, 200


@dataclass(frozen=True)
class Drawn:
    """An operator as the algebra made it, and what it must be.

    Attributes:
        matrix: complex128, shape (*batch, out_size, in_size).
        bound: what ‖A‖ could be at most, by the norms of the leaves, shape (*batch).
    """

    operator: LinearOperator
    matrix: Tensor
    bound: Tensor

    @staticmethod
    def leaf(A: LinearOperator) -> Drawn:
        matrix = A.to_dense().to(torch.complex128)
        return Drawn(A, matrix, torch.linalg.matrix_norm(matrix, 2))

    def __repr__(self) -> str:
        return described(self.operator)

    def _repr_pretty_(self, printer: Any, _: bool) -> None:  # what hypothesis prints
        printer.text(repr(self))

    @property
    def H(self) -> Drawn:
        return Drawn(self.operator.H, self.matrix.mH, self.bound)

    def gram(self) -> Drawn:
        return Drawn(self.operator.gram(), self.matrix.mH @ self.matrix, self.bound**2)

    def outer(self) -> Drawn:
        return Drawn(self.operator.outer(), self.matrix @ self.matrix.mH, self.bound**2)

    def __matmul__(self, other: Drawn) -> Drawn:
        return Drawn(self.operator @ other.operator, self.matrix @ other.matrix, self.bound * other.bound)

    def __add__(self, other: Drawn) -> Drawn:
        return Drawn(self.operator + other.operator, self.matrix + other.matrix, self.bound + other.bound)

    def times(self, factor: Any) -> Drawn:
        c = torch.as_tensor(factor, dtype=torch.complex128).to(self.matrix.device)
        return Drawn(scale(factor, self.operator), c[..., None, None] * self.matrix, c.abs() * self.bound)


def stack(*parts: Drawn) -> Drawn:
    batch = torch.broadcast_shapes(*(p.bound.shape for p in parts))
    rows = [p.matrix.expand(*batch, *p.matrix.shape[-2:]) for p in parts]
    bound = sum(p.bound**2 for p in parts)
    return Drawn(Stack(tuple(p.operator for p in parts)), torch.cat(rows, -2), torch.as_tensor(bound).sqrt())


def block_diagonal(*parts: Drawn) -> Drawn:
    batch = torch.broadcast_shapes(*(p.bound.shape for p in parts))
    whole = parts[0].matrix.new_zeros(*batch, *(sum(p.matrix.shape[i] for p in parts) for i in (-2, -1)))
    row = column = 0
    for p in parts:
        m, n = p.matrix.shape[-2:]
        whole[..., row : row + m, column : column + n] = p.matrix
        row, column = row + m, column + n
    bound = torch.stack(torch.broadcast_tensors(*(p.bound for p in parts))).amax(0)
    return Drawn(BlockDiagonal(tuple(p.operator for p in parts)), whole, bound)


def kronecker(A: Drawn, B: Drawn) -> Drawn:
    product = torch.einsum("...ij,...kl->...ikjl", A.matrix, B.matrix)
    size = (A.matrix.shape[-2] * B.matrix.shape[-2], A.matrix.shape[-1] * B.matrix.shape[-1])
    return Drawn(kron(A.operator, B.operator), product.reshape(*product.shape[:-4], *size), A.bound * B.bound)


def described(item: Any) -> str:
    """An operator with its fields, those of its parts, and tensors by their shape, small ones by their numbers."""
    if isinstance(item, Tensor):
        return str(item.tolist()) if item.numel() <= 4 else f"tensor{tuple(item.shape)}"
    if isinstance(item, tuple) and any(isinstance(part, (LinearOperator, Tensor)) for part in item):
        return f"({', '.join(described(part) for part in item)},)"
    if not isinstance(item, LinearOperator):
        return repr(item)
    fields = dataclasses.fields(item)  # type: ignore[arg-type]
    return f"{type(item).__name__}({', '.join(described(getattr(item, f.name)) for f in fields)})"


# --- leaves -------------------------------------------------------------------------------------------------------

TEXTS = ["sr(2)", "decimate(2)", "bicubic(2)", "resize(2, 3, area)", "average(2)", "every(2)", "frames(-1, 0)"]
TEXTS += ["bayer(rggb)", "grayscale", "mask(0.5)", "mask(0.5, seed=2)", "block(0.5)", "blocks(2, 0.4)", "first(0.6)"]
TEXTS += ["shutter(2, 1)", "blur(disk, 3, 1, circular)", "blur(box, 3, symmetric)", "tblur(box, 2)", "cacti(0.5)"]
TEXTS += ["tiles(2, 0.6)", "gaussian(0.3)", "gaussian(0.5, frame)", "hadamard(0.4)", "gradient", "patches(2, 1)"]
TEXTS += ["difference(h, centred)", "fourier(t, w)", "dct(h, w)", "wavelet(haar, 1, 0, 1, 0)", "roll(h, 1)"]
TEXTS += ["flip(t, w)", "crop(0, 0, 2, 2)", "transpose(t, c, w, h)", "pad(0, 1, 1, 0)"]


def from_text(text: str, seed: int, shape: Shape) -> LinearOperator | None:
    try:
        return parse(text, shape, seed).to(dtype=torch.float64)
    except LinopsError:  # not for frames as small as these
        return None


def leaf(draw: Draw, shape: Shape) -> Drawn:
    """A leaf on tensors of this shape, with the identity where the one drawn does not take it."""
    number = draw(st.integers(0, 1000))
    kinds = len(LEAVES) + (len(TEXTS) if len(shape) == 4 else 0)
    kind = draw(st.integers(0, kinds - 1))
    if kind < len(LEAVES):
        A = LEAVES[kind](normal_numbers(number), shape)
    else:
        A = from_text(TEXTS[kind - len(LEAVES)], number, shape)
    return Drawn.leaf(A if A is not None and 0 < A.out_size <= LARGEST else Identity(shape))


def square(draw: Draw, shape: Shape) -> Drawn:
    """An operator whose results have the shape of its input."""
    r = normal_numbers(draw(st.integers(0, 1000)))
    options = [Identity(shape), Diagonal(r(*shape), shape), Diagonal(r(2, *shape), shape), Flip((0,), shape)]
    options += [Cosine((len(shape) - 1,), shape), AxisMatrix(r(shape[0], shape[0]), 0, shape)]
    if len(shape) > 1:
        options.append(Convolution(r(min(2, shape[-2]), min(2, shape[-1])), shape, "circular"))
    return Drawn.leaf(draw(st.sampled_from(options)))


def factor(draw: Draw) -> Any:
    """A number, or one a sample."""
    own = normal_numbers(0)(2)
    return draw(st.sampled_from([-1.0, 0.5, 3.0, own, 0.6 - 0.8j, 1j * own]))


# --- trees --------------------------------------------------------------------------------------------------------

WAYS = ["leaf", "compose", "compose", "compose", "scale", "sum", "stack", "blocks", "kron", "normal", "gram", "outer"]
WAYS += ["adjoint", "parts"]


def tree(draw: Draw, shape: Shape, depth: int) -> Drawn:
    """An expression on tensors of this shape, of at most this depth."""
    if depth <= 1:
        return leaf(draw, shape)
    way = draw(st.sampled_from(WAYS))
    if way == "kron" and len(shape) > 1:
        cut = draw(st.integers(1, len(shape) - 1))
        return small(kronecker(tree(draw, shape[:cut], depth - 1), tree(draw, shape[cut:], depth - 1)), shape)
    if way == "parts" and len(shape) == 1 and shape[0] > 1:
        cut = draw(st.integers(1, shape[0] - 1))
        return small(block_diagonal(*(tree(draw, (n,), depth - 1) for n in (cut, shape[0] - cut))), shape)
    squared = way in ("normal", "gram", "outer")  # of a square of a square float32 keeps few digits
    A = tree(draw, shape, min(depth - 1, 2) if squared else depth - 1)
    out = A.operator.out_shape
    if way == "compose":
        return small(tree(draw, out, depth - 1) @ A, shape)
    if way == "scale":
        return A.times(factor(draw))
    if way == "sum":
        return A @ square(draw, shape) + square(draw, out) @ A
    if way == "stack":
        return small(stack(A, tree(draw, shape, depth - 1)), shape)
    if way == "blocks":
        B = tree(draw, shape, depth - 1)
        parts = [tree(draw, part.operator.out_shape, depth - 1) for part in (A, B)]
        return small(block_diagonal(*parts) @ stack(A, B), shape)
    if way == "normal":
        return A.H @ A
    if way == "gram":
        return A.gram()
    if way == "outer":
        return A.outer() @ A
    return (A.H @ leaf(draw, out).H).H if way == "adjoint" else A


def small(A: Drawn, shape: Shape) -> Drawn:
    return A if A.operator.out_size <= LARGEST else Drawn.leaf(Identity(shape))


def shapes(draw: Draw) -> Shape:
    sizes = [st.integers(1, 3), st.integers(1, 3), st.integers(2, 5), st.integers(2, 5)]
    return tuple(draw(size) for size in sizes[draw(st.sampled_from([0, 0, 0, 1, 2, 3])) :])


def weight(draw: Draw, shape: Shape) -> Drawn:
    """A self-adjoint positive operator."""
    r = normal_numbers(draw(st.integers(0, 1000)))
    way = draw(st.sampled_from(["c", "one c a sample", "diagonal", "mask", "one diagonal a sample", "square", "leaf"]))
    if way == "square":
        return square(draw, shape).gram()
    if way == "leaf":
        return leaf(draw, shape).gram()
    if way in ("c", "one c a sample"):
        return Drawn.leaf(scale(r(2).abs() if way != "c" else float(r(1).abs()), Identity(shape)))
    diagonal = {"mask": lambda: mask(r, *shape), "diagonal": lambda: r(*shape).abs()}.get(
        way, lambda: r(2, *shape).abs()
    )
    return Drawn.leaf(Diagonal(diagonal(), shape))


@dataclass(frozen=True)
class Example:
    """A drawn expression A and what its laws are tried with.

    Attributes:
        weight: W on A's results, for AᴴWA.
        source_weight: V on A's input, for AVAᴴ.
        damping: ρ/‖W^½A‖².
        complex_data: whether vectors are complex though A may be real.
        seed: of the random vectors.
    """

    expression: Drawn
    weight: Drawn
    source_weight: Drawn
    damping: float
    complex_data: bool
    seed: int


@st.composite
def examples(draw: Draw, depth: int = DEPTH) -> Example:
    A = tree(draw, shapes(draw), draw(st.sampled_from([depth, depth - 1, depth - 2, 2, 1])))
    if draw(st.sampled_from([False, False, False, True])):
        A = A.H
    damping = draw(st.sampled_from([1e-6, 1e-4, 1e-2, 0.1, 1.0, 30.0, 1e3]))
    weights = weight(draw, A.operator.out_shape), weight(draw, A.operator.in_shape)
    return Example(A, *weights, damping, draw(st.booleans()), draw(st.integers(0, 1000)))
