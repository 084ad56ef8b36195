"""Eigendecompositions of self-adjoint operators that have a structure: one short rule per type.

Everything that does not depend on ρ happens here, once, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import Field, dataclass, replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from linops_video.algebra.operator import Adjoint, Compose, Identity, LinearOperator, Scaled, Sum, compose
from linops_video.algebra.parameters import (
    Parameters,
    added,
    as_tensor,
    double,
    like,
    multiplied,
    per_sample,
    tensor_field,
    widened,
)
from linops_video.inverses.places import at_every_place, mixed_axis
from linops_video.operators.blocks import SIDE_LIMIT, Blocks
from linops_video.operators.circulant import Circulant
from linops_video.operators.dense import Dense, DenseGram
from linops_video.operators.diagonal import Diagonal
from linops_video.operators.fourier import PhaseFourier, RealFourier
from linops_video.operators.geometry import Flip, Mosaic, Roll, Transpose
from linops_video.operators.kron import Factors, Kron, align, kron
from linops_video.operators.multiplier import Multiplier, same, transform_name
from linops_video.operators.stack import BlockDiagonal, join_parts

Expand = Callable[[float | Tensor], float | Tensor]
Function = Callable[[Tensor, Expand], Tensor]
"""f(λ) of a tensor of eigenvalues; the second argument shapes a number per sample to it."""

EIGH_LIMIT = 4096
"""Most rows of a matrix that is diagonalised."""

SVD_LIMIT = 512
"""Most rows of a wide matrix for an SVD, which keeps small singular values better than an eigh, and takes longer."""

ZERO = 1e-12
"""Eigenvalues below this share of the largest count as zero: singular values below 1e-6 of the largest."""


@dataclass(frozen=True, eq=False)
class Spectral(Parameters):
    """G = Q Λ Qᴴ + R (I − Q Qᴴ): eigenvectors Q with QᴴQ = I, eigenvalues Λ, and what G is on the rest of the space.

    Args:
        basis: Q, from coefficients to tensors of G's shape; an operator whose `.H` is its inverse on its range.
        eigenvalues: Λ, real, shape (*batch, *coefficients) or broadcastable to it.
        rest: the decomposition of R; None where Q is complete.
    """

    basis: LinearOperator
    eigenvalues: Tensor = tensor_field(None)
    rest: Spectral | None = None

    def nonnegative(self) -> Spectral:
        """That of a positive semidefinite G, of which rounding has made eigenvalues of zero negative."""
        return Spectral(self.basis, self.eigenvalues.clamp(min=0), self.rest and self.rest.nonnegative())

    def function(self, fn: Function, b: Tensor) -> Tensor:
        """f(G) b = Q f(Λ) Qᴴ b + f(R) (b − Q Qᴴ b)."""
        inside = self.basis._apply_adjoint(b)
        values = like(self.eigenvalues, inside.real)
        ndim = len(self.basis.in_shape)
        result = self.basis._apply(fn(values, lambda number: per_sample(like(number, values), ndim)) * inside)
        if self.rest is None:
            return result
        # projected before and after: what rounding leaves of QQᴴb in the complement is divided by ρ there
        outside = self.rest.function(fn, b - self.basis._apply(inside))
        return result + outside - self.basis._apply(self.basis._apply_adjoint(outside))

    def solve(self, rho: float | Tensor, b: Tensor) -> Tensor:
        """(G + ρI)⁻¹ b; ρ is a number, or a tensor with one number per sample."""
        return self.function(lambda values, each: 1 / (values + each(rho)), b)

    def solve_in_range(self, rho: float | Tensor, b: Tensor) -> Tensor:
        """(G + ρI)⁻¹ b for a b in the range of G; ρ = 0 is allowed and gives G⁺ b.

        G⁺ leaves out the eigenvalues that count as zero. With ρ > 0 none is: one of AᴴA that rounding has made zero may
        be that of a singular value of 1e-8 ‖A‖, and b is known to more digits than that.
        """
        return self.solve(rho, b) if isinstance(rho, Tensor) or rho else self.pseudoinverse()(b)

    def pseudoinverse(self) -> Callable[[Tensor], Tensor]:
        """b ↦ G⁺ b."""
        cut = ZERO * self.largest()

        def invert(values: Tensor, each: Expand) -> Tensor:
            kept = values > each(cut)
            return torch.where(kept, 1 / torch.where(kept, values, 1), 0)

        return lambda b: self.function(invert, b)

    def prepared(self, rho: float | Tensor) -> Spectral:
        """This one: nothing is worth working out for a ρ beforehand."""
        return self

    def largest(self) -> Tensor:
        """The largest eigenvalue of each sample."""
        own = self.eigenvalues.flatten(self.eigenvalues.ndim - len(self.basis.in_shape)).amax(-1)
        return own if self.rest is None else torch.maximum(own, self.rest.largest())

    def occurrences(self, dimension: int | None = None) -> tuple[Tensor, Tensor]:
        """Every stored eigenvalue, shape (*batch, K), and how often it occurs, shape (K,).

        Those of a `rest` occur as often as the eigenvectors Q leave dimensions to it; `dimension` says how many.
        """
        shape = self.basis.in_shape
        stored = self.eigenvalues.shape[self.eigenvalues.ndim - len(shape) :]
        counts = _distinct(self.basis).long().expand(shape)
        spread = [axis for axis, n in enumerate(stored) if n == 1]
        counts = (counts.sum(spread, keepdim=True) if spread else counts).flatten().to(self.eigenvalues.device)
        if dimension is not None:
            counts = counts * dimension // int(counts.sum())
        values = self.eigenvalues.flatten(self.eigenvalues.ndim - len(shape)) if shape else self.eigenvalues[..., None]
        if self.rest is None:
            return values, counts
        more, again = self.rest.occurrences(math.prod(self.basis.out_shape) - int(counts.sum()))
        return join_parts([(part, part.shape[-1:]) for part in (values, more)]), torch.cat((counts, again))

    def smallest(self) -> Tensor:
        """The smallest eigenvalue of each sample that does not count as zero."""
        values, counts = self.occurrences()
        kept = (counts > 0) & (values > ZERO * per_sample(self.largest(), 1))
        return torch.where(kept, values, torch.inf).amin(-1).double()

    def logdet(self, rho: float | Tensor) -> Tensor:
        """log det(G + ρI), float64, one number per sample."""
        values, counts = self.occurrences()
        return (counts * torch.log(values.double() + per_sample(rho, 1))).sum(-1)

    def _event_ndim(self, f: Field) -> int:
        return len(self.basis.in_shape)


@dataclass(frozen=True)
class Plan:
    """How G + ρI will be inverted: the cost of the set-up in operations, a word for it, and the work itself."""

    cost: float
    name: str
    build: Callable[[], Any]
    basis: LinearOperator | None = None  # Q where it is known beforehand: what has the same is diagonalised together
    complete: bool = True  # whether Q spans the whole space


def spectral(G: LinearOperator) -> Spectral | None:
    """The eigendecomposition of a self-adjoint G, None where its structure gives none.

    Example:
        >>> import torch
        >>> from linops_video import Diagonal
        >>> spectral(Diagonal(torch.tensor([1.0, 4.0]), (2,))).largest()
        tensor(4.)
    """
    way = plan(G)
    return way and way.build()


def plan(G: LinearOperator) -> Plan | None:
    """The cheapest way to `spectral(G)`, before any of the work is done."""
    if isinstance(G, Identity):
        one = torch.ones((1,) * len(G.in_shape), dtype=torch.float64)
        return Plan(0, "scalar", lambda: Spectral(G, one), G)
    if isinstance(G, Scaled):
        inner = plan(G.operator)
        return inner and replace(inner, build=lambda: _scaled(inner.build(), G.factor))
    if isinstance(G, Diagonal):
        identity = Identity(G.in_shape)
        return Plan(1, "pointwise", lambda: Spectral(identity, G.diagonal.real), identity)
    if isinstance(G, Circulant):
        return Plan(100, "FFT", lambda: _of_circulant(G), RealFourier(G.in_shape))
    if isinstance(G, Multiplier):
        basis = G.transform.H
        return Plan(100, transform_name(G.transform), lambda: Spectral(basis, G.values.real), basis)
    if isinstance(G, Dense):
        n = math.prod(G.in_shape)
        return Plan(10.0 * n**3, f"eigh of {n}×{n}", lambda: _of_dense(G)) if n <= EIGH_LIMIT else None
    if isinstance(G, DenseGram):
        m, n = G.matrix.shape[-2:]
        name = f"SVD of {m}×{n}" if m <= SVD_LIMIT else f"thin eigh of {m}×{n}"
        return Plan(60.0 * m * m * n, name, lambda: _of_dense_gram(G), None, False) if m <= EIGH_LIMIT else None
    if isinstance(G, Blocks):
        n = G.in_shape[G.axis]
        cost = 10.0 * n**2 * math.prod(G.matrices.shape[:-1])
        return Plan(cost, f"eigh of {n}×{n} at every place", lambda: _of_blocks(G))
    if isinstance(G, BlockDiagonal):
        return _plan_block_diagonal(G)
    if isinstance(G, Compose):
        return _plan_permuted(G) or _plan_places(G)
    return _plan_kron_sum(G.terms if isinstance(G, Sum) else (G,)) or _plan_places(G)


def _plan_places(G: LinearOperator) -> Plan | None:
    """Of what mixes entries along one short axis alone: masks and matrices along that axis, multiplied and added."""
    if (axis := mixed_axis(G)) is None:
        return None
    n = G.in_shape[axis]
    cost = 10.0 * n**2 * math.prod((*G.batch_shape, *G.in_shape))
    return Plan(cost, f"eigh of {n}×{n} at every place", lambda: _of_blocks(at_every_place(G, axis)))


def _plan_permuted(G: Compose) -> Plan | None:
    """PᴴWP for a permutation P of the entries: W's eigenvectors, permuted."""
    W, P = (G.right.left, G.right.right) if isinstance(G.right, Compose) else (G.right, G.right)
    leaf = P.operator if isinstance(P, Adjoint) else P
    inner = plan(W) if isinstance(leaf, (Flip, Roll, Transpose, Mosaic)) and same(G.left, P.H) else None

    def permuted(s: Spectral) -> Spectral:
        return Spectral(compose(G.left, s.basis), s.eigenvalues, s.rest and permuted(s.rest))

    return inner and replace(inner, build=lambda: permuted(inner.build()), basis=None)


def _plan_complete(G: LinearOperator, limit: int) -> Plan | None:
    """A plan, with all eigenvectors for an MᴴM of no more than so many rows."""
    return plan(G.dense if isinstance(G, DenseGram) and G.in_size <= limit else G)


def _plan_block_diagonal(G: BlockDiagonal) -> Plan | None:
    plans = [_plan_complete(A, EIGH_LIMIT) for A in G.operators]
    ready = [p for p in plans if p is not None and p.complete]
    if len(ready) < len(plans):
        return None

    def build() -> Spectral:
        spectra = [p.build() for p in ready]
        basis = BlockDiagonal(tuple(s.basis for s in spectra))
        values = [s.eigenvalues.expand(*s.batch_shape, *s.basis.in_shape) for s in spectra]
        return Spectral(basis, join_parts([(v, s.basis.in_shape) for s, v in zip(spectra, values, strict=True)]))

    return Plan(sum(p.cost for p in ready), "; ".join(dict.fromkeys(p.name for p in ready)), build)


def _scaled(s: Spectral, factor: float | Tensor) -> Spectral:
    values = multiplied(s.eigenvalues, as_tensor(per_sample(factor, len(s.basis.in_shape))))
    return Spectral(s.basis, values, s.rest and _scaled(s.rest, factor))


def _distinct(basis: LinearOperator) -> Tensor:
    """Where a coefficient is one of its own: half spectra hold the real and imaginary parts of some frequencies, those
    of columns 0 and W/2, twice. Broadcasts over the coefficients."""
    if isinstance(basis, RealFourier):
        own = torch.ones(basis.in_shape[-2:], dtype=torch.bool)
        own[0, 1] = False
        own[-1, 1] &= basis.out_shape[-1] % 2 == 1
        return own.reshape((1,) * (len(basis.in_shape) - 2) + own.shape)
    if isinstance(basis, (PhaseFourier, Scaled)):
        return _distinct(basis.operator if isinstance(basis, Scaled) else basis.transform)
    if isinstance(basis, Kron):
        masks = [_distinct(part) for part in basis.factors]
        sizes = [(1,) * sum(m.ndim for m in masks[i + 1 :]) for i in range(len(masks))]
        return reduce(torch.logical_and, (m.reshape(m.shape + ones) for m, ones in zip(masks, sizes, strict=True)))
    if isinstance(basis, Compose):
        return _distinct(basis.left if isinstance(basis.right, Blocks) else basis.right)
    if isinstance(basis, BlockDiagonal):
        return torch.cat([_distinct(part).expand(part.in_shape).flatten() for part in basis.operators])
    return torch.ones((1,) * len(basis.in_shape), dtype=torch.bool)


def _of_circulant(G: Circulant) -> Spectral:
    values = widened(G.transfer.real, len(G.in_shape) - 2).unsqueeze(-1)
    return Spectral(RealFourier(G.in_shape), values.repeat_interleave(2, -1))  # for both parts: a broadcast is slow


def _of_blocks(G: Blocks) -> Spectral:
    values, vectors = torch.linalg.eigh(double(G.matrices))
    dim = G.axis - len(G.in_shape)
    return Spectral(Blocks(vectors, G.axis, G.in_shape), values.movedim(-1, dim))


def _of_dense(G: Dense) -> Spectral:
    values, vectors = torch.linalg.eigh(double(G.matrix))
    return Spectral(Dense(vectors, values.shape[-1:], G.in_shape), values)


def _of_dense_gram(G: DenseGram) -> Spectral:
    """MᴴM through the SVD of M or, where that takes minutes, through MMᴴ = UΛUᴴ with the eigenvectors MᴴUΛ^(−1/2)."""
    zero = Spectral(Identity(G.in_shape), torch.zeros((1,) * len(G.in_shape), dtype=torch.float64))
    matrix = double(G.matrix)
    if matrix.shape[-2] <= SVD_LIMIT:
        _, singular, rows = torch.linalg.svd(matrix, full_matrices=False)
        return Spectral(Dense(rows.mH, singular.shape[-1:], G.in_shape), singular**2, zero)
    values, vectors = torch.linalg.eigh(matrix @ matrix.mH)
    kept = values > ZERO * values[..., -1:]
    roots = torch.where(kept, torch.where(kept, values, 1).rsqrt(), 0)
    coefficients = Dense(vectors * roots.unsqueeze(-2), values.shape[-1:], values.shape[-1:])
    return Spectral(compose(G.root.H, coefficients), torch.where(kept, values, 0), zero)


@dataclass(frozen=True)
class Axes:
    """A group of axes of Σₖ cₖ ⊗ᵢ Fᵢₖ on which all Fᵢₖ have the eigenvectors `basis`: the eigenvalues of each, None for
    an identity. Where they share none, on one short axis, `basis` is the identity and `matrices` are the Fᵢₖ."""

    basis: LinearOperator
    values: list[Tensor | None]
    rest: Axes | None = None
    matrices: list[Tensor] | None = None

    @staticmethod
    def of(group: Factors, plans: list[Plan] | None) -> Axes:
        if plans is None:
            return Axes(Identity(group[0].in_shape), [None] * len(group), matrices=[F.to_dense() for F in group])
        spectra = {id(p): p.build() for p in plans}
        ready = [None if isinstance(F, Identity) else spectra[id(p)] for F, p in zip(group, plans, strict=True)]
        known = next((s for s in ready if s is not None), spectra[id(plans[0])])
        rest = known.rest and Axes(known.rest.basis, [s and s.rest and s.rest.eigenvalues for s in ready])
        return Axes(known.basis, [s and s.eigenvalues for s in ready], rest)


def _plan_kron_sum(terms: Factors, limit: int = 0) -> Plan | None:
    """Σₖ cₖ ⊗ᵢ Fᵢₖ, exact where on every group of axes but one short one all Fᵢₖ have the same eigenvectors, of which
    some may be left out on one group: on longer axes than `limit`, few distinct eigenvalues are quick to iterate on."""
    factors = [(A.factor, A.operator) if isinstance(A, Scaled) else (1.0, A) for A in terms]
    groups = align(*((A, "in_shape") for _, A in factors))
    if groups is None:
        return _plan_single(terms)
    plans = [_plans_with_one_basis(group, limit) for group in groups]
    mixed = [i for i, found in enumerate(plans) if found is None]
    if len(mixed) > 1 or any(len(groups[i][0].in_shape) > 1 or groups[i][0].in_shape[0] > SIDE_LIMIT for i in mixed):
        return None
    distinct = {id(p): p for found in plans for p in found or ()}.values()
    if sum(not p.complete for p in distinct) > 1:
        return None if limit else _plan_kron_sum(terms, SVD_LIMIT)
    if not distinct:
        return None
    costs = sorted((p.cost, p.name) for p in distinct)
    name = costs[-1][1] if not mixed else f"{costs[-1][1]}, then eigh per eigenvalue"

    def build() -> Spectral:
        ready = [Axes.of(group, found) for group, found in zip(groups, plans, strict=True)]
        return _assemble([c for c, _ in factors], ready)

    cost = sum(cost for cost, _ in costs) + sum(10.0 * groups[i][0].in_shape[0] ** 3 for i in mixed)
    return Plan(cost, name, build, None, all(p.complete for p in distinct))


def _plan_single(terms: Factors) -> Plan | None:
    """The plan of one operator that is its own only factor, in another form: a matrix along the only axis."""
    factors = terms[0]._factors() if len(terms) == 1 else None
    return plan(factors[0]) if factors and len(factors) == 1 and type(factors[0]) is not type(terms[0]) else None


def _plans_with_one_basis(group: Factors, limit: int) -> list[Plan] | None:
    """A plan for each operator on a group of axes, all with the same eigenvectors; None where there are none such."""
    known: list[tuple[LinearOperator, Plan]] = []
    found: list[Plan | None] = []
    for F in group:
        p = next((p for G, p in known if same(F, G)), None) or _plan_complete(F, limit)
        if p is None:
            return None
        known.append((F, p))
        found.append(None if isinstance(F, Identity) else p)
    distinct = list({id(p): p for p in found if p is not None}.values()) or [known[0][1]]
    first = distinct[0]
    if len(distinct) > 1 and not all(p.basis and first.basis and same(p.basis, first.basis) for p in distinct):
        return None
    return [p or first for p in found]


def _assemble(coefficients: list[float | Tensor], groups: list[Axes]) -> Spectral:
    ndims = [len(g.basis.in_shape) for g in groups]
    total = sum(ndims)
    mixed = next((i for i, g in enumerate(groups) if g.matrices is not None), None)
    place = sum(ndims[:mixed]) - total if mixed is not None else 0
    values = torch.zeros((1,) * total, dtype=torch.float64)
    for k, c in enumerate(coefficients):
        term = torch.as_tensor(c, dtype=torch.float64)
        term = term.reshape(term.shape + (1,) * total)
        for i, g in enumerate(groups):
            own = g.values[k]
            if own is not None:
                batch, event = own.shape[: own.ndim - ndims[i]], own.shape[own.ndim - ndims[i] :]
                own = own.reshape(*batch, *(1,) * sum(ndims[:i]), *event, *(1,) * sum(ndims[i + 1 :]))
                term = multiplied(term, own)
        if mixed is not None:
            matrix = widened((groups[mixed].matrices or [])[k], total - 1)
            term = multiplied(term.squeeze(place)[..., None, None], matrix)
        values = added(values, term)
    basis = kron(*(g.basis for g in groups))
    if mixed is not None:
        values, vectors = torch.linalg.eigh(values)
        basis = compose(basis, Blocks(vectors, total + place, basis.in_shape))
        values = values.movedim(-1, place)
    unseen = any(g.rest is not None for g in groups)
    rest = _assemble(coefficients, [g.rest or g for g in groups]) if unseen else None
    return Spectral(basis, values, rest)
