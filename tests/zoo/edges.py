"""Blurs that go beyond the edge of the frame: mirrored, cut off, or with zeros around; separable ones, too."""

from __future__ import annotations

import torch

from linops_video import BoxMean, Convolution
from zoo.animal import GRAM, OUTER, VIDEO, Animal

LONG = (1, 1, 14, 9)

BINOMIAL = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64) / 4
SLOPED = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
ROUND = torch.tensor([[0.0, 1, 0], [1, 2, 1], [0, 1, 0]], dtype=torch.float64) / 6


def even_disk(r) -> torch.Tensor:
    return ROUND + 0.1 * torch.outer(BINOMIAL, BINOMIAL)


ANIMALS = [
    Animal("symmetric blur", lambda r: Convolution(even_disk(r), VIDEO, "symmetric"), "exact: DCT" + GRAM),
    Animal(
        "one symmetric blur a sample",
        lambda r: Convolution(r(2, 1, 1) * even_disk(r), VIDEO, "symmetric"),
        "exact: DCT" + GRAM,
    ),
    Animal(
        "box mean of a symmetric blur",
        lambda r: BoxMean(2, (2, 6, 4)) @ Convolution(even_disk(r), (2, 6, 4), "symmetric"),
        "exact: DCT" + OUTER,
    ),
    Animal(
        "means of rows of one symmetric blur a sample",
        lambda r: BoxMean(3, (2, 6, 4), (1,)) @ Convolution(r(2, 1, 1) * even_disk(r), (2, 6, 4), "symmetric"),
        "exact: DCT" + OUTER,
    ),
    Animal(
        "box mean that leaves over, of a symmetric blur",
        lambda r: BoxMean(2, (2, 5, 4)) @ Convolution(even_disk(r), (2, 5, 4), "symmetric"),
        "cg, preconditioned by DCT",
    ),
    Animal(
        "separable symmetric blur",
        lambda r: Convolution(torch.outer(SLOPED, BINOMIAL), VIDEO, "symmetric"),
        "exact: eigh of 6×6" + GRAM,
    ),
    Animal(
        "separable reflected blur",
        lambda r: Convolution(torch.outer(BINOMIAL, SLOPED), VIDEO, "reflect"),
        "exact: eigh of 6×6" + GRAM,
    ),
    Animal(
        "separable same blur of larger frames",
        lambda r: Convolution(torch.outer(BINOMIAL, SLOPED), LONG, "same"),
        "exact: eigh of 14×14" + GRAM,
    ),
    Animal(
        "separable full blur",
        lambda r: Convolution(torch.outer(SLOPED, BINOMIAL[:2]), VIDEO, "full"),
        "exact: eigh of 6×6" + GRAM,
    ),
    Animal(
        "separable valid blur",
        lambda r: Convolution(torch.outer(SLOPED, BINOMIAL[:2]), VIDEO, "valid"),
        "exact: eigh of 4×4" + OUTER,
    ),
    Animal(
        "box mean of a separable blur",
        lambda r: BoxMean(2, VIDEO) @ Convolution(torch.outer(SLOPED, BINOMIAL), VIDEO, "reflect"),
        "exact: eigh of 3×3" + OUTER,
    ),
    Animal(
        "reflected blur of small frames",
        lambda r: Convolution(r(3, 2), VIDEO, "reflect"),
        "exact: eigh of 30×30" + GRAM,
    ),
    Animal(
        "symmetric blur of small frames",
        lambda r: Convolution(r(2, 4), VIDEO, "symmetric"),
        "exact: eigh of 30×30" + GRAM,
    ),
]
