"""Compressive sensing at full video size: a randomised orthonormal transform that takes O(n log n) and no matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from linops_video.algebra.constants import kept
from linops_video.algebra.operator import LinearOperator, compose
from linops_video.algebra.parameters import Shape, beside, by_parts, show, tensor_field
from linops_video.errors import ShapeError, SpecError
from linops_video.operators.cosine import MATRIX_LIMIT, cosine_matrix, dct, inverse_dct
from linops_video.operators.diagonal import Diagonal, kept_outer, pointwise
from linops_video.operators.multiplier import undone, unitary_gram, unitary_outer

BLOCK = 16
"""Factors of neighbouring axes are multiplied out up to this size: a product with a 16×16 matrix takes as long as four
passes over the tensor, and one with a 2×2 matrix half of that (one core, float32)."""


@dataclass(frozen=True, eq=False, repr=False)
class Hadamard(LinearOperator):
    """x ↦ (U₁ ⊗ U₂ ⊗ …)(s ⊙ x) with signs s = ±1 and, on an axis of length n = m·2ᵃ, m odd, Uᵢ = C_m ⊗ W.

    C_m is the orthonormal DCT-II of length m and W the Walsh–Hadamard matrix of 2ᵃ rows in natural order, divided by
    2^(a/2). So it is orthonormal for every shape, and with random signs every row sees every entry of x: the transform
    behind subsampled randomised Hadamard transforms (Ailon and Chazelle, SIAM Journal on Computing 39(1), 2009) and
    structurally random matrices (Do et al., IEEE Transactions on Signal Processing 60(1), 2012).

    Args:
        signs: s, int8 or of any dtype, for all samples, an axis for each of the event's, of full size or 1.
        in_shape: the event shape.

    Raises:
        ShapeError: if the signs do not fit the shape.
        SpecError: if they are other numbers than 1 and −1, which on a GPU is not looked at.

    Example:
        >>> Hadamard(torch.tensor([1, -1], dtype=torch.int8), (2,))(torch.ones(2))
        tensor([0.0000, 1.4142])
    """

    signs: Tensor = tensor_field(None)
    in_shape: Shape = ()
    method_name: ClassVar[str] = "Hadamard transform"

    def __post_init__(self) -> None:
        _check_signs(self.signs, self.in_shape)

    @property
    def out_shape(self) -> Shape:
        return self.in_shape

    def _apply(self, x: Tensor) -> Tensor:
        return by_parts(self._analyse, x)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return by_parts(self._synthesise, y)

    def _analyse(self, x: Tensor) -> Tensor:
        return _transform((x * beside(self.signs, x)).to(x.dtype), self.in_shape, adjoint=False)

    def _synthesise(self, y: Tensor) -> Tensor:
        return (_transform(y, self.in_shape, adjoint=True) * beside(self.signs, y)).to(y.dtype)

    gram, outer = unitary_gram, unitary_outer
    _after = _before = undone


def _transform(x: Tensor, shape: Shape, adjoint: bool) -> Tensor:
    """(U₁ ⊗ U₂ ⊗ …) x, or that of the adjoint, group of axes by group."""
    whole, behind = x.shape, math.prod(shape)
    for factors in _groups(shape):
        k = math.prod(factors)
        behind //= k
        x = x.reshape(-1, k, behind)
        if len(factors) == 1 and k > MATRIX_LIMIT:
            x = inverse_dct(x, 1) if adjoint else dct(x, 1)
            continue
        matrix = kept(_matrix, x, factors)
        matrix = matrix.mT if adjoint else matrix
        x = matrix @ x if behind > 1 else x.squeeze(-1) @ matrix.mT
    return x.reshape(whole)


def _groups(shape: Shape) -> list[tuple[int, ...]]:
    """The factors, C by its odd length and W as so many factors 2, in groups that are multiplied out."""
    groups: list[tuple[int, ...]] = [()]
    for n in reversed(shape):
        twos = (n & -n).bit_length() - 1
        for factor in (*(2,) * twos, n >> twos):
            if math.prod(groups[0]) * factor <= BLOCK or not groups[0]:
                groups[0] = (factor, *groups[0])
            elif factor > 1:
                groups.insert(0, (factor,))
    return groups


def _matrix(factors: tuple[int, ...]) -> Tensor:
    """The Kronecker product of DCT matrices of these lengths; that of length 2 is the Hadamard matrix too."""
    matrix = torch.ones(1, 1, dtype=torch.float64)
    for n in factors:
        matrix = torch.kron(matrix, cosine_matrix(n))
    return matrix


@dataclass(frozen=True, eq=False, repr=False)
class Entries(LinearOperator):
    """Keep some entries of a tensor, as a vector: y[i] = vec(x)[indices[i]].

    Args:
        indices: positions in the flattened event, int64, shape (m,), each at most once, which is not checked.
        in_shape: the event shape.

    Raises:
        ShapeError: if the indices are no vector of whole numbers.
        SpecError: if there is no such entry.

    Example:
        >>> import torch
        >>> Entries(torch.tensor([3, 0]), (2, 2))(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor([4., 1.])
    """

    indices: Tensor = tensor_field(1)
    in_shape: Shape = ()

    def __post_init__(self) -> None:
        _check_indices(self.indices, self.in_shape)

    @property
    def out_shape(self) -> Shape:
        return (len(self.indices),)

    def _apply(self, x: Tensor) -> Tensor:
        return x.flatten(x.ndim - len(self.in_shape)).index_select(-1, beside(self.indices, x))

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        flat = y.new_zeros(()).expand(*y.shape[:-1], math.prod(self.in_shape))  # one copy, not two
        return flat.index_copy(-1, beside(self.indices, y), y).reshape(*y.shape[:-1], *self.in_shape)

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        w = pointwise(weight, 1)
        if w is None:
            return super().gram(weight)
        return Diagonal(self._apply_adjoint(beside(w, self).expand(*w.shape[:-1], *self.out_shape)), self.in_shape)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return kept_outer(self, weight, len(self.in_shape)) or super().outer(weight)

    def _known_norm(self) -> Tensor:
        return torch.ones((), dtype=torch.float64)


def _check_signs(signs: Tensor, shape: Shape) -> None:
    """Raise the errors of signs that do not fit an event, or, on the CPU, are none."""
    if signs.ndim != len(shape) or any(k not in (1, n) for k, n in zip(signs.shape, shape, strict=True)):
        axes = f"axes as {show(shape)} has, of full size or 1"
        raise ShapeError(f"the signs of a Hadamard transform need as many {axes}, got {show(signs.shape)}")
    if signs.device.type == "cpu" and not bool((signs.abs() == 1).all()):
        raise SpecError("the signs of a Hadamard transform are 1 and -1, got other numbers: compose it with a Diagonal")


def _check_indices(indices: Tensor, shape: Shape) -> None:
    """Raise the errors of indices that are no vector or, on the CPU, no numbers of entries."""
    n = math.prod(shape)
    if indices.ndim != 1 or indices.is_floating_point():
        got = f"{indices.dtype} of shape {show(indices.shape)}"
        raise ShapeError(f"Entries needs a vector of whole numbers, got {got}")
    if indices.device.type == "cpu" and not bool(((indices >= 0) & (indices < n)).all()):
        raise SpecError(f"the entries of {show(shape)} are numbered 0 … {n - 1}, got others")


def random_hadamard(rows: int, in_shape: Shape, seed: int = 0) -> LinearOperator:
    """Compressive sensing of `rows` numbers: as many random rows of a `Hadamard` with random signs; AAᴴ = I.

    It stores a byte an entry and eight bytes a row.

    Raises:
        SpecError: if `rows` is not in 1 … prod(in_shape).

    Example:
        >>> random_hadamard(100, (8, 3, 10, 12)).out_shape
        (100,)
    """
    n = math.prod(in_shape)
    if not 1 <= rows <= n:
        raise SpecError(f"the number of rows must be in 1 … {n} for {n} entries, got {rows}")
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, in_shape, generator=generator, dtype=torch.int8).mul_(2).sub_(1)
    # sorted, which makes the gather forty times as fast; in int32 a permutation takes as much memory as a video
    order = torch.randperm(n, generator=generator, dtype=torch.int32 if n < 2**31 else torch.int64)
    kept = order[:rows].long().sort().values
    return compose(Entries(kept, in_shape), Hadamard(signs, in_shape))
