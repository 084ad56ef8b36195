"""Compositions whose structure must survive, and kinds of convolution."""

from __future__ import annotations

import math
from typing import get_args

import torch

from linops_video import (
    AxisMatrix,
    Bayer,
    BlockDiagonal,
    BoxMean,
    Convolution,
    Cosine,
    Dense,
    Diagonal,
    Difference,
    Flip,
    Fourier,
    Identity,
    Multiplier,
    Roll,
    Select,
    Stack,
    Wavelet,
    cacti,
    circulant,
    kron,
    shutter,
)
from linops_video.operators.convolution import Boundary
from zoo.animal import GRAM, OUTER, VIDEO, Animal, mask
from zoo.edges import BINOMIAL, even_disk

EVEN = (2, 3, 6, 4)
FRAME = (1, *VIDEO[1:])


def low_rank(r, n: int, rank: int) -> Dense:
    return Dense(r(n, rank) @ r(rank, n), (n,), (n,))


ANIMALS = [
    Animal(
        "mean of neighbours in a stack",
        lambda r: BoxMean(2, (8,), (0,)) @ Stack((Cosine((0,), (1, 2, 2)), Cosine((0,), (1, 2, 2)))),
        "exact: eigh of 4×4" + OUTER,
    ),
    Animal(
        "complex matrix of differences of a stack",
        lambda r: (
            AxisMatrix(torch.complex(r(2, 8), r(2, 8)), 0, (8,))
            @ Difference(0, (8,), "centred", "periodic")
            @ Stack((Cosine((0,), (1, 2, 2)), Cosine((0,), (1, 2, 2))))
        ),
        "cg, preconditioned by scalar",
    ),
    Animal(
        "box mean of a circular blur of colour frames",
        lambda r: BoxMean(2, EVEN) @ Convolution(r(3, 3), EVEN, "circular"),
        "exact: FFT" + OUTER,
    ),
    Animal(
        "rows and columns of a circular blur",
        lambda r: Select((1, 3), 3, (2, 3, 3, 4)) @ Select((0, 2, 4), 2, EVEN) @ Convolution(r(3, 2), EVEN, "circular"),
        "exact: FFT" + OUTER,
    ),
    Animal(
        "rows of one circular blur a sample",
        lambda r: Select((1, 4), 2, EVEN) @ Convolution(r(2, 3, 3), EVEN, "circular"),
        "exact: FFT" + OUTER,
    ),
    Animal(
        "mask of wavelet synthesis",
        lambda r: Diagonal(mask(r, 4, 3, 8, 4), (4, 3, 8, 4)) @ Wavelet((4, 3, 8, 4), "haar", (1, 0, 2, 1)).H,
        "exact: pointwise" + OUTER,
    ),
    Animal(
        "blocks of many kinds",
        lambda r: BlockDiagonal(
            (
                Convolution(r(2, 2), (2, 3, 3)),
                BoxMean(2, (4, 4)) @ Diagonal(r(4, 4), (4, 4)),
                Dense(r(2, 5), (5,), (2,)),
            )
        ),
        "exact: FFT and a margin of 7 pixels" + GRAM + "; exact: pointwise" + OUTER + "; exact: eigh of 2×2" + OUTER,
    ),
    Animal(
        "masked blocks",
        lambda r: Diagonal(r(6), (6,)) @ BlockDiagonal((Identity((2,)), Dense(r(4, 3), (3,), (4,)))),
        "exact: pointwise" + GRAM + "; exact: eigh of 3×3" + GRAM,
    ),
    Animal(
        "blocks of a mask",
        lambda r: BlockDiagonal((BoxMean(2, (4, 4)), Dense(r(4, 3), (3,), (4,)))) @ Diagonal(mask(r, 19), (19,)),
        "exact: pointwise" + OUTER + "; exact: eigh of 3×3" + GRAM,
    ),
    Animal(
        "blocks and a multiple of the identity a sample",
        lambda r: BlockDiagonal((circulant(r(4, 5), (4, 5)), Difference(0, (3,)).gram())) + Diagonal(r(2, 1), (23,)),
        "exact: FFT" + GRAM + "; exact: DCT" + GRAM,
    ),
    Animal(
        "blocks beside others and beside a number",
        lambda r: Stack(
            (
                BlockDiagonal((circulant(r(4, 5), (4, 5)), Dense(r(4, 3), (3,), (4,)))),
                BlockDiagonal((Roll((1,), (0,), (4, 5)), Diagonal(r(3), (3,)))),
                0.5 * Identity((23,)),
            )
        ),
        "exact: FFT; eigh of 3×3" + GRAM,
    ),
    Animal(
        "flips among box means and blurs",
        lambda r: (
            2.0
            * Flip((1, 3), (2, 3, 3, 2))
            @ BoxMean(2, EVEN)
            @ Flip((0, 2), EVEN)
            @ Convolution(r(3, 3), EVEN, "circular")
        ),
        "exact: FFT" + OUTER,
    ),
    Animal(
        "temporal blur of a circular blur",
        lambda r: AxisMatrix(r(5, 4), 0, VIDEO) @ Convolution(r(3, 3), VIDEO, "circular"),
        "exact: eigh of 4×4" + GRAM,
    ),
    Animal(
        "box mean of a blur in space and time",
        lambda r: BoxMean(2, EVEN) @ kron(Dense(r(2, 3), (3,), (2,)), Identity((3,)), circulant(r(6, 4), (6, 4))),
        "exact: FFT" + OUTER,
    ),
    Animal(
        "flipped frames of a blur in space and time",
        lambda r: (
            Select((1, 0), 0, VIDEO)
            @ Flip((0, 3), VIDEO)
            @ kron(Dense(r(4, 4), (4,), (4,)), circulant(r(6, 5), VIDEO[1:]))
        ),
        "exact: FFT" + OUTER,
    ),
    Animal(
        "mask of frames of a circular blur",
        lambda r: Diagonal(mask(r, 4, 3, 1, 1), VIDEO) @ Convolution(r(3, 3), VIDEO, "circular"),
        "exact: FFT" + GRAM,
    ),
    Animal(
        "two blurs in space and time",
        lambda r: Stack(
            (
                kron(Dense(r(2, 4), (4,), (2,)), Identity((3,)), circulant(r(6, 5), (6, 5))),
                kron(Dense(r(3, 4), (4,), (3,)), Identity((3,)), circulant(r(6, 5), (6, 5))),
            )
        ),
        "exact: FFT, then eigh per eigenvalue" + GRAM,
    ),
    Animal(
        "colour matrix of a mask",
        lambda r: AxisMatrix(r(2, 3), 1, VIDEO) @ Diagonal(mask(r, *VIDEO), VIDEO),
        "exact: eigh of 2×2 at every place" + OUTER,
    ),
    Animal(
        "mask of a temporal blur",
        lambda r: Diagonal(mask(r, *VIDEO), VIDEO) @ AxisMatrix(r(4, 4), 0, VIDEO),
        "exact: eigh of 4×4 at every place" + GRAM,
    ),
    Animal(
        "masks of two temporal blurs",
        lambda r: Stack(
            (
                Diagonal(mask(r, *VIDEO), VIDEO) @ AxisMatrix(r(4, 4), 0, VIDEO),
                AxisMatrix(r(2, 4), 0, VIDEO),
                Diagonal(r(2, *VIDEO), VIDEO),
            )
        ),
        "exact: eigh of 4×4 at every place" + GRAM,
    ),
    Animal(
        "temporal blurs of two masks",
        lambda r: Stack(tuple(AxisMatrix(r(3, 4), 0, VIDEO) @ Diagonal(mask(r, *VIDEO), VIDEO) for _ in range(2))),
        "exact: eigh of 4×4 at every place" + GRAM,
    ),
    Animal(
        "two snapshots through masks, one set a sample",
        lambda r: Stack(tuple(cacti(mask(r, 2, *VIDEO), VIDEO) for _ in range(2))),
        "exact: eigh of 4×4 at every place" + GRAM,
    ),
    Animal(
        "a mask and differences along the columns",
        lambda r: Stack((Diagonal(mask(r, *VIDEO), VIDEO), 0.3 * Difference(2, VIDEO), Roll((1,), (2,), VIDEO))),
        "exact: eigh of 6×6 at every place" + GRAM,
    ),
    Animal(
        "two coils, and lines of their spectra",
        lambda r: Stack(
            tuple(
                Diagonal(lines, VIDEO)
                @ Fourier((2, 3), VIDEO)
                @ Diagonal(torch.complex(r(6, 5), r(6, 5))[None, None], VIDEO)
                for lines in [mask(r, 4, 1, 6, 1)] * 2
            )
        ),
        "exact: eigh of 6×6 at every place" + GRAM,
    ),
    Animal(
        "a cosine filter between masks, along the only axis",
        lambda r: Multiplier(Cosine((0,), (6,)), r(6)) @ Diagonal(r(6), (6,)) @ Multiplier(Cosine((0,), (6,)), r(6)),
        "exact: eigh of 6×6 at every place" + GRAM,
    ),
    Animal(
        "rolls and flips of the only axis, added",
        lambda r: Roll((2,), (0,), (6,)) + Flip((0,), (6,)) + r(2) * Identity((6,)),
        "exact: eigh of 6×6 at every place" + GRAM,
    ),
    Animal(
        "two snapshots of means over rows",
        lambda r: Stack(tuple(cacti(mask(r, 4, 3, 3, 5), (4, 3, 3, 5)) for _ in range(2))) @ BoxMean(2, VIDEO, (2,)),
        "exact: eigh of 4×4 at every place" + GRAM,
    ),
    Animal(
        "one full blur a frame, and none of the last",
        lambda r: Stack(tuple(Convolution(r(2, 3), FRAME, "full") @ Select((t,), 0, VIDEO) for t in (2, 0, 1))),
        "exact: FFT and a margin of 19 pixels" + GRAM,
    ),
    Animal(
        "key frames, some entries of them, and small frames between",
        lambda r: Stack(
            (
                Select((0, 3), 0, VIDEO) @ Diagonal(mask(r, *VIDEO), VIDEO),
                0.5 * Select((1, 2), 0, (4, 3, 3, 2)) @ BoxMean(2, VIDEO),
            )
        ),
        "exact: pointwise" + GRAM + "; exact: scalar" + OUTER,
    ),
    Animal(
        "means over time of a full blur",
        lambda r: BoxMean(2, (4, 3, 7, 7), (0,)) @ Convolution(r(2, 3), VIDEO, "full"),
        "exact: FFT and a margin of 19 pixels" + GRAM,
    ),
    Animal(
        "means over time of a valid blur",
        lambda r: BoxMean(2, (4, 3, 5, 3), (0,)) @ Convolution(r(2, 3), VIDEO, "valid"),
        "exact: FFT and a margin of 15 pixels" + OUTER,
    ),
    Animal(
        "a full blur of one luma a sample",
        lambda r: Convolution(r(2, 3), (4, 1, 6, 5), "full") @ AxisMatrix(r(2, 1, 3), 1, VIDEO),
        "exact: FFT and a margin of 19 pixels" + GRAM,
    ),
    Animal(
        "means over time and columns of a cosine filter",
        lambda r: BoxMean(2, (4, 3, 6), (0, 2)) @ Multiplier(Cosine((0, 1, 2), (4, 3, 6)), r(4, 1, 6)),
        "exact: DCT" + OUTER,
    ),
    Animal(
        "mask, and differences of a blur",
        lambda r: Stack((Diagonal(mask(r, *VIDEO), VIDEO), 0.5 * Convolution(r(3, 3), VIDEO, "circular"))),
        "cg, preconditioned by FFT",
    ),
    Animal(
        "one multiple a sample of a full blur of wavelet synthesis",
        lambda r: r(2) * (Convolution(r(2, 3), EVEN, "full") @ Wavelet(EVEN, "haar", 1).H),
        "exact: FFT and a margin of 18 pixels" + GRAM,
    ),
    Animal(
        "overlapping shutters of a full blur",
        lambda r: shutter(3, 1, (4, 3, 7, 6)) @ Convolution(r(2, 2), VIDEO, "full"),
        "exact: FFT and a margin of 12 pixels" + GRAM,
    ),
    Animal(
        "one color matrix a sample of a valid blur of every second frame",
        lambda r: (
            AxisMatrix(r(2, 3, 3), 1, (2, 3, 5, 3))
            @ Convolution(r(2, 3), (2, 3, 6, 5), "valid")
            @ Select((0, 2), 0, VIDEO)
        ),
        "exact: FFT and a margin of 15 pixels" + OUTER,
    ),
    Animal(
        "full blur, one a sample, of mixed times, of rank one, and mixed colors",
        lambda r: (
            r(2)
            * (Convolution(r(2, 2, 3), EVEN, "full") @ kron(low_rank(r, 2, 1), low_rank(r, 3, 3), Identity((6, 4))))
        ),
        "exact: FFT and a margin of 18 pixels" + GRAM,
    ),
    Animal(
        "overlapping shutters of a Bayer mosaic of a blur",
        lambda r: (
            shutter(3, 1, (4, 1, 6, 4)) @ Bayer("rggb", (4, 3, 6, 4)) @ Convolution(r(3, 2), (4, 3, 6, 4), "circular")
        ),
        "exact: FFT, then eigh of 4×4 per frequency" + GRAM,
    ),
    Animal(
        "box means, and a mask of a circular blur",
        lambda r: Stack((BoxMean(2, EVEN), Diagonal(mask(r, *EVEN), EVEN) @ Convolution(r(2, 2), EVEN, "circular"))),
        "cg, preconditioned by FFT",
    ),
    Animal(
        "luma, one a sample, and box means that leave over, flipped",
        lambda r: 2.0 * Stack((AxisMatrix(r(2, 1, 3), 1, VIDEO), BoxMean(2, VIDEO))) @ Flip((0, 3), VIDEO),
        "exact: eigh of 6×6" + GRAM,
    ),
    Animal(
        "means over time, luma, and box means that leave over",
        lambda r: Stack((shutter(3, 1, VIDEO), r(2) * AxisMatrix(r(1, 3), 1, VIDEO), BoxMean(2, VIDEO))),
        "exact: eigh of 6×6" + GRAM,
    ),
]

LEAVES = [
    lambda r, shape: Identity(shape),
    lambda r, shape: Diagonal(mask(r, *shape), shape),
    lambda r, shape: Diagonal(mask(r, shape[0], *(1,) * (len(shape) - 1)), shape),
    lambda r, shape: Diagonal(r(2, *shape), shape),
    lambda r, shape: Diagonal(torch.complex(r(*shape), r(*shape)), shape),
    lambda r, shape: Select(tuple(range(0, shape[0], 2)), 0, shape),
    lambda r, shape: Select(tuple(range(shape[-1] - 1, -1, -2)), len(shape) - 1, shape),
    lambda r, shape: Select(tuple(range(1, shape[-1], 2)), len(shape) - 1, shape) if shape[-1] > 1 else None,
    lambda r, shape: AxisMatrix(r(1, shape[0]), 0, shape),
    lambda r, shape: AxisMatrix(r(shape[0] + 1, shape[0]), 0, shape),
    lambda r, shape: AxisMatrix(r(2, 2, shape[-1]), len(shape) - 1, shape),
    lambda r, shape: AxisMatrix(r(shape[1], shape[1]), 1, shape) if len(shape) > 1 else None,
    lambda r, shape: Diagonal(r(3, 1, *shape), shape),
    lambda r, shape: Dense(r(3, math.prod(shape)), shape, (3,)),
    lambda r, shape: Dense(r(2, 4, math.prod(shape)), shape, (2, 2)),
    lambda r, shape: BoxMean(2, shape) if len(shape) > 1 and min(shape[-2:]) > 1 else None,
    lambda r, shape: Flip((0,), shape),
    lambda r, shape: Wavelet(shape, "haar", (1,) * len(shape)) if len(shape) > 1 else None,
    lambda r, shape: circulant(r(*shape[-2:]), shape) if len(shape) > 1 else None,
    lambda r, shape: _blur(r(1, 1) * torch.outer(BINOMIAL, BINOMIAL) + even_disk(r), shape, "symmetric"),
    lambda r, shape: _blur(torch.complex(r(2, 2), r(2, 2)), shape, "circular"),
    *(lambda r, shape, kind=kind: _blur(r(2, 3), shape, kind) for kind in get_args(Boundary)),
    *(lambda r, shape, kind=kind: _blur(r(2, 2, 2), shape, kind) for kind in get_args(Boundary)),
    *(lambda r, shape, kind=kind: _blur(torch.outer(r(2), r(3)), shape, kind) for kind in get_args(Boundary)),
]
"""Operators for random expressions, on tensors of any shape; None where there is none."""


def _blur(kernel: torch.Tensor, shape: tuple[int, ...], boundary: Boundary) -> Convolution | None:
    large = len(shape) > 1 and kernel.shape[-2] <= shape[-2] and kernel.shape[-1] <= shape[-1]
    return Convolution(kernel, shape, boundary) if large else None
