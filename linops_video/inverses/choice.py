"""Which way to (AᴴA + ρI)⁻¹ is taken for an operator."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from linops_video.algebra.operator import Identity, LinearOperator, scale
from linops_video.algebra.parameters import in_range
from linops_video.inverses.composite import BlockInverse, TurnedInverse
from linops_video.inverses.inverse import (
    Decomposition,
    ExactInverse,
    GramInverse,
    Inverse,
    IterativeInverse,
    OuterInverse,
    mixes,
)
from linops_video.inverses.phases import plan_phases
from linops_video.inverses.preconditioner import nearest_gram
from linops_video.inverses.spectral import Plan, Spectral, plan
from linops_video.inverses.splits import separated, splits
from linops_video.inverses.toeplitz import MARGIN_LIMIT, ToeplitzInverse
from linops_video.operators.blocks import ENTRIES_LIMIT
from linops_video.operators.stack import BlockDiagonal
from linops_video.operators.toeplitz import Toeplitz


def choose(A: LinearOperator, rtol: float) -> Inverse:
    """The exact way with the cheaper set-up, the Gram on ties, with the set-up done; else by iteration."""
    if isinstance(A, BlockDiagonal):
        return BlockInverse(A, tuple(choose(block, rtol) for block in A.operators))
    return _exactly(A) or _iteratively(A, rtol)


def _exactly(A: LinearOperator) -> Inverse | None:
    """The exact way with the cheaper set-up; None where none is known."""
    if isinstance(A, BlockDiagonal):
        blocks = [block for block in map(_exactly, A.operators) if block is not None]
        fits = len(blocks) == len(A.operators) and sum(map(_margin_entries, blocks)) <= ENTRIES_LIMIT
        return BlockInverse(A, tuple(blocks)) if fits else None
    exact = A.to(dtype=torch.float64)
    # in A's own precision too: a kernel in float32 may be separable up to rounding there only
    ready = _exact_ways(exact) or (_exact_ways(A) if A.dtype != exact.dtype else [])
    if ready:
        kind, side, way = min(ready, key=lambda entry: entry[2].cost)
        method, found = f"exact: {way.name}, from the {side}", _built(way)
        if mixes(found) or (isinstance(found, Spectral) and not in_range(found.largest())):
            return kind(A, method, found, exact, True)
        return kind(A, method, _cast(found, A), A, False)
    for B, Q, c in splits(A):
        inverse = _exactly(B)
        if inverse is not None:
            return TurnedInverse(A, inverse.method, inverse, Q, c)
    for sigma, R, L, Q in separated(A):
        inverse = _exactly(R)
        if inverse is not None and sigma.numel() * _margin_entries(inverse) <= ENTRIES_LIMIT:
            return TurnedInverse(A, inverse.method, _multiples(inverse, sigma), Q, 1.0, L)
    way = plan_phases(exact)
    return way and GramInverse(A, f"exact: {way.name}, from the Gram", _built(way), exact, True)


def _multiples(inverse: Inverse, factors: Tensor) -> BlockInverse:
    """Of a block c A for every factor c, from that of A."""
    A = inverse.operator
    one = Identity(A.in_shape)
    blocks = [TurnedInverse(scale(c, A), inverse.method, inverse, scale(c, one), c**2) for c in factors.unbind(-1)]
    return BlockInverse(BlockDiagonal(tuple(block.operator for block in blocks)), tuple(blocks))


def _margin_entries(inverse: Inverse) -> int:
    """How many entries the margin systems of full and valid convolutions have."""
    if isinstance(inverse, TurnedInverse):
        return _margin_entries(inverse.inverse)
    if isinstance(inverse, BlockInverse):
        return sum(map(_margin_entries, inverse.blocks))
    G = inverse.decomposition if isinstance(inverse, ExactInverse) else None
    return math.prod(G.operator.batch_shape) * G.operator.margin**2 if isinstance(G, ToeplitzInverse) else 0


def _iteratively(A: LinearOperator, rtol: float) -> IterativeInverse:
    """By conjugate gradients, preconditioned where a structured operator near AᴴA is known."""
    near = nearest_gram(A.to(dtype=torch.float64))
    way = near and plan(near)
    if way is None:
        return IterativeInverse(A, "cg, not preconditioned", None, rtol)
    return IterativeInverse(A, f"cg, preconditioned by {way.name}", _cast(_built(way), A), rtol)


def _built(way: Plan) -> Decomposition:
    """The decomposition of a Gram or an outer product, which have no negative eigenvalues."""
    found = way.build()
    return found.nonnegative() if isinstance(found, Spectral) else found


def _exact_ways(A: LinearOperator) -> list[tuple[type[ExactInverse], str, Plan]]:
    sides = [(GramInverse, "Gram", _plan(A.gram())), (OuterInverse, "outer product", _plan(A.outer()))]
    return [(kind, side, way) for kind, side, way in sides if way is not None]


def _plan(G: LinearOperator) -> Plan | None:
    if not isinstance(G, Toeplitz):
        return plan(G)
    if G.margin > MARGIN_LIMIT:
        return None
    return Plan(float(G.margin) ** 3, f"FFT and a margin of {G.margin} pixels", lambda: ToeplitzInverse.of(G))


def _cast(decomposition: Decomposition, A: LinearOperator) -> Decomposition:
    """The decomposition in A's precision, float32 at least."""
    if A.dtype is None or not isinstance(decomposition, Spectral):
        return decomposition
    return decomposition.to(dtype=torch.promote_types(A.dtype.to_real(), torch.float32))
