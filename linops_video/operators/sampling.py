"""Means over boxes: spatial downsampling, frame averaging."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video.algebra.operator import Identity, LinearOperator, scalar, scale
from linops_video.algebra.parameters import Shape, from_first, replaced, show
from linops_video.algebra.slabs import part_of
from linops_video.errors import ShapeError, SpecError
from linops_video.operators.circulant import Circulant, decimated
from linops_video.operators.cosine import Cosine, cosine_matrix
from linops_video.operators.dense import Dense
from linops_video.operators.diagonal import Diagonal, number
from linops_video.operators.kron import along_later_axes, axis_by_axis, separable_gram
from linops_video.operators.multiplier import Multiplier


@dataclass(frozen=True, eq=False, repr=False)
class BoxMean(LinearOperator):
    """Mean over boxes of k along each of `axes`: n entries become ⌊n/k⌋, and those left over are not observed.

    The last two axes make spatial downsampling, axis 0 of a video frame averaging. AAᵀ = I/kᵃ for a axes.

    Args:
        factor: k, 1 or more (else a SpecError) and at most the length of an axis (else a ShapeError).
        in_shape: the event shape.
        axes: one or more distinct axes, negative ones counted from the last one (else a SpecError).

    Example:
        >>> import torch
        >>> BoxMean(2, (1, 2, 2))(torch.tensor([[[1.0, 2.0], [3.0, 6.0]]]))
        tensor([[[3.]]])
    """

    factor: int
    in_shape: Shape
    axes: tuple[int, ...] = (-2, -1)

    def __post_init__(self) -> None:
        _check(self)

    @property
    def _dims(self) -> list[int]:
        return sorted(axis - len(self.in_shape) for axis in self.axes)

    @property
    def out_shape(self) -> Shape:
        return tuple(n // self.factor if i in self.axes else n for i, n in enumerate(self.in_shape))

    def _apply(self, x: Tensor) -> Tensor:
        return _box_sum(x, self.factor, self._dims) / self.factor ** len(self.axes)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        x = y / self.factor ** len(self.axes)
        for dim in reversed(self._dims):  # from the last axis on: whole rows are copied then
            x = _spread(x, self.factor, dim, self.in_shape[dim])
        return x

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        return _line(self).gram(weight) if len(self.in_shape) == 1 else separable_gram(self, weight)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return _outer(self, weight) or separable_gram(self.H, weight)

    _factors, _embed = axis_by_axis, along_later_axes

    def _known_norm(self) -> Tensor:
        return torch.full((), self.factor ** (-len(self.axes) / 2), dtype=torch.float64)


def _line(A: BoxMean) -> Dense:
    """The matrix of means along the only axis."""
    return Dense(_box_matrix(A.in_shape[0], A.factor), A.in_shape, A.out_shape)


def _outer(A: BoxMean, weight: LinearOperator | None) -> LinearOperator | None:
    """AWAᴴ for W = c·I, diagonal, circulant, or on one axis; None for other weights."""
    c, gain = scalar(weight), A.factor ** -len(A.axes)
    if c is not None:
        return scale(c, scale(gain, Identity(A.out_shape)))
    if isinstance(weight, Diagonal):
        w = _expand(weight.diagonal, A.in_shape, A._dims)
        return Diagonal(gain**2 * _box_sum(w, A.factor, A._dims), A.out_shape)
    return _line(A).outer(weight) if len(A.in_shape) == 1 else _folded(A, weight) or _folded_cosines(A, weight)


def _folded(A: BoxMean, weight: LinearOperator | None) -> LinearOperator | None:
    """AWAᴴ of a circulant W and boxes that fill the frame: a circular blur with the box, then decimated."""
    frame, k = A.in_shape[-2:], A.factor
    if not isinstance(weight, Circulant) or A._dims not in ([-2], [-1], [-2, -1]) or any(frame[d] % k for d in A._dims):
        return None
    box = torch.zeros(frame, dtype=torch.float64)
    box[tuple(slice(k) if d in A._dims else slice(1) for d in (-2, -1))] = k ** -len(A._dims)
    # the blur that averages pixels ahead is the adjoint of the one that averages pixels behind
    folded = Circulant(torch.fft.rfft2(box).conj(), A.in_shape).outer(weight)
    for d in A._dims:
        assert isinstance(folded, Circulant)
        folded = decimated(folded, len(A.in_shape) + d, k)
    return folded


def _folded_cosines(A: BoxMean, weight: LinearOperator | None) -> LinearOperator | None:
    """AWAᴴ of a W that is diagonal in the DCT-II, and boxes that fill the frame: diagonal in that of the small frame.

    The mean of a cosine over boxes of k is a cosine of the small frame, and k of them become the same one.
    """
    if not isinstance(weight, Multiplier) or not isinstance(weight.transform, Cosine):
        return None
    shape = A.in_shape
    if not set(A.axes) <= set(weight.transform.axes) or any(shape[axis] % A.factor for axis in A.axes):
        return None
    values = weight.values.to(torch.float64)
    for d in A._dims:
        n, few = shape[d], A.out_shape[d]
        response = cosine_matrix(few) @ _box_matrix(n, A.factor) @ cosine_matrix(n).T  # one entry in a column
        wide = values.expand(replaced(values.shape, d, n))
        values = (wide.movedim(d, -1) @ response.square().T.to(wide.device)).movedim(-1, d)
    return Multiplier(Cosine(weight.transform.axes, A.out_shape), values)


def _check(A: BoxMean) -> None:
    """Count the axes from the first one, and raise the errors that `BoxMean` states."""
    if A.factor < 1 or not A.axes:
        raise SpecError(f"BoxMean needs a whole factor of 1 or more and one axis or more, got {A.factor} and {A.axes}")
    vars(A)["axes"] = from_first(A.axes, A.in_shape)
    sizes = tuple(A.in_shape[axis] for axis in A.axes)
    if min(sizes) < A.factor:
        raise ShapeError(f"means over boxes of {A.factor} need axes at least as long, got {show(sizes)}")


def _box_sum(x: Tensor, k: int, dims: list[int]) -> Tensor:
    """Sums over boxes of k along `dims`, negative; what is left over at the end is dropped.

    Give the last axis last: sums of whole rows are faster, and leave it less to do.
    """
    x = number(x)
    for d in dims:
        count = x.shape[d] // k
        first, *others = (part_of(x, slice(i, i + (count - 1) * k + 1, k), d) for i in range(k))
        if others:  # k strided sums take half the time of avg_pool2d
            first = first + others[0]
            for part in others[1:]:
                first += part
        x = first
    return x


def _expand(w: Tensor, shape: Shape, dims: list[int]) -> Tensor:
    return w.expand([shape[d] if d in dims else w.shape[d] for d in range(-w.ndim, 0)])


def _spread(y: Tensor, k: int, dim: int, n: int) -> Tensor:
    """Every entry k times along `dim`, negative, and zeros up to a length of n."""
    x = y.repeat_interleave(k, dim)
    return x if x.shape[dim] == n else torch.nn.functional.pad(x, (0, 0) * (-1 - dim) + (0, n - x.shape[dim]))


def _box_matrix(n: int, factor: int) -> Tensor:
    """The ⌊n/k⌋×n matrix of means over k = `factor` neighbours."""
    rows = torch.arange(n // factor).unsqueeze(1)
    return (torch.arange(n) // factor == rows).double() / factor
