"""Operators that reorder entries, and what they make with the others."""

from __future__ import annotations

from linops_video import (
    AxisMatrix,
    BoxMean,
    Convolution,
    Cosine,
    Dense,
    Diagonal,
    Flip,
    Identity,
    Multiplier,
    Select,
    Stack,
    kron,
)
from linops_video.operators.geometry import Mosaic, Roll, Transpose
from linops_video.operators.warp import Warp
from zoo.animal import GRAM, OUTER, VIDEO, Animal, mask

SWAPPED = (4, 3, 5, 6)

ANIMALS = [
    Animal("flip", lambda r: Flip((0, 3), VIDEO), "exact: scalar" + GRAM),
    Animal("roll", lambda r: Roll((2, -1), (0, 3), VIDEO), "exact: scalar" + GRAM),
    Animal(
        "transpose of a Kronecker product with a factor on no axis",
        lambda r: kron(Dense(r(2, 1), (), (2,)), AxisMatrix(r(2, 2), 0, (2, 3))) @ Transpose((1, 0), (3, 2)),
        "exact: SVD of 1×2" + OUTER,
    ),
    Animal("transpose", lambda r: Transpose((0, 3, 1, 2), VIDEO), "exact: scalar" + GRAM),
    Animal("mosaic", lambda r: Mosaic(((0, 3), (1, 2)), VIDEO), "exact: scalar" + GRAM),
    Animal(
        "mask of a mosaic",
        lambda r: Diagonal(mask(r, 1, 1, 10, 12), (1, 4, 10, 12)) @ Mosaic(((0, 3), (1, 2)), (4, 4, 5, 6)),
        "exact: pointwise" + GRAM,
    ),
    Animal(
        "mask of frames, of a picture cut into them",
        lambda r: Diagonal(mask(r, 4, 1, 1, 1), (4, 3, 5, 6)) @ Mosaic(((0, 3), (1, 2)), (4, 3, 5, 6)).H,
        "exact: pointwise" + GRAM,
    ),
    Animal(
        "box means of frames, of a picture cut into them",
        lambda r: BoxMean(2, (4, 3, 4, 6)) @ Mosaic(((0, 3), (1, 2)), (4, 3, 4, 6)).H,
        "exact: scalar" + OUTER,
    ),
    Animal(
        "matrix along time, of a picture cut into frames",
        lambda r: AxisMatrix(r(3, 4), 0, (4, 3, 4, 6)) @ Mosaic(((2, 0), (3, 1)), (4, 3, 4, 6)).H,
        "exact: eigh of 3×3" + OUTER,
    ),
    Animal(
        "full blur of frames, of a picture cut into them",
        lambda r: Convolution(r(3, 2), (4, 1, 5, 4)) @ Mosaic(((0, 3), (1, 2)), (4, 1, 5, 4)).H,
        "exact: FFT and a margin of 15 pixels" + GRAM,
    ),
    Animal(
        "random projections along time and space, of a picture cut into frames",
        lambda r: (
            kron(Dense(r(3, 4), (4,), (3,)), Identity((3,)), Dense(r(5, 12), (3, 4), (5,)))
            @ Mosaic(((0, 3), (1, 2)), (4, 3, 3, 4)).H
        ),
        "exact: eigh of 5×5" + OUTER,
    ),
    Animal(
        "mask of a roll",
        lambda r: Diagonal(mask(r, *VIDEO), VIDEO) @ Roll((1,), (2,), VIDEO),
        "exact: pointwise" + GRAM,
    ),
    Animal(
        "mask of frames of a transposition",
        lambda r: Diagonal(mask(r, 3, 1, 1, 1), (3, 4, 5, 6)) @ Transpose((1, 0, 3, 2), VIDEO),
        "exact: pointwise" + GRAM,
    ),
    Animal(
        "circular blur of a flip",
        lambda r: Convolution(r(3, 2), VIDEO, "circular") @ Flip((0, 2), VIDEO),
        "exact: FFT" + GRAM,
    ),
    Animal(
        "circular blur of a roll",
        lambda r: Convolution(r(3, 2), VIDEO, "circular") @ Roll((1, 2), (1, 2), VIDEO),
        "exact: FFT" + GRAM,
    ),
    Animal(
        "circular blur of a transposition",
        lambda r: Convolution(r(3, 2), SWAPPED, "circular") @ Transpose((0, 1, 3, 2), VIDEO),
        "exact: FFT" + GRAM,
    ),
    Animal(
        "circular blur over rows and time",
        lambda r: Convolution(r(2, 2), (5, 3, 6, 4), "circular") @ Transpose((3, 1, 2, 0), VIDEO),
        "exact: FFT" + GRAM,
    ),
    Animal(
        "circular blurs around a flip",
        lambda r: (
            Convolution(r(3, 2), VIDEO, "circular") @ Flip((2, 3), VIDEO) @ Convolution(r(2, 3), VIDEO, "circular")
        ),
        "exact: FFT" + GRAM,
    ),
    Animal(
        "circular blurs around a transposition",
        lambda r: (
            Convolution(r(3, 2), SWAPPED, "circular")
            @ Transpose((1, 0, 3, 2), (3, 4, 6, 5))
            @ Convolution(r(2, 3), (3, 4, 6, 5), "circular")
        ),
        "exact: FFT" + GRAM,
    ),
    Animal("box mean of a roll", lambda r: BoxMean(2, VIDEO) @ Roll((1, 1), (2, 3), VIDEO), "exact: scalar" + OUTER),
    Animal(
        "box mean of a flip of a mask",
        lambda r: BoxMean(2, VIDEO) @ Flip((2,), VIDEO) @ Diagonal(mask(r, *VIDEO), VIDEO),
        "exact: pointwise" + OUTER,
    ),
    Animal(
        "temporal blur of a flip",
        lambda r: AxisMatrix(r(6, 4), 0, VIDEO) @ Flip((0, 2), VIDEO),
        "exact: eigh of 4×4" + GRAM,
    ),
    Animal(
        "temporal blur of a transposition",
        lambda r: AxisMatrix(r(6, 4), 1, (3, 4, 6, 5)) @ Transpose((1, 0, 2, 3), VIDEO),
        "exact: eigh of 4×4" + GRAM,
    ),
    Animal(
        "Gaussian of a transposition",
        lambda r: Dense(r(5, 24), (4, 3, 2), (5,)) @ Transpose((2, 1, 0), (2, 3, 4)),
        "exact: eigh of 5×5" + OUTER,
    ),
    Animal(
        "cosine multiplier of a flip",
        lambda r: Multiplier(Cosine((2, 3), VIDEO), r(4, 1, 6, 5)) @ Flip((0, 2), VIDEO),
        "exact: DCT" + GRAM,
    ),
    Animal(
        "cosine multiplier of a roll in time",
        lambda r: Multiplier(Cosine((2, 3), VIDEO), r(4, 1, 6, 5)) @ Roll((1,), (0,), VIDEO),
        "exact: DCT" + GRAM,
    ),
    Animal(
        "cosine multiplier of a transposition",
        lambda r: Multiplier(Cosine((0, 2), (3, 4, 5, 6)), r(3, 1, 5, 6)) @ Transpose((1, 0, 3, 2), VIDEO),
        "exact: DCT" + GRAM,
    ),
    Animal(
        "roll of stacked masks",
        lambda r: Stack((Diagonal(mask(r, *VIDEO), VIDEO), Select((0,), 0, VIDEO))) @ Roll((1,), (0,), VIDEO),
        "exact: pointwise" + GRAM,
    ),
    Animal("warp", lambda r: Warp(0.3 * r(4, 2, 6, 5), VIDEO), "cg, not preconditioned"),
    Animal(
        "one warp a sample, all frames alike", lambda r: Warp(0.3 * r(2, 1, 2, 6, 5), VIDEO), "cg, not preconditioned"
    ),
    Animal("warp by whole pixels", lambda r: Warp(r(4, 2, 6, 5).round(), VIDEO), "cg, not preconditioned"),
    Animal(
        "full blur of a flip",
        lambda r: Convolution(r(2, 3), (2, 4, 5)) @ Flip((1,), (2, 4, 5)),
        "exact: FFT and a margin of 15 pixels" + GRAM,
    ),
    Animal(
        "full blur of a flip of rows and columns",
        lambda r: Convolution(r(2, 3), (2, 4, 5)) @ Flip((1, 2), (2, 4, 5)),
        "exact: FFT and a margin of 15 pixels" + GRAM,
    ),
    Animal(
        "full blur of a transposition",
        lambda r: Convolution(r(2, 2, 3), (3, 2, 4, 5)) @ Transpose((1, 0, 3, 2), (2, 3, 5, 4)),
        "exact: FFT and a margin of 15 pixels" + GRAM,
    ),
    Animal(
        "flip in time of a valid blur",
        lambda r: Flip((0,), (4, 3, 4, 4)) @ Convolution(r(3, 2), VIDEO, "valid"),
        "exact: FFT and a margin of 14 pixels" + OUTER,
    ),
    Animal(
        "flip of a valid blur",
        lambda r: Flip((0, 2), (2, 3, 3)) @ Convolution(r(2, 3), (2, 4, 5), "valid"),
        "exact: FFT and a margin of 11 pixels" + OUTER,
    ),
]

LEAVES = [
    lambda r, shape: Flip((len(shape) - 1,), shape),
    lambda r, shape: Roll((1,), (len(shape) - 1,), shape),
    lambda r, shape: Roll((-1, 2), (0, len(shape) - 1), shape) if len(shape) > 1 else None,
    lambda r, shape: Transpose(tuple(r(len(shape)).argsort().tolist()), shape),
    lambda r, shape: Transpose(tuple(reversed(range(len(shape)))), shape),
    lambda r, shape: Transpose((*range(len(shape) - 2), len(shape) - 1, len(shape) - 2), shape) if shape[1:] else None,
    lambda r, shape: Mosaic((tuple(r(shape[0]).argsort().tolist()),), shape) if len(shape) == 4 else None,
    lambda r, shape: Warp(0.3 * r(shape[0], 2, *shape[2:]), shape) if len(shape) == 4 else None,
]
"""Operators for random expressions, on tensors of any shape; None where there is none."""
