"""Masks, selections, matrices, convolutions, and what they make together."""

from __future__ import annotations

import torch

from linops_video import (
    AxisMatrix,
    BlockDiagonal,
    BoxMean,
    Convolution,
    Dense,
    Diagonal,
    Difference,
    Identity,
    Select,
    Stack,
    circulant,
    kron,
)
from linops_video.operators.dense import DenseGram
from linops_video.operators.toeplitz import Toeplitz
from linops_video.operators.wavelet import Wavelet
from zoo.animal import GRAM, OUTER, VIDEO, Animal, mask

EVEN_KERNEL = torch.tensor([[0.0, 0.1, 0.1, 0.0], [0.1, 0.2, 0.1, 0.1], [0.0, 0.1, 0.1, 0.1]], dtype=torch.float64)

ANIMALS = [
    Animal("identity", lambda r: Identity(VIDEO), "exact: scalar" + GRAM),
    Animal("scaled identity", lambda r: -2.5 * Identity(VIDEO), "exact: scalar" + GRAM),
    Animal("one factor a sample", lambda r: r(2) * Identity((3, 2)), "exact: scalar" + GRAM),
    Animal("mask", lambda r: Diagonal(mask(r, *VIDEO), VIDEO), "exact: pointwise" + GRAM),
    Animal("mask of frames", lambda r: Diagonal(mask(r, 4, 1, 1, 1), VIDEO), "exact: pointwise" + GRAM),
    Animal("one mask a sample", lambda r: Diagonal(mask(r, 2, *VIDEO), VIDEO), "exact: pointwise" + GRAM),
    Animal("weights", lambda r: Diagonal(r(*VIDEO), VIDEO), "exact: pointwise" + GRAM),
    Animal("every second frame", lambda r: Select((0, 2), 0, VIDEO), "exact: scalar" + OUTER),
    Animal("rows in any order", lambda r: Select((4, 0, 3), 2, VIDEO), "exact: scalar" + OUTER),
    Animal("box mean 2", lambda r: BoxMean(2, VIDEO), "exact: scalar" + OUTER),
    Animal("box mean 3", lambda r: BoxMean(3, (2, 7, 8)), "exact: scalar" + OUTER),
    Animal("difference in time", lambda r: Difference(0, VIDEO), "exact: DCT" + GRAM),
    Animal("difference in columns", lambda r: Difference(3, VIDEO), "exact: DCT" + GRAM),
    Animal("luma", lambda r: AxisMatrix(r(1, 3), 1, VIDEO), "exact: scalar" + OUTER),
    Animal("temporal blur", lambda r: AxisMatrix(r(6, 4), 0, VIDEO), "exact: eigh of 4×4" + GRAM),
    Animal("one matrix a sample", lambda r: AxisMatrix(r(2, 2, 3), 1, VIDEO), "exact: eigh of 2×2" + OUTER),
    Animal("wide dense", lambda r: Dense(r(7, 24), (2, 3, 4), (7,)), "exact: eigh of 7×7" + OUTER),
    Animal("tall dense", lambda r: Dense(r(30, 12), (3, 4), (5, 6)), "exact: eigh of 12×12" + GRAM),
    Animal("one dense a sample", lambda r: Dense(r(2, 7, 12), (3, 4), (7,)), "exact: eigh of 7×7" + OUTER),
    Animal(
        "weights of a wide dense",
        lambda r: Diagonal(r(5), (5,)) @ Dense(r(5, 8), (8,), (5,)),
        "exact: eigh of 5×5" + OUTER,
    ),
    Animal(
        "tall dense of a mask",
        lambda r: Dense(r(9, 6), (2, 3), (9,)) @ Diagonal(mask(r, 2, 1), (2, 3)),
        "exact: eigh of 6×6" + GRAM,
    ),
    Animal(
        "weights of a dense, some a sample",
        lambda r: Diagonal(r(2, 5), (5,)) @ Dense(r(5, 6), (6,), (5,)) @ Diagonal(r(6) > 0, (6,)),
        "exact: eigh of 5×5" + OUTER,
    ),
    Animal(
        "matrix and weights",
        lambda r: Dense(r(6, 6), (2, 3), (2, 3)) + Diagonal(r(2, 2, 1), (2, 3)),
        "exact: eigh of 6×6" + GRAM,
    ),
    Animal(
        "matrix and identity",
        lambda r: Dense(r(6, 6), (2, 3), (2, 3)) + r(2) * Identity((2, 3)),
        "exact: eigh of 6×6" + GRAM,
    ),
    Animal("Gram of a wide dense", lambda r: DenseGram(r(3, 12), (3, 4)), "exact: SVD of 3×12, from the Gram"),
    Animal("circular blur", lambda r: Convolution(EVEN_KERNEL, VIDEO, "circular"), "exact: FFT" + GRAM),
    Animal("one circular blur a sample", lambda r: Convolution(r(2, 3, 3), VIDEO, "circular"), "exact: FFT" + GRAM),
    Animal("full blur", lambda r: Convolution(EVEN_KERNEL, VIDEO), "exact: FFT and a margin of 34 pixels" + GRAM),
    Animal(
        "full blur of sum zero",
        lambda r: Convolution(torch.tensor([[1.0, 2.0], [3.0, -6.0]], dtype=torch.float64), (2, 3, 4)),
        "exact: FFT and a margin of 8 pixels" + GRAM,
    ),
    Animal(
        "one full blur a sample",
        lambda r: Convolution(r(2, 2, 3), (3, 4, 5)),
        "exact: FFT and a margin of 15 pixels" + GRAM,
    ),
    Animal(
        "valid blur", lambda r: Convolution(r(3, 2), VIDEO, "valid"), "exact: FFT and a margin of 14 pixels" + OUTER
    ),
    Animal("same blur", lambda r: Convolution(EVEN_KERNEL, VIDEO, "same"), "exact: eigh of 30×30" + GRAM),
    Animal("circulant", lambda r: circulant(r(6, 5), VIDEO), "exact: FFT" + GRAM),
    Animal("Toeplitz", lambda r: Toeplitz(r(7, 5).abs(), (2, 4, 5), (7, 8)), "cg, not preconditioned"),
    Animal("i times a Toeplitz", lambda r: 1j * Toeplitz(r(7, 5).abs(), (2, 4, 5), (7, 8)), "cg, not preconditioned"),
    Animal(
        "Kronecker product",
        lambda r: kron(Dense(r(3, 4), (4,), (3,)), Identity((2,)), Dense(r(5, 6), (2, 3), (5,))),
        "exact: eigh of 5×5" + OUTER,
    ),
    Animal("haar wavelet", lambda r: Wavelet((4, 3, 8, 4), "haar", (1, 0, 2, 1)), "exact: scalar" + GRAM),
    Animal(
        "luma of every second frame",
        lambda r: AxisMatrix(r(1, 3), 1, (2, 3, 6, 5)) @ Select((0, 2), 0, VIDEO),
        "exact: scalar" + OUTER,
    ),
    Animal(
        "box mean of a mask", lambda r: BoxMean(2, VIDEO) @ Diagonal(mask(r, *VIDEO), VIDEO), "exact: pointwise" + OUTER
    ),
    Animal(
        "mask of a box mean",
        lambda r: Diagonal(mask(r, 4, 3, 3, 2), (4, 3, 3, 2)) @ BoxMean(2, VIDEO),
        "exact: pointwise" + OUTER,
    ),
    Animal(
        "luma of a mask",
        lambda r: AxisMatrix(r(1, 3), 1, VIDEO) @ Diagonal(mask(r, *VIDEO), VIDEO),
        "exact: pointwise" + OUTER,
    ),
    Animal(
        "box mean of luma", lambda r: BoxMean(2, (4, 1, 6, 5)) @ AxisMatrix(r(1, 3), 1, VIDEO), "exact: scalar" + OUTER
    ),
    Animal(
        "two circular blurs",
        lambda r: Convolution(r(3, 3), VIDEO, "circular") @ Convolution(EVEN_KERNEL, VIDEO, "circular"),
        "exact: FFT" + GRAM,
    ),
    Animal(
        "frames of a temporal blur",
        lambda r: Select((0, 3), 0, (6, 3, 6, 5)) @ AxisMatrix(r(6, 4), 0, VIDEO),
        "exact: eigh of 2×2" + OUTER,
    ),
    Animal(
        "temporal blur of box means",
        lambda r: AxisMatrix(r(6, 4), 0, (4, 3, 3, 2)) @ BoxMean(2, VIDEO),
        "exact: eigh of 6×6" + OUTER,
    ),
    Animal(
        "sum of circulants",
        lambda r: Convolution(EVEN_KERNEL, VIDEO, "circular") + 0.3 * Convolution(r(3, 3), VIDEO, "circular"),
        "exact: FFT" + GRAM,
    ),
    Animal(
        "sum of a blur, an identity and a blur",
        lambda r: (
            Convolution(EVEN_KERNEL, VIDEO, "circular")
            + (0.7 * Identity(VIDEO) + Convolution(EVEN_KERNEL, VIDEO, "circular"))
        ),
        "exact: FFT" + GRAM,
    ),
    Animal(
        "stack of masks",
        lambda r: Stack((Diagonal(mask(r, *VIDEO), VIDEO), Diagonal(r(*VIDEO), VIDEO))),
        "exact: pointwise" + GRAM,
    ),
    Animal(
        "video compressive sensing",
        lambda r: Stack(
            (Select((0,), 0, VIDEO), kron(Difference(0, (4,)), Identity((3,)), Dense(r(7, 30), (6, 5), (7,))))
        ),
        "exact: SVD of 7×30, then eigh per eigenvalue" + GRAM,
    ),
    Animal(
        "block diagonal",
        lambda r: BlockDiagonal((Dense(r(2, 3), (3,), (2,)), Identity((4,)))),
        "exact: eigh of 2×2" + OUTER + "; exact: scalar" + GRAM,
    ),
    Animal(
        "mask of a blur",
        lambda r: Diagonal(mask(r, *VIDEO), VIDEO) @ Convolution(EVEN_KERNEL, VIDEO, "circular"),
        "cg, preconditioned by FFT",
    ),
]
