"""Cut an operator down to a part of the video: what the measurements say that see nothing else.

A box is a (start, stop) pair for every event axis. `cut(A, box)` gives an operator A' on the box and the box of outputs
that depend on nothing outside: (A x)[outputs] = A'(x[box]) for every x. So a long film is solved in windows and a large
frame in tiles without a model error: at the edge of a window some measurements are left out, none is approximated.

Where the measurements that see the box alone do not form a box themselves, or there are none (a Gaussian matrix over
the whole film), the operator is refused with a `CutError`. A convolution that is cut becomes a "valid" one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import singledispatch

import torch
from torch import Tensor

from linops_video.algebra.operator import Compose, Identity, LinearOperator, Scaled, Sum, add, compose, scale
from linops_video.algebra.parameters import Shape, replaced, show
from linops_video.errors import CutError, ShapeError
from linops_video.operators.convolution import Convolution
from linops_video.operators.dense import AxisMatrix, Dense
from linops_video.operators.diagonal import Diagonal
from linops_video.operators.imaging import Bayer
from linops_video.operators.kron import kron
from linops_video.operators.sampling import BoxMean
from linops_video.operators.select import Select, Slice
from linops_video.problems.forward_model import InverseProblem

Bounds = tuple[tuple[int, int], ...]
"""(start, stop) for every event axis."""

Piece = tuple[LinearOperator, Bounds]

DENSE_AXIS = 4096
"""Longest axis whose factor is turned into a matrix to see which rows touch which entries: 128 MB in float64."""


def cut(A: LinearOperator, box: Bounds) -> Piece:
    """The operator of the measurements that see nothing outside `box`, and the box that they form in A's output.

    Raises:
        ShapeError: if the box is empty or not inside A's input.
        CutError: if no measurement sees the box alone, or those that do form no box.

    Example:
        >>> part, outputs = cut(BoxMean(4, (8, 3, 64, 64)), ((0, 8), (0, 3), (16, 48), (0, 32)))
        >>> part.in_shape, outputs
        ((8, 3, 32, 32), ((0, 8), (0, 3), (4, 12), (0, 8)))
    """
    inside = len(box) == len(A.in_shape) and all(0 <= a < b <= n for (a, b), n in zip(box, A.in_shape, strict=True))
    if not inside:
        raise ShapeError(f"{A!r} cannot be cut to {box}: that box is empty, or not inside {show(A.in_shape)}")
    if box == whole(A.in_shape):
        return A, whole(A.out_shape)
    return _cut(A, box)


def cut_problem(problem: InverseProblem, box: Bounds) -> InverseProblem:
    """The inverse problem of a part of the video: `cut` of its operator, and the measurements that go with it.

    Raises what `cut` raises.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> problem = forward_model("sr2", (8, 3, 32, 32)).measure(torch.rand(8, 3, 32, 32))
        >>> cut_problem(problem, ((0, 4), (0, 3), (0, 16), (8, 32))).y.shape
        torch.Size([4, 3, 8, 12])
    """
    A, outputs = cut(problem.operator, box)
    return replace(problem, operator=A, y=problem.y[(..., *(slice(a, b) for a, b in outputs))])


def whole(shape: Shape) -> Bounds:
    """The box that holds everything."""
    return tuple((0, n) for n in shape)


def middle(shape: Shape, size: int) -> Bounds:
    """The middle of a video (T, C, H, W): at most size×size pixels of all frames, from multiples of 8 on.

    Example:
        >>> middle((4, 3, 64, 200), 128)
        ((0, 4), (0, 3), (0, 64), (32, 160))
    """
    starts = [max(0, n - size) // 16 * 8 for n in shape[-2:]]
    spans = [(start, min(n, start + size)) for start, n in zip(starts, shape[-2:], strict=True)]
    return (*whole(shape[:-2]), *spans)


def shape_of(box: Bounds) -> Shape:
    """The size of a box along every axis."""
    return tuple(b - a for a, b in box)


@singledispatch
def _cut(A: LinearOperator, box: Bounds) -> Piece:
    factors = A._factors()
    if factors is not None and len(factors) > 1:
        return _cut_factors(factors, box)
    if len(A.in_shape) == len(A.out_shape) == 1 and max(*A.in_shape, *A.out_shape) <= DENSE_AXIS:
        return _cut(Dense(A.to_dense(), A.in_shape, A.out_shape), box)
    raise CutError(
        f"{A!r} cannot be cut to a window or tile, since each of its measurements may see the whole video: "
        "solve it in one piece, with fewer frames or smaller ones"
    )


@_cut.register
def _(A: Identity, box: Bounds) -> Piece:
    return Identity(shape_of(box)), box


@_cut.register
def _(A: Diagonal, box: Bounds) -> Piece:
    d, axes = A.diagonal, A.diagonal.shape[A.diagonal.ndim - len(box) :]
    index = tuple(slice(None) if n == 1 else slice(a, b) for n, (a, b) in zip(axes, box, strict=True))
    return Diagonal(d[(..., *index)], shape_of(box)), box


@_cut.register
def _(A: Scaled, box: Bounds) -> Piece:
    part, outputs = cut(A.operator, box)
    return scale(A.factor, part), outputs


@_cut.register
def _(A: Compose, box: Bounds) -> Piece:
    right, between = cut(A.right, box)
    left, outputs = cut(A.left, between)
    return compose(left, right), outputs


@_cut.register
def _(A: Sum, box: Bounds) -> Piece:
    parts = [cut(term, box) for term in A.terms]
    common = tuple(
        (max(a for a, _ in ends), min(b for _, b in ends)) for ends in zip(*(o for _, o in parts), strict=True)
    )
    _need(A, common)
    return add(*(_crop(part, outputs, common) for part, outputs in parts)), common


@_cut.register
def _(A: Dense, box: Bounds) -> Piece:
    if len(A.in_shape) != 1 or len(A.out_shape) != 1:
        return _cut.dispatch(LinearOperator)(A, box)
    matrix, rows = _band(A, A.matrix, *box[0])
    return Dense(matrix, (matrix.shape[-1],), (matrix.shape[-2],)), (rows,)


@_cut.register
def _(A: AxisMatrix, box: Bounds) -> Piece:
    matrix, rows = _band(A, A.matrix, *box[A.axis])
    return AxisMatrix(matrix, A.axis, shape_of(box)), replaced(box, A.axis, rows)


@_cut.register
def _(A: Select, box: Bounds) -> Piece:
    start, stop = box[A.axis]
    kept = [i for i, index in enumerate(A.indices) if start <= index < stop]
    outputs = replaced(box, A.axis, (kept[0], kept[-1] + 1) if kept else (0, 0))
    _need(A, outputs)
    if kept != list(range(kept[0], kept[-1] + 1)):
        raise CutError(f"{A!r} cannot be cut to {start} … {stop - 1}: the entries that it keeps there are not in a row")
    return Select(tuple(A.indices[i] - start for i in kept), A.axis, shape_of(box)), outputs


@_cut.register
def _(A: Slice, box: Bounds) -> Piece:
    outputs, slices = [], []
    for kept, n, (a, b) in zip(A.slices, A.in_shape, box, strict=True):
        places = range(n)[kept]
        first, behind = (_count_below(places, end) for end in (a, b))
        outputs.append((first, behind))
        if first < behind:
            slices.append(slice(places[first] - a, places[behind - 1] - a + 1, places.step))
    _need(A, tuple(outputs))
    return Slice(tuple(slices), shape_of(box)), tuple(outputs)


@_cut.register
def _(A: BoxMean, box: Bounds) -> Piece:
    k, axes = A.factor, A.axes
    outputs = tuple((-(-a // k), b // k) if i in axes else (a, b) for i, (a, b) in enumerate(box))
    _need(A, outputs)
    covered = tuple(
        (k * first, stop) if i in axes else (a, stop)
        for i, ((a, stop), (first, _)) in enumerate(zip(box, outputs, strict=True))
    )  # from the first whole box on
    return compose(BoxMean(k, shape_of(covered), A.axes), _crop(Identity(shape_of(box)), box, covered)), outputs


@_cut.register
def _(A: Bayer, box: Bounds) -> Piece:
    channels, rows, columns = box[-3:]
    if channels != (0, 3):
        raise CutError(f"{A!r} cannot be cut to some of its channels")
    colors = [A.pattern[2 * (i % 2) + j % 2] for i in (rows[0], rows[0] + 1) for j in (columns[0], columns[0] + 1)]
    return Bayer("".join(colors), shape_of(box)), (*box[:-3], (0, 1), rows, columns)


@_cut.register
def _(A: Convolution, box: Bounds) -> Piece:
    part = shape_of(box)
    if box[-2:] == whole(A.in_shape[-2:]):
        return Convolution(A.kernel, part, A.boundary), (*box[:-2], *whole(A.out_shape[-2:]))
    # y[i] sees x[i + o − k + 1] … x[i + o]. At the frame's edge, measurements that see beyond it are left out too: with
    # them, the convolution would have ends of two kinds, and no exact inverse
    ends = []
    for (a, b), k in zip(box[-2:], A.kernel.shape[-2:], strict=True):
        o = {"full": 0, "valid": k - 1}.get(A.boundary, (k - 1) // 2)
        ends.append((a + k - 1 - o, b - o))
    _need(A, tuple(ends))
    return Convolution(A.kernel, part, "valid"), (*box[:-2], *ends)


def _cut_factors(factors: Sequence[LinearOperator], box: Bounds) -> Piece:
    """A Kronecker product is cut factor by factor."""
    parts: list[LinearOperator] = []
    outputs: list[tuple[int, int]] = []
    done = 0
    for factor in factors:
        part, ends = cut(factor, box[done : done + len(factor.in_shape)])
        parts.append(part)
        outputs += ends
        done += len(factor.in_shape)
    return kron(*parts), tuple(outputs)


def _band(A: LinearOperator, matrix: Tensor, start: int, stop: int) -> tuple[Tensor, tuple[int, int]]:
    """The rows of a matrix that touch columns start … stop − 1 and no others, and which rows these are."""
    touched = (matrix != 0).flatten(0, -3).any(0) if matrix.ndim > 2 else matrix != 0
    inside = touched[:, start:stop].any(-1)
    outside = touched[:, :start].any(-1) | touched[:, stop:].any(-1)
    rows = torch.nonzero(inside & ~outside).flatten().tolist()
    if not rows or bool(outside[rows[0] : rows[-1] + 1].any()):
        raise CutError(
            f"{A!r} cannot be cut to entries {start} … {stop - 1}: "
            + ("its rows that see no others are not in a row" if rows else "each of its rows sees others too")
        )
    first, behind = rows[0], rows[-1] + 1
    return matrix[..., first:behind, start:stop], (first, behind)


def _crop(A: LinearOperator, outputs: Bounds, wanted: Bounds) -> LinearOperator:
    """A, whose outputs fill one box, cut down to the outputs in a smaller one."""
    if outputs == wanted:
        return A
    slices = tuple(slice(c - a, d - a) for (a, _), (c, d) in zip(outputs, wanted, strict=True))
    return compose(Slice(slices, A.out_shape), A)


def _need(A: LinearOperator, outputs: Bounds) -> None:
    if any(a >= b for a, b in outputs):
        raise CutError(f"{A!r} has no measurement that sees this part of the video alone: take larger parts")


def _count_below(places: range, end: int) -> int:
    """How many of the places come before `end`."""
    return len(range(places.start, min(places.stop, end), places.step))
