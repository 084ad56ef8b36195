"""One tensor contracted with the video on named axes."""

from __future__ import annotations

import math
import string
from dataclasses import Field, dataclass
from functools import reduce

import torch
from torch import Tensor

from linops_video.algebra.operator import Identity, LinearOperator, compose, scale
from linops_video.algebra.parameters import Shape, check_tensor, like, show, tensor_field, together
from linops_video.errors import ShapeError, SpecError
from linops_video.operators.blocks import ENTRIES_LIMIT, SIDE_LIMIT, Blocks
from linops_video.operators.dense import AxisMatrix, Dense
from linops_video.operators.diagonal import Diagonal, pointwise
from linops_video.operators.geometry import Transpose
from linops_video.operators.kron import kron

Names = tuple[str, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Einsum(LinearOperator):
    """y = Σ M · x over the axes that are named in M and x and not in y. Made by `einsum`, which says more.

    Args:
        tensor: M, shape (*batch, …) with an axis for each of its names.
        in_shape: the event shape.
        names: the names of the axes of x, of M and of y.
    """

    tensor: Tensor = tensor_field(None)
    in_shape: Shape = ()
    names: tuple[Names, Names, Names] = ((), (), ())

    @property
    def out_shape(self) -> Shape:
        of_x, of_tensor, of_y = self.names
        sizes = dict(zip(of_tensor, self.tensor.shape[self.tensor.ndim - len(of_tensor) :], strict=True))
        sizes.update(zip(of_x, self.in_shape, strict=True))
        return tuple(sizes[name] for name in of_y)

    def _event_ndim(self, f: Field) -> int:
        return len(self.names[1])

    def _apply(self, x: Tensor) -> Tensor:
        of_x, of_tensor, of_y = (_letters(names, self.names) for names in self.names)
        return _einsum([of_x, of_tensor, of_y], x, like(self.tensor, x))

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return self.H._apply(y)

    @property
    def H(self) -> LinearOperator:
        of_x, of_tensor, of_y = self.names
        return Einsum(self.tensor.conj(), self.out_shape, (of_y, of_tensor, of_x))

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        w = pointwise(weight, len(self.out_shape))
        return (None if w is None else _gram(self, w)) or super().gram(weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return self.H.gram(weight)


def _letters(names: Names, all_names: tuple[Names, ...]) -> str:
    known = list(dict.fromkeys(name for group in all_names for name in group))
    return "".join(string.ascii_letters[known.index(name)] for name in names)


def _gram(A: Einsum, weight: Tensor) -> LinearOperator | None:
    """AᴴWA for a diagonal W where at most one axis is contracted: a diagonal, or a small matrix for every place."""
    of_x, of_tensor, of_y = A.names
    contracted = tuple(name for name in of_x if name not in of_y)
    others = tuple(name for name in of_x if name in of_y)
    known, of_weight = dict(zip(of_x, A.in_shape, strict=True)), weight.shape[weight.ndim - len(of_y) :]
    places = (known[name] if name in of_tensor else of_weight[of_y.index(name)] for name in others)
    n = known[contracted[0]] if contracted else 1
    if len(contracted) > 1 or n > SIDE_LIMIT or n**2 * math.prod(places) > ENTRIES_LIMIT:
        return None
    rows = {name: f"{name}'" for name in contracted}
    groups = (tuple(rows.get(name, name) for name in of_tensor), of_y, of_tensor)
    groups = (*groups, (*others, *rows.values(), *contracted))
    terms = [_letters(names, groups) for names in groups]
    square = _einsum(terms, A.tensor.conj(), weight, A.tensor)
    sizes = square.shape[square.ndim - len(others) - 2 * len(contracted) :][: len(others)]
    alike, batch = math.prod(sizes) == 1, square.shape[: square.ndim - len(others) - 2 * len(contracted)]
    if not contracted:
        return scale(square.reshape(batch).real, Identity(A.in_shape)) if alike else Diagonal(square, A.in_shape)
    axis = of_x.index(contracted[0])
    if n == 1 and not alike:
        return Diagonal(square[..., 0].real.movedim(-1, axis - len(of_x)), A.in_shape)
    return AxisMatrix(square.reshape(*batch, n, n), axis, A.in_shape) if alike else Blocks(square, axis, A.in_shape)


def _einsum(terms: list[str], *tensors: Tensor) -> Tensor:
    dtype = reduce(torch.promote_types, (t.dtype for t in tensors))
    left = ",".join(f"...{term}" for term in terms[:-1])
    return torch.einsum(f"{left}->...{terms[-1]}", *(t.to(dtype) for t in together(*tensors)))


def einsum(text: str, tensor: Tensor, in_shape: Shape) -> LinearOperator:
    """A tensor contracted with x on named axes, as the simplest operator: `"t c h w, d c -> t d h w"` mixes channels.

    The names of the axes of x, of the tensor M and of y are separated by spaces. An axis in x and M alone is summed
    over; one in M and y alone is new; one in all three is there for every entry (`"t c h w, t d c -> t d h w"`: another
    matrix for every frame); one in x and y alone is left alone.

    Where nothing is summed the result is a `Diagonal`, for a matrix on one axis an `AxisMatrix`, on neighbouring axes a
    Kronecker product with a `Dense`, with a `Transpose` after it if y has another order of axes, and else an `Einsum`.

    Args:
        text: the names.
        tensor: M; axes before those that are named are batch axes.
        in_shape: the event shape of x.

    Raises:
        DtypeError: if M is not a tensor.
        SpecError: if the text is not of that form, or an axis stands in one place only.
        ShapeError: if axes of one name have different sizes, or names and axes differ in number.

    Example:
        >>> import torch
        >>> einsum("t c h w, d c -> t d h w", torch.ones(1, 3), (8, 3, 16, 16))
        AxisMatrix((8×3×16×16) → (8×1×16×16))
    """
    check_tensor(tensor, "einsum needs a torch tensor")
    of_x, of_tensor, of_y = names = _parse(text)
    _check_sizes(names, tensor, in_shape)
    contracted = [name for name in of_x if name not in of_y]
    new = [name for name in of_y if name not in of_x]
    shared = [name for name in of_tensor if name in of_x and name in of_y]
    batch = tensor.ndim - len(of_tensor)

    def arranged(order: list[str]) -> Tensor:
        return tensor.permute((*range(batch), *(batch + of_tensor.index(name) for name in order)))

    if not contracted and not new:
        diagonal = arranged([name for name in of_x if name in shared])
        sizes = (n if name in shared else 1 for name, n in zip(of_x, in_shape, strict=True))
        return _ordered(Diagonal(diagonal.reshape(*tensor.shape[:batch], *sizes), in_shape), of_x, of_y)
    place = of_x.index(contracted[0]) if contracted else 0
    adjacent = of_x[place : place + len(contracted)] == tuple(contracted)
    if shared or not new or not adjacent:
        return Einsum(tensor, in_shape, names)
    before, behind = in_shape[:place], in_shape[place + len(contracted) :]
    sizes = dict(zip(of_tensor, tensor.shape[batch:], strict=True))
    taken, given = (tuple(sizes[name] for name in group) for group in (contracted, new))
    matrix = arranged([*new, *contracted]).reshape(*tensor.shape[:batch], math.prod(given), math.prod(taken))
    A = kron(Identity(before), Dense(matrix, taken, given), Identity(behind))
    return _ordered(A, (*of_x[:place], *new, *of_x[place + len(contracted) :]), of_y)


def _ordered(A: LinearOperator, names: Names, wanted: Names) -> LinearOperator:
    """A with the axes of its output, which have these names, in the order that is wanted."""
    order = tuple(names.index(name) for name in wanted)
    return A if order == tuple(range(len(order))) else compose(Transpose(order, A.out_shape), A)


def _parse(text: str) -> tuple[Names, Names, Names]:
    left, arrow, right = text.partition("->")
    terms = [tuple(term.split()) for term in (*left.split(","), right)]
    if not arrow or len(terms) != 3 or not all(name.isidentifier() for term in terms for name in term):
        raise SpecError(f'einsum needs a text like "t c h w, d c -> t d h w", got {text!r}')
    for term in terms:
        if len(set(term)) < len(term):
            raise SpecError(f"einsum {text!r}: an axis may stand once on each side, got {' '.join(term)}")
    alone = [name for term in terms for name in term if sum(name in other for other in terms) == 1]
    if alone:
        raise SpecError(
            f"einsum {text!r}: {', '.join(alone)} stands in one place only; to sum over an axis of x, name it in the "
            "tensor and fill it with ones"
        )
    return terms[0], terms[1], terms[2]


def _check_sizes(names: tuple[Names, Names, Names], tensor: Tensor, in_shape: Shape) -> None:
    of_x, of_tensor, _ = names
    if len(of_x) != len(in_shape) or len(of_tensor) > tensor.ndim:
        raise ShapeError(
            f"einsum names {len(of_x)} axes of x and {len(of_tensor)} of the tensor, got {show(in_shape)} and "
            f"{show(tensor.shape)}"
        )
    sizes = dict(zip(of_x, in_shape, strict=True))
    for name, n in zip(of_tensor, tensor.shape[tensor.ndim - len(of_tensor) :], strict=True):
        if sizes.get(name, n) != n:
            raise ShapeError(f"einsum: axis {name} has {sizes[name]} entries in x and {n} in the tensor")
