"""Which way to (AᴴA + ρI)⁻¹ is taken for an operator."""

from __future__ import annotations

import torch

from linops_video.algebra.operator import Compose, LinearOperator, compose, scalar, scale
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
from linops_video.inverses.spectral import Plan, Spectral, plan, zero_on
from linops_video.inverses.toeplitz import MARGIN_LIMIT, ToeplitzInverse
from linops_video.operators.stack import BlockDiagonal
from linops_video.operators.toeplitz import Toeplitz


def choose(A: LinearOperator, rtol: float) -> Inverse:
    """The exact way with the cheaper set-up, the Gram on ties, with the set-up done; else by iteration."""
    if isinstance(A, BlockDiagonal):
        return BlockInverse(A, tuple(choose(block, rtol) for block in A.operators))
    exact = A.to(dtype=torch.float64)
    # in A's own precision too: a kernel in float32 may be separable up to rounding there only
    ready = _exact_ways(exact) or (_exact_ways(A) if A.dtype != exact.dtype else [])
    if ready:
        kind, side, way = min(ready, key=lambda entry: entry[2].cost)
        method, found = f"exact: {way.name}, from the {side}", _built(way)
        if mixes(found) or (isinstance(found, Spectral) and not in_range(found.largest())):
            return kind(A, method, found, exact, True)
        return kind(A, method, _cast(found, A), A, False)
    rest, turn = _last(A)
    if rest is not None and _is_unitary(turn):
        inverse = choose(rest, rtol)
        if not inverse.iterative:
            return TurnedInverse(A, inverse.method, inverse, turn)
    elif rest is not None and (c := scalar(turn.outer())) is not None:
        inverse = choose(rest, rtol)
        found = _behind(inverse.decomposition, turn, c) if isinstance(inverse, GramInverse) else None
        if found is not None:
            return GramInverse(A, inverse.method, found, exact, True)
    way = plan_phases(exact)
    if way is not None:
        return GramInverse(A, f"exact: {way.name}, from the Gram", _built(way), exact, True)
    near = nearest_gram(exact)
    way = near and plan(near)
    if way is None:
        return IterativeInverse(A, "cg, not preconditioned", None, rtol)
    return IterativeInverse(A, f"cg, preconditioned by {way.name}", _cast(_built(way), A), rtol)


def _built(way: Plan) -> Decomposition:
    """The decomposition of a Gram or an outer product, which have no negative eigenvalues."""
    found = way.build()
    return found.nonnegative() if isinstance(found, Spectral) else found


def _is_unitary(A: LinearOperator) -> bool:
    c = scalar(A.gram()) if A.in_size == A.out_size else None
    return not isinstance(c, torch.Tensor) and c == 1


def _behind(G: Decomposition, Q: LinearOperator, c: float | torch.Tensor) -> Spectral | None:
    """QᴴGQ for QQᴴ = c·I: with G = UΛUᴴ the eigenvectors QᴴU/√c and eigenvalues cΛ, and zero on the rest."""
    batch = isinstance(c, torch.Tensor) and c.ndim
    if not isinstance(G, Spectral) or batch or (G.rest and G.rest.eigenvalues.any()):
        return None
    length = torch.where(c > 0, c.double(), 1).sqrt() if isinstance(c, torch.Tensor) else c**0.5  # zero only where Q is
    return Spectral(
        scale(1 / length, compose(Q.to(dtype=torch.float64).H, G.basis)), c * G.eigenvalues, zero_on(Q.in_shape)
    )


def _exact_ways(A: LinearOperator) -> list[tuple[type[ExactInverse], str, Plan]]:
    sides = [(GramInverse, "Gram", _plan(A.gram())), (OuterInverse, "outer product", _plan(A.outer()))]
    return [(kind, side, way) for kind, side, way in sides if way is not None]


def _last(A: LinearOperator) -> tuple[LinearOperator | None, LinearOperator]:
    """A without the operator that acts first, and that operator."""
    if not isinstance(A, Compose):
        return None, A
    rest, first = _last(A.right)
    return (A.left if rest is None else compose(A.left, rest)), first


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
