"""Operators whose Gram commutes with shifts by some rows and columns: multi-frame super-resolution, repeating masks."""

from __future__ import annotations

import torch

from linops_video import (
    AxisMatrix,
    Bayer,
    BlockDiagonal,
    BoxMean,
    Convolution,
    Diagonal,
    Difference,
    Flip,
    Identity,
    Roll,
    Select,
    Slice,
    Stack,
    circulant,
    decimate,
    resize,
    shutter,
)
from zoo.animal import GRAM, OUTER, Animal

EVEN, MOSAIC = (2, 3, 6, 4), (2, 1, 6, 4)
ODD = (1, 9, 10)


def blurs(r, shape: tuple[int, ...]) -> Convolution:
    """One circular blur a sample."""
    return Convolution(r(2, 3, 2), shape, "circular")


def luma(r) -> AxisMatrix:
    return AxisMatrix(r(1, 3), 1, EVEN)


def repeated(r) -> Diagonal:
    """Weights of a mosaic that repeat themselves every two rows, others a frame."""
    return Diagonal(r(2, 1, 2, 1).repeat(1, 1, 3, 1), MOSAIC)


ANIMALS = [
    Animal(
        "shifted box means of a blur of luma of every second frame",
        lambda r: (
            Stack(tuple(BoxMean(2, (2, 1, 6, 4)) @ Roll(s, (2, 3), (2, 1, 6, 4)) for s in ((0, 0), (0, 1), (1, 0))))
            @ Convolution(r(3, 3), (2, 1, 6, 4), "circular")
            @ AxisMatrix(r(1, 3), 1, (2, 3, 6, 4))
            @ Select((0, 2), 0, (4, 3, 6, 4))
        ),
        "exact: FFT, then eigh of 4×4 per frequency" + GRAM,
    ),
    Animal(
        "box means of shifted frames",
        lambda r: Stack(tuple(BoxMean(2, EVEN) @ Roll((a, b), (2, 3), EVEN) for a in (0, 1) for b in (0, 1))),
        "exact: FFT, then eigh of 4×4 per frequency" + GRAM,
    ),
    Animal(
        "decimations of blurs, fewer than there are phases",
        lambda r: Stack(tuple(decimate(2, (6, 4), i) @ Convolution(r(3, 2), (6, 4), "circular").H for i in (0, 1))),
        "exact: FFT, then eigh of 4×4 per frequency" + GRAM,
    ),
    Animal(
        "decimations of one blur a sample, by 3 rows and 2 columns, and periodic differences",
        lambda r: Stack(
            (
                *(Slice((slice(None), slice(i, None, 3), slice(i, None, 2)), ODD) @ blurs(r, ODD) for i in (0, 1)),
                0.5 * Difference(1, ODD, ends="periodic"),
                r(2) * Difference(2, ODD, "centred", "periodic"),
            )
        ),
        "exact: FFT, then eigh of 6×6 per frequency" + GRAM,
    ),
    Animal(
        "weights and gains of box means along an axis each, and of every second row, of a blur",
        lambda r: (
            BlockDiagonal((2.0 * Identity((3, 10)), r(2) * Identity((9, 5)), circulant(r(9, 5), (9, 5))))
            @ Stack((BoxMean(3, (9, 10), (0,)), BoxMean(2, (9, 10), (1,)), Select((1, 3, 5, 7, 9), 1, (9, 10))))
            @ circulant(r(9, 10), (9, 10))
        ),
        "exact: FFT, then eigh of 6×6 per frequency" + GRAM,
    ),
    Animal(
        "box means of differences that are sums of rolls",
        lambda r: BoxMean(3, (1, 9, 6)) @ (Roll((1,), (1,), (1, 9, 6)) - 0.5 * Roll((2,), (2,), (1, 9, 6))),
        "exact: FFT, then eigh of 9×9 per frequency" + GRAM,
    ),
    Animal(
        "box means of a roll, and a decimation that leaves over",
        lambda r: Stack((BoxMean(2, EVEN) @ Roll((1, 1), (2, 3), EVEN), decimate(4, EVEN) @ blurs(r, EVEN))),
        "cg, preconditioned by FFT",
    ),
    *(
        Animal(
            f"box means of a roll, and {name}",
            lambda r, B=B: Stack((BoxMean(2, EVEN) @ Roll((1, 1), (2, 3), EVEN), B(r))),
            "exact: FFT, then eigh of 4×4 per frequency" + GRAM,
        )
        for name, B in (
            ("of frames upside down", lambda r: BoxMean(2, EVEN) @ Flip((2,), EVEN) @ blurs(r, EVEN)),
            ("a gain for every channel", lambda r: BoxMean(2, EVEN) @ Diagonal(r(1, 3, 1, 1), EVEN) @ blurs(r, EVEN)),
            ("a roll in time", lambda r: decimate(2, EVEN) @ Roll((1, 1), (0, 3), EVEN) @ blurs(r, EVEN)),
        )
    ),
    *(
        Animal(name, make, f"exact: FFT, then eigh of {n}×{n} per frequency" + GRAM)
        for name, n, make in (
            ("Bayer mosaic of one blur a sample", 4, lambda r: r(2) * Bayer("gbrg", EVEN) @ blurs(r, EVEN)),
            (
                "Bayer mosaic of a rolled blur, weighted",
                4,
                lambda r: repeated(r) @ Bayer("rggb", EVEN) @ Roll((1, 3), (2, 3), EVEN) @ blurs(r, EVEN),
            ),
            (
                "Bayer mosaic of mixed colors of a blur",
                12,
                lambda r: Bayer("rggb", EVEN) @ AxisMatrix(r(3, 3), 1, EVEN) @ blurs(r, EVEN),
            ),
            ("blur of a Bayer mosaic of a blur", 12, lambda r: blurs(r, MOSAIC) @ Bayer("bggr", EVEN) @ blurs(r, EVEN)),
            (
                "Bayer mosaic of a blur, and box means",
                4,
                lambda r: Stack((Bayer("grbg", EVEN) @ blurs(r, EVEN), BoxMean(2, EVEN))),
            ),
            (
                "mean over time of a Bayer mosaic of a blur",
                4,
                lambda r: shutter(2, 2, MOSAIC) @ Bayer("grbg", EVEN) @ blurs(r, EVEN),
            ),
            ("luma of a blur, and box means of it", 12, lambda r: Stack((luma(r), BoxMean(2, EVEN))) @ blurs(r, EVEN)),
            (
                "mask that repeats itself, one a sample, of a blur",
                6,
                lambda r: Diagonal(r(2, 1, 3, 2).repeat(1, 1, 3, 5), ODD) @ blurs(r, ODD),
            ),
            (
                "interlaced frames of a blur",
                2,
                lambda r: (
                    Diagonal(torch.eye(2, dtype=torch.bool).repeat(1, 3)[:, None, :, None], EVEN)
                    @ Convolution(r(3, 1), EVEN, "circular")
                ),
            ),
            (
                "rows of every channel of a frame, weighted, of a blur",
                3,
                lambda r: Diagonal(r(3, 3, 1).repeat(1, 3, 1), (3, 9, 5)) @ Convolution(r(2, 3), (3, 9, 5), "circular"),
            ),
            (
                "means over areas of one and a half rows of a blur",
                3,
                lambda r: resize((4, 5), (1, 6, 5), "area") @ Convolution(r(2, 3), (1, 6, 5), "circular"),
            ),
        )
    ),
    Animal(
        "Bayer mosaic of a blur of an odd number of rows",
        lambda r: Bayer("rggb", (3, 5, 4)) @ Convolution(r(2, 2), (3, 5, 4), "circular"),
        "cg, preconditioned by FFT",
    ),
    Animal(
        "decimations by 9 of blurs, more phases than a matrix takes",
        lambda r: Stack(tuple(decimate(9, (1, 9, 9)) @ blurs(r, (1, 9, 9)) for _ in range(2))),
        "cg, preconditioned by FFT",
    ),
    Animal(
        "box means of one circular blur a frame, weighted",
        lambda r: (
            BlockDiagonal(tuple(r(2) * Identity((1, 3, 3, 2)) for _ in range(2)))
            @ Stack(
                tuple(BoxMean(2, (1, 3, 6, 4)) @ blurs(r, (1, 3, 6, 4)) @ Select((t,), 0, EVEN) for t in range(2)),
            )
        ),
        "exact: FFT" + OUTER,
    ),
    Animal(
        "decimations of a circular blur in a color pattern",
        lambda r: Stack(
            tuple(
                Slice((*[slice(None)] * 2, slice(a, None, 2), slice(b, None, 2)), (2, 1, 6, 4))
                @ Select((c,), 1, EVEN)
                @ Convolution(r(3, 3), EVEN, "circular")
                for c, a, b in ((0, 0, 0), (1, 0, 1), (1, 1, 0), (2, 1, 1))
            )
        ),
        "exact: FFT" + OUTER + "; exact: FFT, then eigh of 4×4 per frequency" + GRAM,
    ),
]
