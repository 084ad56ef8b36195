"""Operators that keep, average or mix entries: decimation, box means, resizing, cameras."""

from __future__ import annotations

from linops_video import AxisMatrix, BoxMean, Convolution, Dense, Diagonal, Difference, Flip, Identity, Select, Stack
from linops_video.operators.difference import gradient
from linops_video.operators.imaging import BAYER_PATTERNS, Bayer, cacti, shutter
from linops_video.operators.patches import Patches, block_sensing
from linops_video.operators.resample import resize
from linops_video.operators.select import Slice, crop, decimate, zero_pad
from zoo.animal import GRAM, OUTER, VIDEO, Animal, mask

ANIMALS = [
    Animal(
        "slice",
        lambda r: Slice((slice(1, 4, 2), slice(None), slice(-4, None), slice(None, None, 3)), VIDEO),
        "exact: scalar" + OUTER,
    ),
    Animal("decimation", lambda r: decimate(2, VIDEO, 1), "exact: scalar" + OUTER),
    Animal("decimation by 3", lambda r: decimate(3, VIDEO), "exact: scalar" + OUTER),
    Animal("crop", lambda r: crop((1, 2), (4, 2), VIDEO), "exact: scalar" + OUTER),
    Animal("zero padding", lambda r: zero_pad((1, 0, 2), (0, 1, 1), VIDEO), "exact: scalar" + GRAM),
    Animal(
        "crop of a decimation of a mask",
        lambda r: crop((0, 1), (2, 2), (4, 3, 3, 3)) @ decimate(2, VIDEO) @ Diagonal(mask(r, *VIDEO), VIDEO),
        "exact: pointwise" + GRAM,
    ),
    Animal(
        "mask of a decimation",
        lambda r: Diagonal(mask(r, 4, 3, 3, 3), (4, 3, 3, 3)) @ decimate(2, VIDEO),
        "exact: pointwise" + GRAM,
    ),
    Animal(
        "temporal blur of a decimation",
        lambda r: AxisMatrix(r(6, 4), 0, (4, 3, 3, 3)) @ decimate(2, VIDEO),
        "exact: eigh of 4×4" + GRAM,
    ),
    Animal("means of 2 frames", lambda r: BoxMean(2, VIDEO, (0,)), "exact: scalar" + OUTER),
    Animal("means over 2×2×2", lambda r: BoxMean(2, (5, 2, 4, 5), (-1, 0, 2)), "exact: scalar" + OUTER),
    Animal(
        "means of 3 masked frames",
        lambda r: BoxMean(3, (7, 1, 2, 3), (0,)) @ Diagonal(r(2, 7, 1, 2, 3), (7, 1, 2, 3)),
        "exact: pointwise" + OUTER,
    ),
    Animal("shutter that overlaps", lambda r: shutter(3, 2, (8, 1, 3, 2)), "exact: eigh of 3×3" + OUTER),
    Animal("shutter with pauses", lambda r: shutter(2, 3, (8, 1, 3, 2)), "exact: scalar" + OUTER),
    Animal("frame averaging", lambda r: shutter(2, 2, (5, 1, 3, 2)), "exact: scalar" + OUTER),
    Animal(
        "shutter over box means",
        lambda r: shutter(3, 1, (5, 1, 2, 3)) @ BoxMean(2, (5, 1, 4, 6)),
        "exact: eigh of 3×3" + OUTER,
    ),
    *(
        Animal(
            f"Bayer mosaic {pattern}", lambda r, pattern=pattern: Bayer(pattern, (2, 3, 5, 4)), "exact: scalar" + OUTER
        )
        for pattern in BAYER_PATTERNS
    ),
    Animal(
        "Bayer mosaic of a mask",
        lambda r: Bayer("grbg", VIDEO) @ Diagonal(mask(r, *VIDEO), VIDEO),
        "exact: pointwise" + GRAM,
    ),
    Animal(
        "frames of a Bayer mosaic",
        lambda r: Select((1, 3), 0, (4, 1, 6, 5)) @ Bayer("rggb", VIDEO),
        "exact: scalar" + OUTER,
    ),
    Animal(
        "snapshot of many frames",
        lambda r: cacti(mask(r, 65, 1, 2, 2).double(), (65, 1, 2, 2)),
        "exact: pointwise" + OUTER,
    ),
    Animal("snapshot", lambda r: cacti(mask(r, 4, 1, 6, 5).double(), VIDEO), "exact: pointwise" + OUTER),
    Animal("one snapshot mask a sample", lambda r: cacti(r(2, *VIDEO), VIDEO), "exact: pointwise" + OUTER),
    Animal(
        "snapshot of Bayer mosaics",
        lambda r: cacti(mask(r, 4, 1, 6, 5).double(), (4, 1, 6, 5)) @ Bayer("rggb", VIDEO),
        "exact: pointwise" + OUTER,
    ),
    Animal(
        "Bayer mosaic of a snapshot",
        lambda r: Bayer("rggb", (1, 3, 6, 5)) @ cacti(r(4, 1, 6, 5), VIDEO),
        "exact: pointwise" + OUTER,
    ),
    Animal("patches that overlap", lambda r: Patches(3, 2, (2, 7, 6)), "exact: pointwise" + GRAM),
    Animal("patches with gaps", lambda r: Patches(2, 3, (2, 7, 6)), "exact: scalar" + OUTER),
    Animal(
        "mask of patches",
        lambda r: Diagonal(mask(r, 2, 3, 2, 3, 3), (2, 3, 2, 3, 3)) @ Patches(3, 2, (2, 7, 6)),
        "exact: pointwise" + GRAM,
    ),
    Animal("block compressive sensing", lambda r: block_sensing(r(3, 4), (2, 1, 6, 4)), "exact: eigh of 3×3" + OUTER),
    Animal("one block matrix a sample", lambda r: block_sensing(r(2, 3, 4), (3, 2, 4)), "exact: eigh of 3×3" + OUTER),
    Animal(
        "block compressive sensing of a crop",
        lambda r: block_sensing(r(3, 4), (2, 1, 6, 4)) @ crop((0, 0), (6, 4), (2, 1, 6, 5)),
        "exact: eigh of 3×3" + OUTER,
    ),
    Animal("centred difference", lambda r: Difference(2, VIDEO, "centred"), "exact: eigh of 4×4" + OUTER),
    Animal("periodic difference in time", lambda r: Difference(0, VIDEO, ends="periodic"), "exact: eigh of 4×4" + GRAM),
    Animal("periodic difference in rows", lambda r: Difference(2, VIDEO, ends="periodic"), "exact: FFT" + GRAM),
    Animal(
        "one multiple of a periodic difference a sample",
        lambda r: r(2) * Difference(2, VIDEO, ends="periodic"),
        "exact: FFT" + GRAM,
    ),
    Animal("centred periodic difference", lambda r: Difference(3, VIDEO, "centred", "periodic"), "exact: FFT" + GRAM),
    Animal(
        "periodic difference of a circular blur",
        lambda r: Difference(3, VIDEO, ends="periodic") @ Convolution(r(3, 2), VIDEO, "circular"),
        "exact: FFT" + GRAM,
    ),
    Animal(
        "difference of a matrix in time",
        lambda r: Difference(0, VIDEO) @ AxisMatrix(r(4, 4), 0, VIDEO),
        "exact: eigh of 3×3" + OUTER,
    ),
    Animal("gradient", lambda r: gradient(VIDEO, (0.5, 1.0, 2.0)), "exact: DCT" + GRAM),
    Animal("gradient of a frame", lambda r: gradient((6, 5), (0.5, 1.0, 2.0)), "exact: DCT" + GRAM),
    Animal("gradient in space", lambda r: gradient((3, 1, 5, 4), (0, 1.0, 1.0)), "exact: DCT" + GRAM),
    Animal(
        "centred gradient",
        lambda r: Stack((Difference(0, VIDEO, "centred"), Difference(2, VIDEO, "centred"))),
        "exact: eigh of 6×6" + GRAM,
    ),
    Animal(
        "periodic gradient",
        lambda r: Stack(
            (
                Difference(0, VIDEO, ends="periodic"),
                Difference(2, VIDEO, ends="periodic"),
                Difference(3, VIDEO, ends="periodic"),
            )
        ),
        "exact: eigh of 4×4" + GRAM,
    ),
    Animal(
        "first frame and gradient",
        lambda r: Stack((Select((0,), 0, VIDEO), gradient(VIDEO))),
        "exact: DCT, then eigh per eigenvalue" + GRAM,
    ),
    Animal("bicubic downsampling", lambda r: resize((3, 2), VIDEO), "exact: eigh of 3×3" + OUTER),
    Animal("bicubic upsampling of columns", lambda r: resize((4, 7), (2, 4, 5)), "exact: eigh of 5×5" + GRAM),
    Animal("area downsampling", lambda r: resize((4, 2), VIDEO, "area"), "exact: eigh of 4×4" + OUTER),
    Animal("bicubic downsampling in many blocks", lambda r: resize((70, 1), (75, 2)), "exact: eigh of 70×70" + OUTER),
    Animal(
        "shutter over bicubic downsampling",
        lambda r: shutter(2, 1, (4, 3, 3, 2)) @ resize((3, 2), VIDEO),
        "exact: eigh of 3×3" + OUTER,
    ),
    Animal(
        "luma of area downsampling",
        lambda r: AxisMatrix(r(1, 3), 1, (4, 3, 4, 2)) @ resize((4, 2), VIDEO, "area"),
        "exact: eigh of 4×4" + OUTER,
    ),
    Animal(
        "decimation of a circular blur",
        lambda r: decimate(2, (2, 6, 4), 1) @ Convolution(r(3, 2), (2, 6, 4), "circular"),
        "exact: FFT" + OUTER,
    ),
    Animal(
        "decimation of one circular blur a sample",
        lambda r: decimate(3, (1, 6, 9)) @ Convolution(r(2, 3, 2), (1, 6, 9), "circular"),
        "exact: FFT" + OUTER,
    ),
    Animal(
        "rows of a circular blur",
        lambda r: Select((1, 3, 5), 1, (2, 6, 5)) @ Convolution(r(3, 2), (2, 6, 5), "circular"),
        "exact: FFT" + OUTER,
    ),
    Animal(
        "crop of a circular blur",
        lambda r: crop((2, 1), (3, 3), (2, 5, 4)) @ Convolution(r(3, 2), (2, 5, 4), "circular"),
        "cg, preconditioned by FFT",
    ),
    Animal(
        "decimation that leaves over, of a circular blur",
        lambda r: decimate(2, (2, 5, 4)) @ Convolution(r(3, 2), (2, 5, 4), "circular"),
        "cg, preconditioned by FFT",
    ),
    Animal(
        "box mean of a circular blur",
        lambda r: BoxMean(2, (2, 6, 4)) @ Convolution(r(3, 2), (2, 6, 4), "circular"),
        "exact: FFT" + OUTER,
    ),
    Animal(
        "box mean over columns of a circular blur",
        lambda r: BoxMean(3, (2, 5, 6), (-1,)) @ Convolution(r(2, 3, 2), (2, 5, 6), "circular"),
        "exact: FFT" + OUTER,
    ),
    Animal(
        "luma of a decimation of a circular blur of a flip",
        lambda r: (
            AxisMatrix(r(1, 3), 0, (3, 2, 3))
            @ decimate(2, (3, 4, 6))
            @ Convolution(r(3, 2), (3, 4, 6), "circular")
            @ Flip((1,), (3, 4, 6))
        ),
        "exact: FFT" + OUTER,
    ),
    Animal(
        "shutter over box means of a circular blur",
        lambda r: shutter(2, 1, (4, 2, 3)) @ BoxMean(2, (4, 4, 6)) @ Convolution(r(3, 2), (4, 4, 6), "circular"),
        "exact: eigh of 3×3" + OUTER,
    ),
    Animal(
        "matrix and box mean",
        lambda r: Stack((Dense(r(7, 360), VIDEO, (7,)), BoxMean(2, VIDEO))),
        "exact: eigh of 79×79" + OUTER,
    ),
    Animal(
        "two matrices",
        lambda r: Stack((Dense(r(2, 5, 360), VIDEO, (5,)), Dense(r(4, 360), VIDEO, (4,)))),
        "exact: eigh of 9×9" + OUTER,
    ),
    Animal("identity and gradient", lambda r: Stack((Identity(VIDEO), 0.5 * gradient(VIDEO))), "exact: DCT" + GRAM),
    Animal(
        "circular blur and periodic gradient",
        lambda r: Stack(
            (
                Convolution(r(3, 2), VIDEO, "circular"),
                Difference(2, VIDEO, ends="periodic"),
                0.3 * Difference(3, VIDEO, ends="periodic"),
            )
        ),
        "exact: FFT" + GRAM,
    ),
]

LEAVES = [
    lambda r, shape: Slice(tuple(slice(n // 3, None, 2) for n in shape), shape),
    lambda r, shape: crop((0, 1), (shape[-2], shape[-1] - 1), shape) if len(shape) > 1 < shape[-1] else None,
    lambda r, shape: zero_pad((1,), (0,), shape),
    lambda r, shape: decimate(2, shape) if len(shape) > 1 else None,
    lambda r, shape: BoxMean(2, shape, (0,)) if shape[0] > 1 else None,
    lambda r, shape: shutter(2, 1, shape) if shape[0] > 1 else None,
    lambda r, shape: Bayer("grbg", shape) if len(shape) > 2 and shape[-3] == 3 else None,
    lambda r, shape: cacti(mask(r, *shape), shape),
    lambda r, shape: Patches(2, 1, shape) if len(shape) > 1 and min(shape[-2:]) > 1 else None,
    lambda r, shape: Patches(2, 2, shape) if len(shape) > 1 and min(shape[-2:]) > 1 else None,
    lambda r, shape: block_sensing(r(2, 4), shape) if len(shape) > 1 and not any(n % 2 for n in shape[-2:]) else None,
    lambda r, shape: Difference(0, shape) if shape[0] > 1 else None,
    lambda r, shape: Difference(len(shape) - 1, shape, "centred") if shape[-1] > 2 else None,
    lambda r, shape: Difference(len(shape) - 1, shape, "centred", "periodic") if shape[-1] > 2 else None,
    lambda r, shape: Difference(0, shape, ends="periodic") if shape[0] > 1 else None,
    lambda r, shape: gradient(shape) if len(shape) > 1 and min(shape[0], *shape[-2:]) > 1 else None,
    lambda r, shape: resize((2, 3), shape) if len(shape) > 1 else None,
    lambda r, shape: resize((3, 2), shape, "area") if len(shape) > 1 else None,
]
"""Operators for random expressions, on tensors of any shape; None where there is none."""
