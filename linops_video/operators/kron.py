"""Kronecker products: operators that act on separate groups of axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from linops_video.algebra.operator import Identity, LinearOperator, Scaled, compose, scalar, scale
from linops_video.algebra.parameters import Shape
from linops_video.errors import DtypeError

Factors = tuple[LinearOperator, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Kron(LinearOperator):
    """A₁ ⊗ A₂ ⊗ …: each factor acts on its own group of consecutive event axes; made by `kron`.

    Example:
        >>> import torch
        >>> from linops_video import Dense, Identity, kron
        >>> luma = kron(Identity((2,)), Dense(torch.tensor([[0.299, 0.587, 0.114]]), (3,), (1,)), Identity((4, 4)))
        >>> luma.out_shape
        (2, 1, 4, 4)
    """

    factors: Factors

    @property
    def in_shape(self) -> Shape:
        return tuple(n for f in self.factors for n in f.in_shape)

    @property
    def out_shape(self) -> Shape:
        return tuple(n for f in self.factors for n in f.out_shape)

    def _apply(self, x: Tensor) -> Tensor:
        return _apply_each(self.factors, x)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return _apply_each(tuple(f.H for f in self.factors), y)

    @property
    def H(self) -> LinearOperator:
        return kron(*(f.H for f in self.factors))

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        return separable_gram(self, weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return separable_gram(Kron(tuple(f.H for f in self.factors)), weight)

    def _after(self, other: LinearOperator) -> LinearOperator | None:
        # only with another product: the factors of a leaf may be matrices, slower than what the leaf itself does
        groups = align((self, "in_shape"), (other, "out_shape")) if isinstance(other, Kron) else None
        return kron(*(compose(a, b) for a, b in groups)) if groups else None

    def _factors(self) -> Factors:
        return self.factors

    def _known_norm(self) -> Tensor:
        return math.prod((f.norm() for f in self.factors[1:]), start=self.factors[0].norm())


def kron(*factors: LinearOperator) -> LinearOperator:
    """A₁ ⊗ A₂ ⊗ …, simplified: nested products are flattened, multiples move out, adjacent identities become one, and
    a factor among identities becomes one operator of its own kind where there is one (a Diagonal, a Select, …).

    Raises:
        DtypeError: if a factor is not an operator.
        ShapeError: if it is a `batch` of operators.

    Example:
        >>> from linops_video import Identity, Select
        >>> kron(Identity((3,)), Select((0, 2), 0, (4,)), Identity((8, 8)))
        Select((3×4×8×8) → (3×2×8×8))
    """
    flat: list[LinearOperator] = []
    factor: float | Tensor = 1.0
    for f in factors:
        if not isinstance(f, LinearOperator):
            raise DtypeError(f"kron needs operators, got {type(f).__name__}: Dense(matrix, …) makes one of a matrix")
        _ = f.in_size, f.out_size  # a `batch` of several shapes has none, and raises
        if isinstance(f, Scaled):
            factor, f = factor * f.factor, f.operator
        for part in f.factors if isinstance(f, Kron) else (f,):
            if isinstance(part, Identity) and flat and isinstance(flat[-1], Identity):
                flat[-1] = Identity(flat[-1].in_shape + part.in_shape)
            elif not isinstance(part, Identity) or part.in_shape:
                flat.append(part)
    places = [i for i, f in enumerate(flat) if not isinstance(f, Identity)]
    if len(flat) <= 1:
        return scale(factor, flat[0] if flat else Identity(()))
    only = flat[places[0]]._embed(*_sizes_around(flat, places[0])) if len(places) == 1 else None
    return scale(factor, only or Kron(tuple(flat)))


def _sizes_around(factors: Sequence[LinearOperator], place: int) -> tuple[Shape, Shape]:
    """The axes before and behind a factor: those of the outputs before it, those of the inputs behind it."""
    before = tuple(n for f in factors[:place] for n in f.out_shape)
    return before, tuple(n for f in factors[place + 1 :] for n in f.in_shape)


def align(*sides: tuple[LinearOperator, str]) -> list[tuple[LinearOperator, ...]] | None:
    """The operators as Kronecker products over the finest groups of axes that all share: a tuple of factors a group.

    Each operator comes with the shape of it that is matched, "in_shape" or "out_shape". None if one of them is no
    Kronecker product, or they share no boundary between groups.
    """
    products = [(A._factors(), side) for A, side in sides]
    if any(factors is None for factors, _ in products):
        return None
    shared = sorted(set.intersection(*(_boundaries(factors or (), side) for factors, side in products)))
    if len(shared) <= 2:
        return None
    return list(zip(*(_regroup(factors or (), side, shared) for factors, side in products), strict=True))


def axis_by_axis(self: Any) -> Factors:
    """The `_factors` of what acts along each of its `axes` alike: one of its kind on each, identities on the others."""
    sizes = enumerate(self.in_shape)
    return tuple(replace(self, axes=(0,), in_shape=(n,)) if i in self.axes else Identity((n,)) for i, n in sizes)


def along_later_axes(self: Any, before: Shape, behind: Shape) -> Any:
    """The `_embed` of what acts along its `axes`: the same along these axes of the larger shape."""
    axes = tuple(len(before) + axis for axis in self.axes)
    return replace(self, axes=axes, in_shape=(*before, *self.in_shape, *behind))


def swapped(L: LinearOperator, R: LinearOperator) -> tuple[LinearOperator, LinearOperator] | None:
    """R' and L' with L R = R' L', where L and R act on different axes; else None.

    Example:
        >>> from linops_video import BoxMean, Select
        >>> swapped(Select((0,), 0, (2, 2)), BoxMean(2, (2, 4), (1,)))
        (BoxMean((1×4) → (1×2)), Select((2×4) → (1×4)))
    """
    pairs = align((L, "in_shape"), (R, "out_shape"))
    if pairs is None or not all(isinstance(A, Identity) or isinstance(B, Identity) for A, B in pairs):
        return None
    later = kron(*(Identity(A.out_shape) if isinstance(B, Identity) else B for A, B in pairs))
    return later, kron(*(Identity(B.in_shape) if isinstance(A, Identity) else A for A, B in pairs))


def split_identities(factors: Sequence[LinearOperator]) -> Factors:
    """The same factors with every identity cut into one identity an axis."""
    return tuple(part for f in factors for part in (f._factors() or (f,) if isinstance(f, Identity) else (f,)))


def _boundaries(factors: Sequence[LinearOperator], side: str) -> set[int]:
    ends, end = {0}, 0
    for f in split_identities(factors):
        end += len(getattr(f, side))
        ends.add(end)
    return ends


def _regroup(factors: Sequence[LinearOperator], side: str, boundaries: Sequence[int]) -> list[LinearOperator]:
    groups: list[list[LinearOperator]] = [[] for _ in boundaries[1:]]
    end, group = 0, 0
    for f in split_identities(factors):
        end += len(getattr(f, side))
        groups[group].append(f)
        if end == boundaries[group + 1]:
            group += 1
    return [kron(*group) for group in groups]


def _apply_each(factors: Factors, x: Tensor) -> Tensor:
    """Apply each factor to its group of axes, the other axes being batch axes meanwhile."""
    behind = sum(len(f.in_shape) for f in factors)
    done = 0
    for f in factors:
        group = len(f.in_shape)
        behind -= group
        if not isinstance(f, Identity):
            inner = tuple(range(-behind - group, -behind)) if behind else ()
            moved = x.movedim(inner, tuple(range(-group, 0))) if behind else x
            moved = f._apply_within(moved, done + behind)
            group = len(f.out_shape)
            outer = tuple(range(-behind - group, -behind)) if behind else ()
            x = moved.movedim(tuple(range(-group, 0)), outer) if behind else moved
        done += len(f.out_shape)
    return x


def separable_gram(A: LinearOperator, weight: LinearOperator | None) -> LinearOperator:
    """AᴴWA of a Kronecker product A: that of the factors for W = c·I or a product over common groups of axes, else one
    factor after the other. AWAᴴ is that of Aᴴ."""
    c = scalar(weight)
    if c is not None:
        return scale(c, kron(*(f.gram() for f in A._factors() or ())))
    return kron_gram(A, weight) or _one_by_one(A, weight) or LinearOperator.gram(A, weight)


def kron_gram(A: LinearOperator, weight: LinearOperator | None) -> LinearOperator | None:
    """AᴴWA where A and W are Kronecker products over common groups of axes, else None."""
    pairs = weight and align((A, "out_shape"), (weight, "in_shape"))
    return kron(*(f.gram(w) for f, w in pairs)) if pairs else None


def _one_by_one(A: LinearOperator, weight: LinearOperator | None) -> LinearOperator | None:
    """AᴴWA by the factors of A in turn, each on all axes; None where A has fewer than two factors."""
    factors = list(A._factors() or ())
    places = [i for i, f in enumerate(factors) if not isinstance(f, Identity)]
    if len(places) < 2:
        return None
    for place in reversed(places):
        before, behind = _sizes_around(factors, place)
        weight = kron(Identity(before), factors[place], Identity(behind)).gram(weight)
    return weight
