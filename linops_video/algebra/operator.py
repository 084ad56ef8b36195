"""The linear operator, and the containers that the algebra makes of operators: adjoint, composition, sum, multiple.

`compose`, `add` and `scale` simplify, the classes only store; what leaves merge with, `_after` and its kin tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any, overload

import torch
from torch import Tensor

from linops_video.algebra.krylov import lanczos_norm
from linops_video.algebra.linear_map import LinearMap
from linops_video.algebra.parameters import Self, Shape, as_tensor, conj, in_range, show, tensor_field, times
from linops_video.algebra.text import join, multiple, negative, text_of, with_text
from linops_video.errors import DtypeError, ShapeError


class LinearOperator(LinearMap):
    """A linear map A from tensors of shape `(*batch, *in_shape)` to tensors of shape `(*batch, *out_shape)`.

    A subclass is a frozen dataclass (`eq=False, repr=False`) whose fields are tensors (`tensor_field`), tuples, numbers
    and other operators. It gives `in_shape`, `out_shape` and `_apply`; `_apply_adjoint` is derived by differentiating
    `_apply` where it is not given. The types that `gram` and `outer` return are the structure of AᴴWA and AWAᴴ.

    Example:
        >>> import torch
        >>> from linops_video import Diagonal
        >>> A = Diagonal(torch.tensor([1.0, 0.0, 2.0]), (3,))
        >>> (A.T @ A)(torch.ones(3))
        tensor([1., 0., 4.])
    """

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        """AᴴWA as the simplest operator that can be proved; W = `weight` is self-adjoint, None stands for I.

        Raises a DtypeError if the weight is not an operator, a ShapeError if it is not one on A's measurements.
        """
        return compose(self.H, self if weight is None else compose(weight, self))

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        """AWAᴴ as the simplest operator that can be proved; W = `weight` is self-adjoint, None stands for I."""
        return compose(self, self.H if weight is None else compose(weight, self.H))

    def approximate_gram(self) -> LinearOperator | None:
        """A structured operator near AᴴA, to precondition an iterative solve with; None where none is known."""
        return None

    def _after(self, other: LinearOperator) -> LinearOperator | None:
        """A∘other where the two merge into something simpler, else None."""
        return None

    def _before(self, other: LinearOperator) -> LinearOperator | None:
        """other∘A where the two merge into something simpler, else None."""
        return None

    def _plus(self, other: LinearOperator) -> LinearOperator | None:
        """A + other where the two merge into something simpler, else None."""
        return None

    def _times(self, factor: float | Tensor) -> LinearOperator:
        """factor · A."""
        return Scaled(self, factor)

    def _diagonal_in(self, transform: LinearOperator) -> Tensor | None:
        """w with A x = Uᴴ(w ⊙ U x) for the unitary U = `transform`, where that is known, else None."""
        return None

    def _normal_solver(self, rtol: float) -> Any:
        """The `NormalSolver` of A, which this module cannot name, where it is put together from those of parts."""
        return None

    def _factors(self) -> tuple[LinearOperator, ...] | None:
        """Operators on consecutive groups of axes of which A is the Kronecker product, else None."""
        return None

    def _embed(self, before: Shape, behind: Shape) -> LinearOperator | None:
        """I ⊗ A ⊗ I, with identities on axes of these sizes, as one operator of A's kind where there is one."""
        return None

    @property
    def H(self) -> LinearOperator:
        """The adjoint Aᴴ: ⟨A x, y⟩ = ⟨x, Aᴴ y⟩."""
        return Adjoint(self)

    @property
    def T(self) -> LinearOperator:
        """The transpose Aᵀ of a real operator, the same as `H`; a complex one raises a DtypeError."""
        if self.is_complex():
            raise DtypeError(f"{self!r} is complex: use its adjoint A.H, not A.T")
        return self.H

    @overload
    def __matmul__(self, other: LinearOperator) -> LinearOperator: ...
    @overload
    def __matmul__(self, other: Tensor) -> Tensor: ...
    def __matmul__(self, other: LinearOperator | Tensor) -> LinearOperator | Tensor:
        if not isinstance(other, LinearOperator):
            return self(other)
        return with_text(compose(self, other), join(text_of(self), "@", text_of(other)))

    def __add__(self, other: LinearOperator) -> LinearOperator:
        if not isinstance(other, LinearOperator):
            return NotImplemented
        return with_text(add(self, other), join(text_of(self), "+", text_of(other)))

    def __radd__(self, zero: int) -> LinearOperator:
        return self if isinstance(zero, int) and zero == 0 else NotImplemented  # where sum([A, B]) begins

    def __sub__(self, other: LinearOperator) -> LinearOperator:
        if not isinstance(other, LinearOperator):
            return NotImplemented
        return with_text(add(self, scale(-1.0, other)), join(text_of(self), "-", text_of(other)))

    def __mul__(self, factor: complex | Tensor) -> LinearOperator:
        if not isinstance(factor, (int, float, complex, Tensor)):
            return NotImplemented
        return with_text(scale(factor, self), multiple(factor, text_of(self)))  # type: ignore[arg-type]  # a complex factor

    __rmul__ = __mul__

    def __truediv__(self, factor: complex | Tensor) -> LinearOperator:
        return self * (1 / factor) if isinstance(factor, (int, float, complex, Tensor)) else NotImplemented

    def __neg__(self) -> LinearOperator:
        return with_text(scale(-1.0, self), negative(text_of(self)))

    def to(self: Self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """The same with its parameters on `device` and in the precision `dtype` (masks of bool stay bool)."""
        return with_text(super().to(device, dtype), text_of(self))

    def norm(self) -> Tensor:
        """The spectral norm ‖A‖, float64, of shape `batch_shape`.

        Exact where A, AᴴA or AAᴴ has a structure that gives it (diagonal, circulant, Kronecker, small dense), else by
        the Lanczos iteration on AᴴA until ‖A‖² has an error estimate below 1e-9 of it: never above the norm.
        """
        if (known := self._known_norm()) is not None:
            return known
        exact = self.to(dtype=torch.float64)
        own = self if self.dtype in (torch.float32, torch.complex64) else exact  # where more kernels are separable
        for square in (own.gram, own.outer):
            if (known := square()._known_norm()) is not None and in_range(known):
                return known.sqrt()
        dtype = torch.complex128 if self.is_complex() else torch.float64
        like_x = torch.empty(*self.batch_shape, *self.in_shape, dtype=dtype, device=self.device)
        return lanczos_norm(lambda x: exact._apply_adjoint(exact._apply(x)), like_x, len(self.in_shape))


@dataclass(frozen=True, eq=False, repr=False)
class Identity(LinearOperator):
    """I x = x on tensors of shape `(*batch, *in_shape)`: `Identity((2, 3)) @ A` is A."""

    in_shape: Shape

    @property
    def out_shape(self) -> Shape:
        return self.in_shape

    def _apply(self, x: Tensor) -> Tensor:
        return x

    _apply_adjoint = _apply

    @property
    def H(self) -> LinearOperator:
        return self

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        return self if weight is None else weight

    outer = gram

    def _factors(self) -> tuple[LinearOperator, ...]:
        return tuple(Identity((n,)) for n in self.in_shape)

    def _embed(self, before: Shape, behind: Shape) -> LinearOperator:
        return Identity((*before, *self.in_shape, *behind))

    def _known_norm(self) -> Tensor:
        return torch.ones((), dtype=torch.float64)


@dataclass(frozen=True, eq=False, repr=False)
class Adjoint(LinearOperator):
    """Aᴴ of a leaf A; made by `A.H`, and `A.H.H` is A again."""

    operator: LinearOperator

    @property
    def in_shape(self) -> Shape:
        return self.operator.out_shape

    @property
    def out_shape(self) -> Shape:
        return self.operator.in_shape

    def _apply(self, x: Tensor) -> Tensor:
        return self.operator._apply_adjoint(x)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return self.operator._apply(y)

    @property
    def H(self) -> LinearOperator:
        return self.operator

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        return self.operator.outer(weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return self.operator.gram(weight)

    def _times(self, factor: float | Tensor) -> LinearOperator:
        multiple = scale(conj(factor), self.operator)
        return Scaled(self, factor) if isinstance(multiple, Scaled) else multiple.H

    def _plus(self, other: LinearOperator) -> LinearOperator | None:
        both = add(self.operator, other.operator) if isinstance(other, Adjoint) else None
        return None if both is None or isinstance(both, Sum) else both.H

    def _factors(self) -> tuple[LinearOperator, ...] | None:
        factors = self.operator._factors()
        return factors and tuple(f.H for f in factors)

    def _embed(self, before: Shape, behind: Shape) -> LinearOperator | None:
        embedded = self.operator._embed(before, behind)
        return embedded and embedded.H

    def _known_norm(self) -> Tensor | None:
        return self.operator._known_norm()


@dataclass(frozen=True, eq=False, repr=False)
class Compose(LinearOperator):
    """left∘right: x ↦ left(right(x)); made by `compose` and `@`."""

    left: LinearOperator
    right: LinearOperator

    @property
    def in_shape(self) -> Shape:
        return self.right.in_shape

    @property
    def out_shape(self) -> Shape:
        return self.left.out_shape

    def _apply(self, x: Tensor) -> Tensor:
        return self.left._apply(self.right._apply(x))

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return self.right._apply_adjoint(self.left._apply_adjoint(y))

    @property
    def H(self) -> LinearOperator:
        return compose(self.right.H, self.left.H)

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        return self.right.gram(self.left.gram(weight))

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return self.left.outer(self.right.outer(weight))


@dataclass(frozen=True, eq=False, repr=False)
class Sum(LinearOperator):
    """x ↦ Σ Aᵢ x; made by `add` and `+`."""

    terms: tuple[LinearOperator, ...]

    @property
    def in_shape(self) -> Shape:
        return self.terms[0].in_shape

    @property
    def out_shape(self) -> Shape:
        return self.terms[0].out_shape

    def _apply(self, x: Tensor) -> Tensor:
        return reduce(torch.add, (A._apply(x) for A in self.terms))

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return reduce(torch.add, (A._apply_adjoint(y) for A in self.terms))

    @property
    def H(self) -> LinearOperator:
        return add(*(A.H for A in self.terms))

    def _times(self, factor: float | Tensor) -> LinearOperator:
        return Sum(tuple(scale(factor, A) for A in self.terms))


@dataclass(frozen=True, eq=False, repr=False)
class Scaled(LinearOperator):
    """x ↦ factor · A x; the factor is a number, or a tensor with one number per sample; made by `scale` and `*`."""

    operator: LinearOperator
    factor: float | Tensor = tensor_field(0)

    @property
    def in_shape(self) -> Shape:
        return self.operator.in_shape

    @property
    def out_shape(self) -> Shape:
        return self.operator.out_shape

    def _apply(self, x: Tensor) -> Tensor:
        return times(self.factor, self.operator._apply(x), len(self.out_shape))

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return times(conj(self.factor), self.operator._apply_adjoint(y), len(self.in_shape))

    @property
    def H(self) -> LinearOperator:
        return scale(conj(self.factor), self.operator.H)

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        return scale(abs(self.factor) ** 2, self.operator.gram(weight))

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return scale(abs(self.factor) ** 2, self.operator.outer(weight))

    def _times(self, factor: float | Tensor) -> LinearOperator:
        return scale(factor * self.factor, self.operator)

    def _known_norm(self) -> Tensor | None:
        norm = self.operator._known_norm()
        return None if norm is None else as_tensor(self.factor).abs().double() * norm


def compose(left: LinearOperator, right: LinearOperator) -> LinearOperator:
    """left∘right, `left @ right`, simplified: identities vanish, multiples move out, neighbours may merge.

    Raises:
        ShapeError: if the output of `right` is not the input of `left`, or their batch axes do not fit.
    """
    left._check_after(right)
    if isinstance(left, Identity):
        return right
    if isinstance(right, Identity):
        return left
    if isinstance(left, Scaled):
        return scale(left.factor, compose(left.operator, right))
    if isinstance(right, Scaled):
        return scale(right.factor, compose(left, right.operator))
    if isinstance(left, Compose):
        return compose(left.left, compose(left.right, right))
    if isinstance(right, Compose):
        merged = left._after(right.left) or right.left._before(left)
        return Compose(left, right) if merged is None else compose(merged, right.right)
    return left._after(right) or right._before(left) or Compose(left, right)


def add(*operators: LinearOperator) -> LinearOperator:
    """Σ Aᵢ, `A + B`, simplified: sums are flattened, and terms that know each other merge.

    Raises:
        ShapeError: if the operators differ in their shapes, their batch axes do not fit, or there are none.
    """
    if not operators:
        raise ShapeError("a sum needs at least one operator, got none")
    terms: list[LinearOperator] = []
    for A in operators:
        if (A.in_shape, A.out_shape) != (operators[0].in_shape, operators[0].out_shape):
            raise ShapeError(f"{operators[0]!r} + {A!r}: operators that are added must have the same shapes")
        terms = reduce(_with_term, A.terms if isinstance(A, Sum) else (A,), terms)
    return terms[0] if len(terms) == 1 else Sum(tuple(terms))


def _with_term(terms: list[LinearOperator], term: LinearOperator) -> list[LinearOperator]:
    """The terms of a sum and one more; what it merges with one of them may merge with the others."""
    for i, known in enumerate(terms):
        known._check_batch(term.batch_shape, f"+ {term!r}")
        c, d = scalar(known), scalar(term)
        both = None if c is None or d is None else scale(c + d, Identity(term.in_shape))
        merged = both or known._plus(term) or term._plus(known)
        if merged is not None:
            return reduce(_with_term, terms[i + 1 :], _with_term(terms[:i], merged))
    return [*terms, term]


def scale(factor: float | Tensor, A: LinearOperator) -> LinearOperator:
    """factor · A, `2 * A`; the factor is a number, or a tensor of shape `batch` with one number per sample."""
    if not isinstance(factor, Tensor):
        return A if factor == 1 else A._times(factor)
    A._check_batch(factor.shape, f"times a factor of shape {show(factor.shape)}")
    return A._times(factor)


def scalar(A: LinearOperator | None) -> float | Tensor | None:
    """c where A is c·I (1 for None, which stands for I), else None."""
    if A is None or isinstance(A, Identity):
        return 1.0
    return A.factor if isinstance(A, Scaled) and isinstance(A.operator, Identity) else None
