"""Operators made of a text or a function."""

from __future__ import annotations

import torch

from linops_video import BoxMean, Diagonal, LinearOperator
from linops_video.interop import from_functions
from linops_video.operators.einsum import einsum
from linops_video.operators.function import linear_function
from zoo.animal import GRAM, OUTER, VIDEO, Animal, mask

ANIMALS = [
    Animal(
        "einsum on one axis", lambda r: einsum("t c h w, d c -> t d h w", r(2, 3), VIDEO), "exact: eigh of 2×2" + OUTER
    ),
    Animal(
        "einsum, one matrix a sample",
        lambda r: einsum("t c h w, d c -> t d h w", r(2, 2, 3), VIDEO),
        "exact: eigh of 2×2" + OUTER,
    ),
    Animal(
        "einsum, transposed",
        lambda r: einsum("t c h w, h w m -> m c t", r(6, 5, 4), VIDEO),
        "exact: eigh of 4×4" + OUTER,
    ),
    Animal("einsum of weights", lambda r: einsum("t c h w, w t -> h t c w", r(5, 4), VIDEO), "exact: pointwise" + GRAM),
    Animal(
        "einsum, a matrix a frame",
        lambda r: einsum("t c h w, t d c -> t d h w", r(4, 2, 3), VIDEO),
        "exact: eigh of 2×2 at every place" + OUTER,
    ),
    Animal("einsum, an axis less", lambda r: einsum("t c h w, c -> t h w", r(3), VIDEO), "exact: scalar" + OUTER),
    Animal(
        "einsum, a weighted sum of frames",
        lambda r: einsum("t c h w, t h w -> c h w", r(2, 4, 6, 5), VIDEO),
        "exact: pointwise" + OUTER,
    ),
    Animal(
        "einsum, an axis more", lambda r: einsum("c h w, t c -> t c h w", r(4, 3), (3, 2, 2)), "exact: pointwise" + GRAM
    ),
    Animal(
        "einsum of axes apart",
        lambda r: einsum("t c h w, m t w -> m c h", r(2, 4, 3), (4, 2, 2, 3)),
        "exact: eigh of 2×2" + OUTER,
    ),
    Animal(
        "einsum of axes apart, two new",
        lambda r: einsum("t c h w, m t w n -> m n c h", r(2, 4, 3, 2), (4, 2, 2, 3)),
        "cg, not preconditioned",
    ),
    Animal(
        "matrices a frame of a mask",
        lambda r: einsum("t c h w, t c -> t h w", r(4, 3), VIDEO) @ Diagonal(mask(r, *VIDEO), VIDEO),
        "exact: pointwise" + OUTER,
    ),
    Animal(
        "coil maps of a mask of one channel",
        lambda r: (
            einsum("t c h w, k c h w -> t k h w", torch.complex(r(3, 1, 6, 5), r(3, 1, 6, 5)), (4, 1, 6, 5))
            @ Diagonal(mask(r, 4, 1, 6, 5), (4, 1, 6, 5))
        ),
        "exact: pointwise" + GRAM,
    ),
    Animal("function", lambda r: linear_function(lambda x: x.cumsum(0)[..., ::2], VIDEO), "cg, not preconditioned"),
    Animal(
        "function of a complex result",
        lambda r: linear_function(lambda x: torch.fft.fft(x, dim=-1)[..., :2], (2, 5)),
        "cg, not preconditioned",
    ),
    Animal(
        "box mean of a function",
        lambda r: BoxMean(2, VIDEO) @ linear_function(lambda x: x - x.roll(1, -1), VIDEO),
        "cg, not preconditioned",
    ),
]

LEAVES = [
    lambda r, shape: einsum("t c h w, t d c -> d t h w", r(shape[0], 2, shape[1]), shape) if len(shape) == 4 else None,
    lambda r, shape: einsum("t c h w, m h -> t w c m", r(2, shape[2]), shape) if len(shape) == 4 else None,
    lambda r, shape: linear_function(lambda x: x.cumsum(0), shape),
    lambda r, shape: linear_function(lambda x: torch.fft.fft(x, dim=-1)[..., :2], shape),
    lambda r, shape: _matrix_a_row(r, shape) if len(shape) > 1 else None,
    lambda r, shape: from_functions(lambda x: 2 * x.flip(1), lambda y: 2 * y.flip(1), shape, shape),
]
"""Operators for random expressions, on tensors of any shape; None where there is none."""


def _matrix_a_row(r, shape: tuple[int, ...]) -> LinearOperator:
    """Another matrix on the last axis for every index of the first one, which comes last in the result."""
    first, *middle, last = "abcdef"[: len(shape)]
    between = " ".join(middle)
    return einsum(
        f"{first} {between} {last}, {first} m {last} -> m {between} {first}", r(shape[0], 2, shape[-1]), shape
    )
