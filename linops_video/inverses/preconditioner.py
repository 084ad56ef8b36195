"""A structured operator near AᴴWA where that itself has none: what conjugate gradients are preconditioned with."""

from __future__ import annotations

import numpy as np
import torch

from linops_video.algebra.operator import Compose, Identity, LinearOperator, Scaled, Sum, add, scale
from linops_video.inverses.spectral import plan
from linops_video.operators.stack import Stack

PROBED = 20_000
"""Random signs that a mean eigenvalue is estimated with, one vector at least; a diagonal needs no more than that."""


def nearest_gram(A: LinearOperator, weight: LinearOperator | None = None) -> LinearOperator | None:
    """An operator near AᴴWA that can be diagonalised, None if only a multiple of the identity is known.

    Through a composition B∘C: C's Gram, weighted with what is known of BᴴWB, else with its mean eigenvalue; so a mask
    of a blur gives the mean of the mask times the blur's Gram. In a sum, diagonals are replaced by their means. The
    leaf's `approximate_gram` stands for a Gram without structure.
    """
    G = A.gram(weight)
    if plan(G) is not None:
        return G
    if isinstance(A, Scaled):
        near = nearest_gram(A.operator, weight)
        return near and scale(abs(A.factor) ** 2, near)
    if isinstance(A, Compose):
        inner = nearest_gram(A.left, weight)
        G = inner and A.right.gram(inner)
        if G is not None and plan(G) is not None:
            return G
        near = nearest_gram(A.right)
        return near and scale(_mean_eigenvalue(A.left.gram(weight)), near)
    if isinstance(A, Stack) and weight is None:
        return _sum_of([_or_mean(B) for B in A.operators])
    near = A.approximate_gram()
    if near is None or weight is None:
        return near
    return scale(_mean_eigenvalue(weight), near)


def _mean_eigenvalue(G: LinearOperator) -> torch.Tensor:
    """tr(G)/n of every sample, estimated as the mean of ⟨s, G s⟩/n over random signs s."""
    probes = -(-PROBED // G.in_size)
    # by NumPy: within torch.func.vmap torch draws no random numbers
    signs = np.random.default_rng(0).integers(0, 2, (probes, *(1,) * len(G.batch_shape), *G.in_shape))
    s = torch.from_numpy(2.0 * signs - 1).to(G.device).expand(probes, *G.batch_shape, *G.in_shape)
    products = (s * G(s).real).flatten(s.ndim - len(G.in_shape))
    return products.mean(-1).mean(0)


def _or_mean(A: LinearOperator) -> LinearOperator:
    near = nearest_gram(A)
    return _mean(A.gram()) if near is None else near


def _sum_of(grams: list[LinearOperator]) -> LinearOperator | None:
    """The sum, with the pointwise terms as means where they stand in the way, or all terms but those of fast bases."""
    total = add(*grams)
    terms = total.terms if isinstance(total, Sum) else (total,)
    pointwise, slow = map(_pointwise, terms), map(_slow, terms)
    for replaced in ((False for _ in terms), pointwise, slow):
        means = [(_mean(t) if in_the_way else t) for t, in_the_way in zip(terms, replaced, strict=True)]
        total = add(*means)
        if plan(total) is not None:
            return total
    return None


def _mean(A: LinearOperator) -> LinearOperator:
    return scale(_mean_eigenvalue(A), Identity(A.in_shape))


def _pointwise(A: LinearOperator) -> bool:
    way = plan(A)
    return way is not None and way.name == "pointwise"


def _slow(A: LinearOperator) -> bool:
    way = plan(A)
    return way is None or way.basis is None or way.name == "pointwise"
