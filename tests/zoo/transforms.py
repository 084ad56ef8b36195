"""Orthonormal transforms, what is diagonal in them, and complex parameters."""

from __future__ import annotations

import math
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
    Entries,
    Fourier,
    Hadamard,
    Identity,
    Multiplier,
    Select,
    Stack,
    Wavelet,
    circulant,
    kron,
    random_hadamard,
)
from zoo.animal import GRAM, OUTER, VIDEO, Animal, mask

LONG = (2, 101, 1)


def z(r: Callable[..., Tensor], *shape: int) -> Tensor:
    return torch.complex(r(*shape), r(*shape))


def signs(r: Callable[..., Tensor], *shape: int) -> Tensor:
    return r(*shape).sign().to(torch.int8)


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
        "cosine multiplier and a number a sample",
        lambda r: Stack((cosine_filter(r), r(2).abs() * Identity(VIDEO))),
        "exact: DCT" + GRAM,
    ),
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
        "mask after a cosine transform and back",
        lambda r: Diagonal(mask(r, *VIDEO), VIDEO) @ Cosine((0, 3), VIDEO).H @ Cosine((0, 3), VIDEO),
        "exact: pointwise" + GRAM,
    ),
    Animal("sum of cosine multipliers", lambda r: cosine_filter(r) + 0.5 * cosine_filter(r), "exact: DCT" + GRAM),
    Animal(
        "cosine multipliers over time and over frames",
        lambda r: Stack((Multiplier(Cosine((0,), VIDEO), r(4, 1, 1, 1)), cosine_filter(r))),
        "exact: DCT" + GRAM,
    ),
    Animal(
        "cosine multiplier over time of one over frames",
        lambda r: Multiplier(Cosine((0,), VIDEO), r(4, 1, 1, 1)) @ cosine_filter(r),
        "exact: DCT" + GRAM,
    ),
    Animal(
        "cosine multiplier and frame weights",
        lambda r: Stack((cosine_filter(r), Diagonal(r(4, 1, 1, 1), VIDEO))),
        "exact: DCT" + GRAM,
    ),
    Animal("Hadamard transform", lambda r: Hadamard(signs(r, *VIDEO), VIDEO), "exact: scalar" + GRAM),
    Animal("Hadamard transform of odd sizes", lambda r: Hadamard(signs(r, 5, 1), (5, 7)), "exact: scalar" + GRAM),
    Animal("Hadamard transform of a long axis", lambda r: Hadamard(signs(r, 202), (202,)), "exact: scalar" + GRAM),
    Animal(
        "random rows of a Hadamard transform", lambda r: random_hadamard(40, VIDEO, seed=1), "exact: scalar" + OUTER
    ),
    Animal(
        "Gram of random rows of a Hadamard transform",
        lambda r: random_hadamard(40, VIDEO, seed=1).gram(),
        "exact: Hadamard transform" + GRAM,
    ),
    Animal(
        "random rows of a Hadamard transform of luma",
        lambda r: random_hadamard(40, (4, 1, 6, 5)) @ AxisMatrix(r(1, 3), 1, VIDEO),
        "exact: scalar" + OUTER,
    ),
    Animal("entries", lambda r: Entries(torch.tensor([7, 0, 359]), VIDEO), "exact: scalar" + OUTER),
    Animal(
        "entries of a mask",
        lambda r: Entries(torch.arange(3, 360, 7), VIDEO) @ Diagonal(mask(r, *VIDEO), VIDEO),
        "exact: pointwise" + GRAM,
    ),
    Animal(
        "wavelet multiplier",
        lambda r: Multiplier(Wavelet((4, 3, 8, 4), "db2", (1, 0, 2, 1)), r(4, 3, 8, 4)),
        "exact: wavelet transform" + GRAM,
    ),
    Animal(
        "full blur of wavelet synthesis",
        lambda r: Convolution(r(3, 2), (4, 3, 6, 8)) @ Wavelet((4, 3, 6, 8), "haar", (1, 0, 1, 1)).H,
        "exact: FFT and a margin of 24 pixels" + GRAM,
    ),
    Animal(
        "full blur of a spectrum",
        lambda r: Convolution(r(3, 2), (4, 3, 6, 8)) @ Fourier((0, 1), (4, 3, 6, 8)),
        "exact: FFT and a margin of 24 pixels" + GRAM,
    ),
    Animal(
        "mask of a wavelet synthesis",
        lambda r: Diagonal(mask(r, 4, 3, 8, 4), (4, 3, 8, 4)) @ Wavelet((4, 3, 8, 4), "haar", (1, 0, 2, 1)).H,
        "exact: pointwise" + OUTER,
    ),
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
    Animal(
        "complex weights of a dense",
        lambda r: Diagonal(z(r, 5), (5,)) @ Dense(z(r, 5, 6), (6,), (5,)) @ Diagonal(z(r, 6), (6,)),
        "exact: eigh of 5×5" + OUTER,
    ),
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


def some_axes(numbers: Tensor, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Some of the axes of an event, at least one."""
    kept = tuple(axis for axis, number in enumerate(numbers.tolist()) if number > 0)
    return kept or (len(shape) - 1,)


LEAVES = [
    lambda r, shape: Cosine(some_axes(r(len(shape)), shape), shape),
    lambda r, shape: Multiplier(Cosine(some_axes(r(len(shape)), shape), shape), r(*shape)),
    lambda r, shape: Multiplier(Cosine((0,), shape), r(shape[0], *(1,) * (len(shape) - 1))),
    lambda r, shape: Multiplier(Hadamard(signs(r, *shape), shape), r(2, *shape)),
    lambda r, shape: Fourier(some_axes(r(len(shape)), shape), shape),
    lambda r, shape: Diagonal(mask(r, *shape), shape) @ Fourier(some_axes(r(len(shape)), shape), shape),
    lambda r, shape: Diagonal(z(r, *shape), shape),
    lambda r, shape: Hadamard(signs(r, *shape), shape),
    lambda r, shape: random_hadamard(1 + math.prod(shape) // 2, shape, seed=int(100 * r(1).abs())),
    lambda r, shape: Wavelet(shape, "db2", 1) if all(n % 2 == 0 for n in shape) else None,
    lambda r, shape: AxisMatrix(z(r, 2, shape[0]), 0, shape),
    lambda r, shape: Convolution(z(r, 1, 2), shape, "circular") if len(shape) > 1 and shape[-1] > 1 else None,
]
