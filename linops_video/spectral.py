"""Eigendecompositions of self-adjoint operators that have a structure: one short rule per type.

Everything that does not depend on ρ happens here, once, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import Field, dataclass
from typing import Any

import torch
from torch import Tensor

from linops_video.circulant import Circulant
from linops_video.convolution import EIGH_LIMIT
from linops_video.dense import Dense, DenseGram
from linops_video.diagonal import Diagonal
from linops_video.kron import Factors, align, kron
from linops_video.multiplier import Multiplier, transform_name
from linops_video.operator import Identity, LinearOperator, Scaled, Sum, compose
from linops_video.parameters import Parameters, Shape, by_parts, like, per_sample, tensor_field

Expand = Callable[[float | Tensor], float | Tensor]
Function = Callable[[Tensor, Expand], Tensor]
"""f(λ) of a tensor of eigenvalues; the second argument shapes a number per sample to it."""


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

    def function(self, fn: Function, b: Tensor) -> Tensor:
        """f(G) b = Q f(Λ) Qᴴ b + f(R) (b − Q Qᴴ b)."""
        inside = self.basis.H._apply(b)
        values = like(self.eigenvalues, inside.real)
        ndim = len(self.basis.in_shape)
        result = self.basis._apply(fn(values, lambda number: per_sample(like(number, values), ndim)) * inside)
        if self.rest is None:
            return result
        # projected twice: what rounding leaves of QQᴴb in the complement would be divided by ρ
        outside = b - self.basis._apply(inside)
        outside = outside - self.basis._apply(self.basis.H._apply(outside))
        return result + self.rest.function(fn, outside)

    def solve(self, rho: float | Tensor, b: Tensor) -> Tensor:
        """(G + ρI)⁻¹ b; ρ is a number, or a tensor with one number per sample."""
        return self.function(lambda values, each: 1 / (values + each(rho)), b)

    def solve_in_range(self, rho: float | Tensor, b: Tensor) -> Tensor:
        """(G + ρI)⁻¹ b for a b in the range of G; ρ = 0 is allowed and gives G⁺ b.

        Eigenvalues that are zero up to rounding are left out: b has nothing there but the rounding of the operations
        that made it, and 1/ρ would bring that out. With ρ > 0, what is left out must be below b's own precision.
        """
        precision = torch.finfo(b.dtype).eps ** 2
        cut = (precision if isinstance(rho, Tensor) or rho else ZERO) * self.largest()

        def invert(values: Tensor, each: Expand) -> Tensor:
            kept = values > each(cut)
            return torch.where(kept, 1 / torch.where(kept, values + each(rho), 1), 0)

        return self.function(invert, b)

    def largest(self) -> Tensor:
        """The largest eigenvalue of each sample."""
        own = self.eigenvalues.flatten(self.eigenvalues.ndim - len(self.basis.in_shape)).amax(-1)
        return own if self.rest is None else torch.maximum(own, self.rest.largest())

    def _event_ndim(self, f: Field) -> int:
        return len(self.basis.in_shape)


@dataclass(frozen=True)
class Plan:
    """How G + ρI will be inverted: the cost of the set-up in operations, a word for it, and the work itself."""

    cost: float
    name: str
    build: Callable[[], Any]


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
        return Plan(0, "scalar", lambda: Spectral(G, torch.ones((1,) * len(G.in_shape), dtype=torch.float64)))
    if isinstance(G, Scaled):
        return _plan_scaled(G)
    if isinstance(G, Diagonal):
        return Plan(1, "pointwise", lambda: Spectral(Identity(G.in_shape), G.diagonal.real))
    if isinstance(G, Circulant):
        return Plan(100, "FFT", lambda: _of_circulant(G))
    if isinstance(G, Multiplier):
        name = transform_name(G.transform)
        return Plan(100, name, lambda: Spectral(G.transform.H, G.values.real))
    if isinstance(G, Dense):
        n = math.prod(G.in_shape)
        return Plan(10.0 * n**3, f"eigh of {n}×{n}", lambda: _of_dense(G)) if n <= 2 * EIGH_LIMIT else None
    if isinstance(G, DenseGram):
        m, n = G.matrix.shape[-2:]
        name = f"SVD of {m}×{n}" if m <= SVD_LIMIT else f"thin eigh of {m}×{n}"
        return Plan(60.0 * m * m * n, name, lambda: _of_dense_gram(G)) if m <= 2 * EIGH_LIMIT else None
    return _plan_kron_sum(G.terms if isinstance(G, Sum) else (G,))


def _plan_scaled(G: Scaled) -> Plan | None:
    inner = plan(G.operator)

    def build() -> Spectral:
        assert inner is not None
        return _scaled(inner.build(), G.factor)

    return inner and Plan(inner.cost, inner.name, build)


def _scaled(s: Spectral, factor: float | Tensor) -> Spectral:
    values = s.eigenvalues * per_sample(factor, len(s.basis.in_shape))
    return Spectral(s.basis, values, s.rest and _scaled(s.rest, factor))


@dataclass(frozen=True, eq=False, repr=False)
class RealFourier(LinearOperator):
    """Half spectra, real and imaginary parts along a last axis of 2, to real tensors: `irfft2` with orthonormal scaling.

    Its `.H`, `rfft2`, is the inverse on half spectra of real tensors. A real operator, for complex data too.
    """

    out_shape: Shape

    @property
    def in_shape(self) -> Shape:
        return (*self.out_shape[:-1], self.out_shape[-1] // 2 + 1, 2)

    def _apply(self, x: Tensor) -> Tensor:
        return by_parts(self._synthesise, x)

    def _synthesise(self, x: Tensor) -> Tensor:
        spectrum = torch.view_as_complex(x.contiguous())
        return torch.fft.irfft2(spectrum, s=self.out_shape[-2:], norm="ortho")

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return by_parts(lambda part: torch.view_as_real(torch.fft.rfft2(part, norm="ortho")), y)


@dataclass(frozen=True, eq=False, repr=False)
class Blocks(LinearOperator):
    """One small square matrix along `axis` for every place on the other axes: the eigenvectors of many small systems.

    Args:
        matrices: shape (*batch, *others, n, n); `others` are the event axes without `axis`, of full size or 1.
    """

    matrices: Tensor = tensor_field(None)
    axis: int = 0
    in_shape: Shape = ()

    @property
    def out_shape(self) -> Shape:
        return self.in_shape

    def _event_ndim(self, f: Field) -> int:
        return len(self.in_shape) + 1

    def _apply(self, x: Tensor) -> Tensor:
        dim = self.axis - len(self.in_shape)
        y = (like(self.matrices, x) * x.movedim(dim, -1).unsqueeze(-2)).sum(-1)
        return y.movedim(-1, dim)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return self.H._apply(y)

    @property
    def H(self) -> LinearOperator:
        return Blocks(self.matrices.mH, self.axis, self.in_shape)


def _of_circulant(G: Circulant) -> Spectral:
    w = G.transfer.real
    values = w.reshape(w.shape[:-2] + (1,) * (len(G.in_shape) - 2) + w.shape[-2:])
    values = values.unsqueeze(-1).repeat_interleave(2, -1)  # stored for both parts: a broadcast over 2 is slow
    return Spectral(RealFourier(G.in_shape), values)


def _of_dense(G: Dense) -> Spectral:
    values, vectors = torch.linalg.eigh(_double(G.matrix))
    return Spectral(Dense(vectors, values.shape[-1:], G.in_shape), values.clamp(min=0))


def _of_dense_gram(G: DenseGram) -> Spectral:
    """MᴴM through the SVD of M or, where that takes minutes, through MMᴴ = UΛUᴴ with the eigenvectors MᴴUΛ^(−1/2)."""
    zero = Spectral(Identity(G.in_shape), torch.zeros((1,) * len(G.in_shape), dtype=torch.float64))
    matrix = _double(G.matrix)
    if matrix.shape[-2] <= SVD_LIMIT:
        _, singular, rows = torch.linalg.svd(matrix, full_matrices=False)
        return Spectral(Dense(rows.mH, singular.shape[-1:], G.in_shape), singular**2, zero)
    values, vectors = torch.linalg.eigh(matrix @ matrix.mH)
    kept = values > ZERO * values[..., -1:]
    roots = torch.where(kept, torch.where(kept, values, 1).rsqrt(), 0)
    coefficients = Dense(vectors * roots.unsqueeze(-2), values.shape[-1:], values.shape[-1:])
    return Spectral(compose(G.root.H, coefficients), torch.where(kept, values, 0), zero)


def _double(matrix: Tensor) -> Tensor:
    return matrix.to(torch.promote_types(matrix.dtype, torch.float64))


SHORT_AXIS = 64
"""Longest axis on which the terms of a sum may have different eigenvectors: an eigh of it per shared eigenvalue."""


def _plan_kron_sum(terms: Factors) -> Plan | None:
    """Σₖ cₖ ⊗ᵢ Fᵢₖ, exact where on every axis but one short one all Fᵢₖ are the same operator or the identity."""
    factors = [(A.factor, A.operator) if isinstance(A, Scaled) else (1.0, A) for A in terms]
    coefficients = [c for c, _ in factors]
    groups = align(*((A, "in_shape") for _, A in factors))
    if groups is None:
        return None
    distinct = [list({id(F): F for F in group if not isinstance(F, Identity)}.values()) for group in groups]
    mixed = [i for i, different in enumerate(distinct) if len(different) > 1]
    short = all(len(groups[i][0].in_shape) == 1 and groups[i][0].in_shape[0] <= SHORT_AXIS for i in mixed)
    plans = [plan(d[0] if len(d) == 1 else Identity(g[0].in_shape)) for d, g in zip(distinct, groups, strict=True)]
    ready = [p for p in plans if p is not None]
    if len(mixed) > 1 or not short or len(ready) < len(plans):
        return None
    costs = sorted((p.cost, p.name) for p in ready)
    name = costs[-1][1] if not mixed else f"{costs[-1][1]}, then eigh per eigenvalue"

    def build() -> Spectral:
        spectra = [p.build() for p in ready]
        return _assemble(coefficients, groups, spectra, mixed[0] if mixed else None)

    thin = sum(len(d) == 1 and isinstance(d[0], DenseGram) for d in distinct)
    return Plan(sum(cost for cost, _ in costs), name, build) if thin <= 1 else None


def _assemble(
    coefficients: list[float | Tensor], groups: list[Factors], spectra: list[Spectral], mixed: int | None
) -> Spectral:
    ndims = [len(s.basis.in_shape) for s in spectra]
    values = None
    for k, c in enumerate(coefficients):
        term = torch.as_tensor(c, dtype=torch.float64)
        term = term.reshape(term.shape + (1,) * sum(ndims))
        for i, s in enumerate(spectra):
            if i != mixed and not isinstance(groups[i][k], Identity):
                batch = s.eigenvalues.shape[: s.eigenvalues.ndim - ndims[i]]
                event = s.eigenvalues.shape[len(batch) :]
                term = term * s.eigenvalues.reshape(*batch, *(1,) * sum(ndims[:i]), *event, *(1,) * sum(ndims[i + 1 :]))
        if mixed is not None:
            axis = sum(ndims[:mixed])
            n = groups[mixed][0].in_shape[0]
            term = term.squeeze(axis - sum(ndims))
            matrix = groups[mixed][k].to_dense()
            matrix = matrix.reshape(*matrix.shape[:-2], *(1,) * (sum(ndims) - 1), n, n)
            term = term[..., None, None] * matrix
        values = term if values is None else values + term
    assert values is not None
    basis = kron(*(s.basis for s in spectra))
    if mixed is not None:
        values, vectors = torch.linalg.eigh(values)
        axis = sum(ndims[:mixed])
        basis = basis @ Blocks(vectors, axis, basis.in_shape)
        values = values.clamp(min=0).movedim(-1, axis - sum(ndims))
    rests = [s.rest for s in spectra]
    thin = next((i for i, rest in enumerate(rests) if rest is not None), None)
    rest = None
    if thin is not None:
        replaced = [rests[i] if i == thin else s for i, s in enumerate(spectra)]
        rest = _assemble(coefficients, groups, [s for s in replaced if s is not None], mixed)
    return Spectral(basis, values, rest)
