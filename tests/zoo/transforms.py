"""Orthonormal transforms, what is diagonal in them, and complex parameters."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from linops_video import (
    AxisMatrix,
    BoxMean,
    Convolution,
    Cosine,
    Dense,
    Diagonal,
    Fourier,
    Identity,
    Multiplier,
    Select,
    Stack,
    circulant,
    kron,
)
from zoo.animal import GRAM, OUTER, VIDEO, Animal, mask

LONG = (2, 101, 1)


def z(r: Callable[..., Tensor], *shape: int) -> Tensor:
    return torch.complex(r(*shape), r(*shape))


def cosine_filter(r: Callable[..., Tensor]) -> Multiplier:
    return Multiplier(Cosine((2, 3), VIDEO), r(1, 1, 6, 5))


def fourier_samples(r: Callable[..., Tensor]) -> Diagonal:
    return Diagonal(mask(r, *VIDEO), VIDEO) @ Fourier((2, 3), VIDEO)  # type: ignore[return-value]


ANIMALS = [
    Animal("cosine transform", lambda r: Cosine((0, 2, 3), VIDEO), "exact: scalar" + GRAM),
    Animal("cosine transform of a long axis", lambda r: Cosine((1,), LONG), "exact: scalar" + GRAM),
    Animal("cosine transform of a long even axis", lambda r: Cosine((0,), (98, 2)), "exact: scalar" + GRAM),
    Animal("cosine multiplier", cosine_filter, "exact: DCT" + GRAM),
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
    Animal("sum of cosine multipliers", lambda r: cosine_filter(r) + 0.5 * cosine_filter(r), "exact: DCT" + GRAM),
    Animal("Fourier transform", lambda r: Fourier((2, 3), VIDEO), "exact: scalar" + GRAM),
    Animal("inverse Fourier transform in time", lambda r: Fourier((0,), VIDEO).H, "exact: scalar" + GRAM),
    Animal("Fourier samples", fourier_samples, "exact: pointwise" + OUTER),
    Animal("Gram of Fourier samples", lambda r: fourier_samples(r).gram(), "exact: FFT" + GRAM),
    Animal(
        "rows of the spectrum of luma",
        lambda r: Select((0, 2, 3), 2, (4, 1, 6, 5)) @ Fourier((2, 3), (4, 1, 6, 5)) @ AxisMatrix(r(1, 3), 1, VIDEO),
        "exact: scalar" + OUTER,
    ),
    Animal(
        "Fourier samples of a blur",
        lambda r: fourier_samples(r) @ Convolution(r(3, 2), VIDEO, "circular"),
        "exact: pointwise" + OUTER,
    ),
    Animal(
        "Fourier samples and a blur",
        lambda r: Stack((fourier_samples(r), 0.5 * Convolution(r(3, 2), VIDEO, "circular"))),
        "exact: FFT" + GRAM,
    ),
    Animal("c times the identity, c complex", lambda r: (1 - 2j) * Identity(VIDEO), "exact: scalar" + GRAM),
    Animal("complex weights", lambda r: Diagonal(z(r, 4, 1, 6, 5), VIDEO), "exact: pointwise" + GRAM),
    Animal("complex wide dense", lambda r: Dense(z(r, 5, 12), (3, 4), (5,)), "exact: eigh of 5×5" + OUTER),
    Animal("complex matrix in time", lambda r: AxisMatrix(z(r, 2, 4), 0, VIDEO), "exact: eigh of 2×2" + OUTER),
    Animal("complex circulant", lambda r: circulant(z(r, 6, 5), VIDEO), "exact: FFT" + GRAM),
    Animal("i times a circulant", lambda r: 1j * circulant(r(6, 5), VIDEO), "exact: FFT" + GRAM),
    Animal("complex circular blur", lambda r: Convolution(z(r, 3, 2), VIDEO, "circular"), "exact: FFT" + GRAM),
    Animal("complex same blur", lambda r: Convolution(z(r, 3, 2), VIDEO, "same"), "exact: eigh of 30×30" + GRAM),
    Animal("complex full blur", lambda r: Convolution(z(r, 3, 2), VIDEO), "cg, preconditioned by FFT"),
    Animal(
        "complex weights of a box mean",
        lambda r: Diagonal(z(r, 4, 3, 3, 2), (4, 3, 3, 2)) @ BoxMean(2, VIDEO),
        "exact: pointwise" + OUTER,
    ),
    Animal(
        "complex matrix in time and a circular blur",
        lambda r: kron(Dense(z(r, 2, 4), (4,), (2,)), Convolution(r(3, 2), (6, 5), "circular")),
        "exact: FFT" + OUTER,
    ),
]
