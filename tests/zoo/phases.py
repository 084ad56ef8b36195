"""Stacks whose Gram commutes with shifts by some rows and columns: multi-frame super-resolution."""

from __future__ import annotations

from linops_video import (
    AxisMatrix,
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
)
from zoo.animal import GRAM, OUTER, Animal

EVEN = (2, 3, 6, 4)
ODD = (1, 9, 10)


def blurs(r, shape: tuple[int, ...]) -> Convolution:
    """One circular blur a sample."""
    return Convolution(r(2, 3, 2), shape, "circular")


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
    *(
        Animal(
            f"box means of a roll, and {name}",
            lambda r, B=B: Stack((BoxMean(2, EVEN) @ Roll((1, 1), (2, 3), EVEN), B(r))),
            "cg, preconditioned by FFT",
        )
        for name, B in (
            ("of frames upside down", lambda r: BoxMean(2, EVEN) @ Flip((2,), EVEN) @ blurs(r, EVEN)),
            ("a decimation that leaves over", lambda r: decimate(4, EVEN) @ blurs(r, EVEN)),
            ("a gain for every channel", lambda r: BoxMean(2, EVEN) @ Diagonal(r(1, 3, 1, 1), EVEN) @ blurs(r, EVEN)),
            ("a roll in time", lambda r: decimate(2, EVEN) @ Roll((1, 1), (0, 3), EVEN) @ blurs(r, EVEN)),
        )
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
