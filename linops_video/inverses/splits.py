"""Operators as B Q with QQᴴ = c·I: (AᴴA + ρI)⁻¹ follows from (BᴴB + ρI)⁻¹.

Q is the operator that acts first or may as well; or it deals the frames, or channels, to measurements of their own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import groupby

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from linops_video.algebra.operator import Compose, Identity, LinearOperator, Scaled, compose, scalar, scale
from linops_video.algebra.parameters import double, replaced
from linops_video.inverses.spectral import SVD_LIMIT, ZERO
from linops_video.operators.dense import AxisMatrix
from linops_video.operators.diagonal import Diagonal
from linops_video.operators.kron import kron, split_identities, swapped
from linops_video.operators.select import Select
from linops_video.operators.stack import BlockDiagonal, Stack


def splits(A: LinearOperator) -> Iterator[tuple[LinearOperator, LinearOperator, float | Tensor]]:
    """B, Q and c for the ways to write A = B Q with QQᴴ = c·I."""
    if isinstance(A, Scaled):
        yield from ((scale(A.factor, B), Q, c) for B, Q, c in splits(A.operator))
    chain = _chain(A) if isinstance(A, Compose) else []
    for i in reversed(range(len(chain))):
        first = _first(chain, i)
        if first is not None and (c := _length(first[1])) is not None:
            yield *first, c
            break
    if (parts := apart(A)) is not None:
        yield *parts, 1.0


def separated(A: LinearOperator) -> Iterator[tuple[Tensor, LinearOperator, LinearOperator, LinearOperator]]:
    """σ, R, L and Q for the ways to write A, a matrix along one axis and what treats the axis alike, as L B Q with
    LᴴL = QQᴴ = I and B the σᵢR side by side (overlapping exposures, or mixed colours, of a full convolution): by the
    singular values σ, shape (*batch, n), of the matrix. R is the other factor, on the axis cut to one entry."""
    if isinstance(A, Scaled):
        yield from ((sigma, scale(A.factor, R), L, Q) for sigma, R, L, Q in separated(A.operator))
    for axis in range(len(A.in_shape)):
        parts = [_at_axis(B, axis) for B in _chain(A)]
        pairs = [pair for pair in parts if pair is not None]
        if len(pairs) < len(parts) or all(isinstance(line, Identity) for line, _ in pairs):
            continue
        line, R = (reduce(compose, operators) for operators in zip(*pairs, strict=True))
        if max(line.in_size, line.out_size) > SVD_LIMIT or any(map(is_functorch_wrapped_tensor, line.tensors())):
            continue
        U, sigma, V = torch.linalg.svd(double(line.to_dense()), full_matrices=False)
        rank = int((sigma > ZERO * sigma[..., :1]).sum(-1).amax())
        sigma = sigma[..., :rank]
        if not rank or bool((sigma[..., -1:] <= 1e-6 * sigma[..., :1]).any()):
            continue  # A⁺ takes the σᵢR for zero by their own norms, and not by that of A
        into, out = (replaced(shape, axis, rank) for shape in (R.in_shape, R.out_shape))
        deal, gather = (Stack(tuple(Select((i,), axis, shape) for i in range(rank))) for shape in (into, out))
        L = compose(AxisMatrix(U[..., :rank], axis, out), gather.H)
        yield sigma, R, L, compose(deal, AxisMatrix(V[..., :rank, :], axis, A.in_shape))


def _at_axis(A: LinearOperator, axis: int) -> tuple[LinearOperator, LinearOperator] | None:
    """F and R of A = F ⊗ R, F along this axis, and R on it cut to one entry; None where A is no such product."""
    factors, first = split_identities(A._factors() or ()), 0
    for i, F in enumerate(factors):
        if first == axis and len(F.in_shape) == len(F.out_shape) == 1:
            return F, kron(*factors[:i], Identity((1,)), *factors[i + 1 :])
        if len(F.in_shape) != len(F.out_shape):
            return None
        first += len(F.in_shape)
    return None


def apart(A: LinearOperator) -> tuple[BlockDiagonal, Stack] | None:
    """B and Q of A = B Q, where A is a stack whose parts see different entries along one axis (a blur for every frame,
    a key frame and small frames, a pattern for every channel): Q deals them to the parts, QQᴴ = I; else None.

    Example:
        >>> from linops_video import BoxMean, Select, Stack
        >>> key, others = Select((0,), 0, (4, 3, 8, 8)), Select((1, 2, 3), 0, (4, 3, 8, 8))
        >>> apart(Stack((key, BoxMean(2, others.out_shape) @ others)))
        (BlockDiagonal((768) → (336)), Stack((4×3×8×8) → (768)))
    """
    if not isinstance(A, Stack):
        return None
    for axis in range(len(A.in_shape)):
        found = [_selected(part, axis) for part in A.operators]
        pairs = [pair for pair in found if pair is not None]
        groups = [list(same) for _, same in groupby(pairs, lambda pair: pair[1].indices)]
        seen = [i for group in groups for i in group[0][1].indices]
        alone = len(groups) > 1 or len(seen) < A.in_shape[axis]
        if len(pairs) == len(found) and alone and len(set(seen)) == len(seen):
            blocks = [tuple(B for B, _ in group) for group in groups]
            joined = tuple(Stack(block) if block[1:] else block[0] for block in blocks)
            return BlockDiagonal(joined), Stack(tuple(group[0][1] for group in groups))
    return None


def _selected(A: LinearOperator, axis: int) -> tuple[LinearOperator, Select] | None:
    """B and the selection S along the axis with A = B S; None where none is known."""
    if isinstance(A, Scaled):
        inner = _selected(A.operator, axis)
        return inner and (scale(A.factor, inner[0]), inner[1])
    chain = _chain(A)
    for i in reversed(range(len(chain))):
        first = _first(chain, i) if isinstance(chain[i], Select) else None
        if first is not None and isinstance(S := first[1], Select) and S.axis == axis:
            return first[0], S
    return None


def _first(chain: list[LinearOperator], i: int) -> tuple[LinearOperator, LinearOperator] | None:
    """B and Q with the i-th operator of a composition as Q, which acts first; None where it cannot."""
    Q, behind = chain[i], []
    for R in chain[i + 1 :]:
        masked = isinstance(Q, Select) and isinstance(R, Diagonal)
        pair = (Q.outer(R), Q) if masked else swapped(Q, R)
        if pair is None:
            return None
        behind.append(pair[0])
        Q = pair[1]
    return reduce(lambda B, R: compose(R, B), reversed([*chain[:i], *behind]), Identity(Q.out_shape)), Q


def _chain(A: LinearOperator) -> list[LinearOperator]:
    return [*_chain(A.left), *_chain(A.right)] if isinstance(A, Compose) else [A]


def _length(Q: LinearOperator) -> float | Tensor | None:
    """c where QQᴴ is known to be c·I, else None."""
    c = scalar(Q.outer())
    return scalar(Q.gram()) if c is None and Q.in_size == Q.out_size else c
