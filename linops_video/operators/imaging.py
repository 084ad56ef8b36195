"""Cameras that mix or drop entries pixel by pixel: colour filter arrays, snapshot compressive video, open shutters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video.algebra.operator import Identity, LinearOperator
from linops_video.algebra.parameters import Shape, check_tensor, show
from linops_video.errors import ShapeError, SpecError
from linops_video.operators.dense import AxisMatrix
from linops_video.operators.diagonal import Diagonal, kept_outer, pointwise
from linops_video.operators.sampling import BoxMean
from linops_video.operators.select import Select

BAYER_PATTERNS = ("rggb", "bggr", "grbg", "gbrg")


@dataclass(frozen=True, eq=False, repr=False)
class Bayer(LinearOperator):
    """A colour filter array: of R, G and B each pixel keeps one, (…, 3, H, W) → (…, 1, H, W); AAᵀ = I.

    Source: Bayer, US patent 3,971,065, 1976.

    Args:
        pattern: the colours of the upper left 2×2 pixels, row by row: "rggb", "bggr", "grbg" or "gbrg".
        in_shape: the event shape (…, 3, H, W).

    Raises:
        SpecError, ShapeError: if the pattern is none of these, or there are not three channels.

    Example:
        >>> import torch
        >>> Bayer("rggb", (3, 2, 2))(torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1).expand(3, 2, 2))
        tensor([[[1., 2.],
                 [2., 3.]]])
    """

    pattern: str
    in_shape: Shape

    def __post_init__(self) -> None:
        if self.pattern not in BAYER_PATTERNS:
            raise SpecError(f"a Bayer pattern is one of {', '.join(BAYER_PATTERNS)}, got {self.pattern!r}")
        if len(self.in_shape) < 3 or self.in_shape[-3] != 3:
            raise ShapeError(f"a Bayer mosaic needs videos of three channels (…, 3, H, W), got {show(self.in_shape)}")

    @property
    def out_shape(self) -> Shape:
        return (*self.in_shape[:-3], 1, *self.in_shape[-2:])

    def _apply(self, x: Tensor) -> Tensor:
        y = x.new_empty(*x.shape[:-3], 1, *x.shape[-2:])
        for channel, rows, columns in _places(self.pattern):
            y[..., 0, rows, columns] = x[..., channel, rows, columns]
        return y

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        x = y.new_zeros(*y.shape[:-3], 3, *y.shape[-2:])
        for channel, rows, columns in _places(self.pattern):
            x[..., channel, rows, columns] = y[..., 0, rows, columns]
        return x

    def gram(self, weight: LinearOperator | None = None) -> LinearOperator:
        w = pointwise(weight, len(self.out_shape))
        if w is None:
            return super().gram(weight)
        return Diagonal(self._apply_adjoint(w.expand(*w.shape[:-3], *self.out_shape[-3:])), self.in_shape)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return kept_outer(self, weight, 3) or super().outer(weight)

    def _factors(self) -> tuple[LinearOperator, ...]:
        return (*(Identity((n,)) for n in self.in_shape[:-3]), Bayer(self.pattern, self.in_shape[-3:]))

    def _embed(self, before: Shape, behind: Shape) -> LinearOperator | None:
        return None if behind else Bayer(self.pattern, (*before, *self.in_shape))


def _places(pattern: str) -> list[tuple[int, slice, slice]]:
    """Channel, rows and columns of each of the four pixels of the pattern."""
    return [("rgb".index(color), slice(i // 2, None, 2), slice(i % 2, None, 2)) for i, color in enumerate(pattern)]


def cacti(masks: Tensor, in_shape: Shape) -> LinearOperator:
    """Snapshot compressive imaging (CACTI): all frames in one exposure, each through its own mask, y = Σₜ mₜ ⊙ xₜ.

    (T, …) → (1, …); AAᵀ is the diagonal of Σₜ mₜ². Composed with a `Bayer` mosaic of the frames, or of the snapshot, it
    stays diagonal.

    Source: Llull et al., Optics Express 21(9), 2013.

    Args:
        masks: mₜ, shape (*batch, *event), axes of size 1 standing for all entries along them.
        in_shape: the event shape (T, …).

    Example:
        >>> import torch
        >>> cacti((torch.rand(8, 1, 16, 16) > 0.5).float(), (8, 3, 16, 16)).out_shape
        (1, 3, 16, 16)
    """
    check_tensor(masks, "cacti needs masks as a torch tensor")
    ones = torch.ones(1, in_shape[0], dtype=masks.dtype if masks.is_floating_point() else torch.float64)
    return AxisMatrix(ones.to(masks.device), 0, in_shape) @ Diagonal(masks, in_shape)


def shutter(length: int, stride: int, in_shape: Shape) -> LinearOperator:
    """A slow camera: every s frames it opens for k frames and reads their mean, y[i] = (x[i s] + … + x[i s + k − 1])/k.

    (T, …) → (⌊(T − k)/s⌋ + 1, …), k = `length`, s = `stride`; frames behind the last exposure are not observed. Frame
    averaging, s = k, is `BoxMean(k, in_shape, (0,))` as well.

    Raises:
        SpecError: if length or stride is below 1.
        ShapeError: if the exposure is longer than the video.

    Example:
        >>> shutter(4, 2, (9, 3, 32, 32)).out_shape
        (3, 3, 32, 32)
    """
    if min(length, stride) < 1:
        raise SpecError(f"a shutter needs a length and a stride of at least 1 frame, got {length} and {stride}")
    if length > in_shape[0]:
        raise ShapeError(f"an exposure of {length} frames needs as many, got {in_shape[0]}")
    starts = range(0, in_shape[0] - length + 1, stride)
    if stride >= length:  # no frame is read twice: AAᵀ = I/k
        exposed = Select(tuple(start + i for start in starts for i in range(length)), 0, in_shape)
        return BoxMean(length, exposed.out_shape, (0,)) @ exposed
    frames, first = torch.arange(in_shape[0]), torch.tensor(starts).unsqueeze(1)
    return AxisMatrix(((frames >= first) & (frames < first + length)).double() / length, 0, in_shape)
