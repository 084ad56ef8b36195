"""Arrays in files: measurements, clips, masks, kernels, matrices, from NumPy files or anything that FFmpeg decodes."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from linops_video.algebra.parameters import Shape
from linops_video.errors import FileError, MeasurementError, ShapeError
from linops_video.media.files import replacing
from linops_video.media.video import DEFAULT_FPS, LEAST_FPS, Video, check_limit, read_video

NUMPY = (".npz", ".npy")
"""Files of arrays."""

EIGHT_BIT_NOISE = 1 / (255 * math.sqrt(12))
"""Standard deviation of rounding to 8 bits, for values in [0, 1]."""

LARGEST_VALUE = 4.0
"""Values of a video lie in [0, 1]; beyond this, no overshoot of a reconstruction explains them."""


@dataclass(frozen=True)
class Measurement:
    """Measured values y, float32; frames per second; the least noise σ that the file format leaves in y."""

    y: Tensor
    fps: float
    noise_floor: float


def read_measurement(path: str | Path, frames: int | None = None) -> Measurement:
    """Read y from a `.npz` or `.npy` file or from anything that `read_video` reads.

    8-bit sources carry rounding noise: `noise_floor` is `EIGHT_BIT_NOISE` for videos and uint8 arrays, else 0.

    Raises `FileError` for files that cannot be read, `MeasurementError` for NaN, infinite or no values, `ShapeError`
    for channels that come last.
    """
    if Path(path).suffix.lower() not in NUMPY:
        video = read_video(path, frames)
        return Measurement(video.frames, video.fps, EIGHT_BIT_NOISE)
    check_limit(frames)
    y, fps, eight_bit = _read_numpy(Path(path), "y")
    _check_channels(path, y)
    return Measurement(y[:frames], fps, EIGHT_BIT_NOISE if eight_bit else 0.0)


def read_clip(path: str | Path, frames: int | None = None) -> Video:
    """Read a whole video `(T, C, H, W)`: a file or folder for `read_video`, or the array "x" of a NumPy file.

    Raises what `read_measurement` raises, `ShapeError` for other arrays, and `MeasurementError` for values that cannot
    lie in [0, 1].
    """
    if Path(path).suffix.lower() not in NUMPY:
        return read_video(path, frames)
    check_limit(frames)
    x, fps, _ = _read_numpy(Path(path), "x")
    if x.ndim != 4:
        raise ShapeError(f"a video in {path} must have the shape (T, C, H, W), not {tuple(x.shape)}")
    _check_channels(path, x)
    if x.abs().max() > LARGEST_VALUE:
        raise MeasurementError(
            f"the video in {path} has values from {x.min():g} to {x.max():g}, and those of a video lie in [0, 1]: "
            "divide 8-bit values by 255"
        )
    return Video(x[:frames], fps)


def _check_channels(path: str | Path, array: Tensor) -> None:
    if array.ndim == 4 and array.shape[-1] in (1, 3) and array.shape[1] > 4:
        raise ShapeError(
            f"{path} holds an array of shape {tuple(array.shape)}, and a video is (T, C, H, W), channels before rows "
            "and columns: x.transpose(0, 3, 1, 2) moves them"
        )


def write_array(path: str | Path, name: str, array: Tensor, fps: float = DEFAULT_FPS) -> None:
    """Write one array and the frame rate as a `.npz` file, whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as file:  # of a name savez would make another one
        np.savez_compressed(file, **{name: array.detach().cpu().numpy(), "fps": np.float64(fps)})


def _read_numpy(path: Path, name: str) -> tuple[Tensor, float, bool]:
    """Values of a video: the array `name`, or the only array there is, as float32, uint8 divided by 255; frames per
    second; whether it was uint8."""
    array, fps = _load_numpy(path, name)
    if not (np.issubdtype(array.dtype, np.floating) or array.dtype in (np.uint8, np.bool_)):
        raise MeasurementError(f'the array "{name}" of {path} must be float or uint8, not {array.dtype}')
    values, eight_bit = torch.from_numpy(array.astype(np.float32)), array.dtype == np.uint8
    return values / 255 if eight_bit else values, fps, eight_bit


def read_array(path: str | Path, name: str) -> Tensor:
    """Read real numbers as they are, float32, from a `.npz` (the array `name`, or the only one) or a `.npy` file.

    Raises `FileError` for other files, and `MeasurementError` for NaN, infinite or no values.
    """
    if Path(path).suffix.lower() not in NUMPY:
        raise FileError(f"a {name} is read from a .npz or .npy file, not from {path}")
    return torch.from_numpy(_load_numpy(Path(path), name)[0].astype(np.float32))


@contextmanager
def open_arrays(path: Path) -> Iterator[Mapping[str, np.ndarray]]:
    """The arrays of a `.npz` file by name, read when they are asked for, or the one of a `.npy` file, without a name.

    Raises `FileError` if there is no such file, or it does not hold plain arrays, also where that shows in the block.
    """
    if not path.exists():
        raise FileError(f"no such file: {path}")
    try:
        with path.open("rb") as file:
            loaded: Any = np.load(file, allow_pickle=False)
            yield {"": loaded} if isinstance(loaded, np.ndarray) else loaded
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        why = "it holds pickled objects" if "Object arrays" in str(error) else f"not a {path.suffix} file"
        raise FileError(f"cannot read {path}: {why}; write plain arrays with numpy.savez or numpy.save") from None


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file, and the errors, of `open_arrays`."""
    with open_arrays(path) as arrays:
        return dict(arrays)


def _load_numpy(path: Path, name: str) -> tuple[np.ndarray, float]:
    """The array `name`, or the only array there is, of finite real numbers; frames per second."""
    arrays = load_arrays(path)
    fps = np.asarray(arrays.pop("fps", DEFAULT_FPS))
    if fps.size != 1 or fps.dtype.kind not in "fiu" or not LEAST_FPS <= fps.item() < np.inf:
        raise MeasurementError(f'the array "fps" of {path} must be one positive number of frames per second, not {fps}')
    array = arrays.get(name) if len(arrays) != 1 else next(iter(arrays.values()))
    if array is None:
        listed = ", ".join(arrays) or "none at all"
        raise FileError(f'{path} needs an array "{name}", or only one array; it has {listed}')
    if array.dtype.kind not in "fiub":
        raise MeasurementError(f'the array "{name}" of {path} must be float or uint8, not {array.dtype}')
    if array.size == 0 or array.ndim == 0:
        what = "empty" if array.ndim else "a single number"
        raise MeasurementError(f'the array "{name}" of {path} is {what}, its shape is {array.shape}')
    count = int((~np.isfinite(array.astype(np.float32))).sum())
    if count:
        raise MeasurementError(f'the array "{name}" of {path} has {count} NaN or infinite values: all must be finite')
    return array, float(fps.item())


def read_matrix(path: str | Path) -> Tensor:
    """Read a matrix `(rows, columns)` as `read_array` does; `ShapeError` for arrays that have not two axes."""
    matrix = read_array(path, "matrix")
    if matrix.ndim != 2:
        raise ShapeError(f"the matrix {path} must have two axes, not the shape {tuple(matrix.shape)}")
    return matrix


def read_mask(path: str | Path, shape: Shape) -> Tensor:
    """Read a mask (1 kept, 0 lost) from an image, a video or a NumPy file, and spread it over `shape`.

    Values are split at ½, those of integer arrays at half of the largest. One frame serves all frames, one channel all
    channels; frames beyond those of the video are left out. A gray mask saved as RGB counts as one channel if its
    channels agree. Raises `ShapeError` if the mask does not fit the video, `MeasurementError` if it keeps nothing.
    """
    if Path(path).suffix.lower() in NUMPY:
        array = _load_numpy(Path(path), "mask")[0]
        mask = torch.from_numpy(array > (array.max() / 2 if array.dtype.kind in "iu" else 0.5)).float()
    else:
        mask = (read_video(path).frames > 0.5).float()
    if not mask.any():
        raise MeasurementError(f"the mask {path} keeps nothing: 1 or white is what was measured")
    if mask.ndim == 2:
        mask = mask[None, None]
    if mask.ndim == 4 and (mask == mask[:, :1]).all():
        mask = mask[:, :1]
    if mask.ndim == 4 and len(shape) == 4:
        mask = mask[: shape[0]]
    try:
        return mask.expand(shape).contiguous()
    except RuntimeError:
        raise ShapeError(
            f"the mask {path} of shape {tuple(mask.shape)} does not fit a video of shape {shape}: "
            "a mask is (H, W) or (T, C, H, W), where T and C may be 1"
        ) from None


GRAY = 0.05
"""Most that a channel of a gray image differs from their mean: compression leaves some colour."""


def read_kernel(path: str | Path) -> Tensor:
    """Read a blur kernel `(h, w)` from a gray image (divided by its sum) or a NumPy file (as it is)."""
    numpy = Path(path).suffix.lower() in NUMPY
    if numpy:
        kernel = read_array(path, "kernel")
    else:
        image = read_video(path, 1).frames[0]
        kernel = image.mean(dim=0)
        if (image - kernel).abs().max() > GRAY:
            raise MeasurementError(f"the kernel {path} is an image with colours: a blur kernel is gray")
    if kernel.ndim != 2:
        raise ShapeError(f"the kernel {path} must have two axes, not the shape {tuple(kernel.shape)}")
    total = kernel.sum().item()
    if total < 1e-6:
        raise MeasurementError(f"the kernel {path} sums to {total:g}: a blur kernel needs a positive sum")
    return kernel if numpy else kernel / total
