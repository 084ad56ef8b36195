"""Orthonormal transforms, and what is diagonal in them."""

from __future__ import annotations

from linops_video import Cosine, Diagonal, Multiplier
from zoo.animal import GRAM, OUTER, VIDEO, Animal, mask

LONG = (2, 101, 1)

ANIMALS = [
    Animal("cosine transform", lambda r: Cosine((0, 2, 3), VIDEO), "exact: scalar" + GRAM),
    Animal("cosine transform of a long axis", lambda r: Cosine((1,), LONG), "exact: scalar" + GRAM),
    Animal("cosine transform of a long even axis", lambda r: Cosine((0,), (98, 2)), "exact: scalar" + GRAM),
    Animal("cosine multiplier", lambda r: Multiplier(Cosine((2, 3), VIDEO), r(1, 1, 6, 5)), "exact: DCT" + GRAM),
    Animal(
        "one cosine multiplier a sample",
        lambda r: Multiplier(Cosine((0,), VIDEO), r(2, 4, 1, 1, 1)),
        "exact: DCT" + GRAM,
    ),
    Animal(
        "cosine coefficients",
        lambda r: Diagonal(mask(r, *VIDEO), VIDEO) @ Cosine((0, 2, 3), VIDEO),
        "exact: pointwise" + OUTER,
    ),
    Animal(
        "sum of cosine multipliers",
        lambda r: (
            Multiplier(Cosine((2, 3), VIDEO), r(1, 1, 6, 5))
            + 0.5 * Multiplier(Cosine((2, 3), VIDEO), r(6, 1)[None, None])
        ),
        "exact: DCT" + GRAM,
    ),
]
