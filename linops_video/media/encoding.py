"""Frames and sound into files, through PyAV: one frame in memory at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import av
import av.error
import av.filter
import numpy as np
from av.container import OutputContainer
from av.packet import Packet

from linops_video.errors import FileError

Arrays = Callable[[], Iterable[np.ndarray]]
"""Gives the frames, uint8 (H, W, C) with C = 1 or 3, as often as it is called: a palette takes a look before."""

# H.264 at CRF 8 reads back at 41 dB (carphone; 37 at CRF 16, 44 at CRF 0 with its 4:2:0 colours). With x264's
# macroblock tree equal frames gave other packets in 1 of 10 runs (176×144; 48×32: 4 of 10), a killed run another film.
_H264 = {"crf": "8", "preset": "medium", "x264-params": "mbtree=0"}
_CODECS = {".mp4": ("libx264", _H264), ".mkv": ("ffv1", {}), ".avi": ("ffv1", {})}  # FFV1 is lossless

SQUARE = Fraction(1)
"""Width over height of the pixels of most videos."""

HIGH_DEFINITION = 720
"""Rows from which on a video is BT.709."""

EARLY = 0.04
"""Seconds by which sound may come before its picture unnoticed (EBU R 37)."""

TRIED = 8
"""Packets of sound that are written to see whether a container holds it."""

_LAYOUTS = ("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")
"""What FFmpeg takes 1, 2, … channels for."""


def encode(path: Path, frames: Arrays, fps: float, sound: Path | None = None, aspect: Fraction = SQUARE) -> None:
    """Write frames by the suffix of `path`, as `write_video` documents; `sound` as in `check_sound`, not for .gif.

    Raises what FFmpeg raises.
    """
    suffix = path.suffix.lower()
    if suffix == ".gif":
        _encode_gif(path, frames, fps)
    elif suffix:
        _encode_stream(path, frames(), fps, sound, aspect)
    else:
        path.mkdir()
        for index, array in enumerate(frames()):
            _encode_png(path / f"{index:05d}.png", array)


def join(path: Path, parts: Iterable[Path], fps: float, sound: Path | None = None) -> None:
    """One file of several that `encode` wrote with the same suffix and `fps`: packets are copied, nothing is decoded.

    Raises what FFmpeg raises.
    """
    parts = iter(parts)
    first = next(parts)
    rate, delay = _rate(fps), 2 if path.suffix.lower() == ".mp4" else 0  # x264 decodes two frames ahead
    with av.open(str(path.absolute()), "w") as container, av.open(str(first.absolute())) as template:
        stream = container.add_stream_from_template(template.streams.video[0])
        stream.codec_context.framerate = rate  # else readers guess it from rounded times
        with _track(container, sound) as packets:
            _mux(container, _renumbered(chain([first], parts), stream, rate, delay), packets)


def check_sound(path: Path, sound: Path) -> None:
    """Raise `FileError` if the container that `path` names cannot hold the first audio track of the file `sound`."""
    suffix = path.suffix.lower()
    if suffix not in _CODECS:
        return
    late = 0.0
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            av.open(str(Path(folder, f"sound{suffix}")), "w") as container,
            _track(container, sound) as packets,
        ):
            for index, packet in enumerate(islice(packets, TRIED)):
                late = late if index else float(_time(packet, packet.pts))
                container.mux(packet)
    except (av.error.FFmpegError, ValueError) as error:
        other = "write .mkv" if suffix != ".mkv" else "write .avi, or .npz or a folder, which have none"
        raise FileError(f"{path.name} cannot hold the sound of {sound} ({error}): {other}") from None
    if suffix == ".avi" and late > EARLY:
        raise FileError(
            f"the sound of {sound} begins {late:.2f} s after the picture, which .avi cannot say: write .mkv"
        )


def _rate(fps: float) -> Fraction:
    return Fraction(fps).limit_denominator(1001)  # 30000/1001 and its kin stay exact


def _to_frame(array: np.ndarray) -> av.VideoFrame:
    gray = array.shape[-1] == 1
    return av.VideoFrame.from_ndarray(array[:, :, 0] if gray else array, format="gray" if gray else "rgb24")


def _timed(arrays: Iterable[np.ndarray], rate: Fraction) -> Iterator[av.VideoFrame]:
    for index, array in enumerate(arrays):
        frame = _to_frame(array)
        frame.pts, frame.time_base = index, 1 / rate
        yield frame


def _encode_stream(path: Path, arrays: Iterable[np.ndarray], fps: float, sound: Path | None, aspect: Fraction) -> None:
    codec, options = _CODECS[path.suffix.lower()]
    arrays = iter(arrays)
    first = next(arrays)
    height, width, channels = first.shape
    rate = _rate(fps)
    with av.open(str(path.absolute()), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = width, height
        frames = _timed(chain([first], arrays), rate)
        if codec == "libx264":
            stream.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
            stream.codec_context.sample_aspect_ratio = aspect  # PyAV has no way to set it for FFV1
            frames = _tagged(frames, stream)
        else:
            stream.pix_fmt = "gray" if channels == 1 else "bgr0"
        frames = chain(frames, [None])
        with _track(container, sound) as packets:
            _mux(container, (packet for frame in frames for packet in stream.encode(frame)), packets)


def _tagged(frames: Iterator[av.VideoFrame], stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """Frames as YUV, and the stream told how: by BT.709 from 720 rows on, else by BT.601, as players expect."""
    context, high = stream.codec_context, stream.height >= HIGH_DEFINITION
    space, code = ("ITU709", 1) if high else ("ITU601", 6)
    context.colorspace = context.color_primaries = context.color_trc = code
    context.color_range = 1  # 16 … 235
    for frame in frames:
        yuv = frame.reformat(format=stream.pix_fmt, dst_colorspace=space, dst_color_range="MPEG")
        yuv.pts, yuv.time_base = frame.pts, frame.time_base
        yield yuv


@contextmanager
def _track(container: OutputContainer, sound: Path | None) -> Iterator[Iterator[Packet]]:
    """The packets of a file's first audio track, for a new track of `container`; none where there is no such track."""
    if sound is None:
        yield iter(())
        return
    with av.open(str(sound.absolute())) as source:
        if not source.streams.audio:
            yield iter(())
            return
        track = source.streams.audio[0]
        video = source.streams.video[0] if source.streams.video else track
        copy = container.add_stream_from_template(track)
        count = copy.codec_context.layout.nb_channels
        if f"{count} channels" == copy.codec_context.layout.name and count <= len(_LAYOUTS):
            copy.codec_context.layout = _LAYOUTS[count - 1]  # without a layout .mp4 takes no PCM
        # times count from the first frame; what comes before it is kept, since decoders may need it to begin with
        avi = container.format.name == "avi"
        start = round((video.start_time or 0) * video.time_base / track.time_base) if video.time_base else 0

        def packets() -> Iterator[Packet]:
            for packet in source.demux(track):
                if packet.dts is not None and packet.pts is not None:
                    packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, copy
                    if avi:  # has no times before 0, and would move the frames instead, to the next whole number
                        if 2 * packet.pts + (packet.duration or 0) < 0:
                            continue
                        packet.pts, packet.dts = max(packet.pts, 0), max(packet.dts, 0)
                    yield packet

        yield packets()


def _mux(container: OutputContainer, video: Iterator[Packet], sound: Iterator[Packet]) -> None:
    """Interleave by time, so that the container buffers little; the sound ends with the video."""
    waiting, end = next(sound, None), Fraction(0)
    for packet in video:
        end = max(end, _time(packet, packet.pts) + _time(packet, packet.duration))
        decoded = _time(packet, packet.dts)
        container.mux(packet)
        while waiting is not None and _time(waiting, waiting.dts) <= decoded:
            container.mux(waiting)
            waiting = next(sound, None)
    while waiting is not None and _time(waiting, waiting.pts) < end:
        container.mux(waiting)
        waiting = next(sound, None)


def _time(packet: Packet, ticks: int | None) -> Fraction:
    return (ticks or 0) * packet.time_base


def _renumbered(parts: Iterable[Path], stream: av.VideoStream, rate: Fraction, delay: int) -> Iterator[Packet]:
    """The packets of files one behind the other, shown and decoded at frame numbers of the whole."""
    done = 0
    for part in parts:
        with av.open(str(part.absolute())) as container:
            source, frames = container.streams.video[0], 0
            for packet in container.demux(source):
                if packet.dts is None or packet.pts is None:
                    continue
                # of FFV1 frames stand in order, and Matroska rounds their times to milliseconds
                packet.pts = done + (round(packet.pts * packet.time_base * rate) if delay else frames)
                packet.dts = done + frames - delay
                packet.time_base, packet.duration, packet.stream = 1 / rate, 1, stream
                frames += 1
                yield packet
        done += frames


def _encode_gif(path: Path, frames: Arrays, fps: float) -> None:
    """GIF with one palette for the whole clip, chosen from all its frames (palettegen, paletteuse)."""
    rate = _rate(fps)
    palette = _palette(_timed(frames(), rate))
    with av.open(str(path.absolute()), "w") as container:
        stream = container.add_stream("gif", rate=rate)
        graph = av.filter.Graph()
        source, sink = None, graph.add("buffersink")
        for frame in _timed(frames(), rate):
            if source is None:
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "pal8"
                use, source = graph.add("paletteuse"), _buffer(graph, frame)
                source.link_to(use)
                colors = _buffer(graph, palette)
                colors.link_to(use, 0, 1)
                use.link_to(sink)
                graph.configure()
                colors.push(palette)
                colors.push(None)
            source.push(frame)
            container.mux(stream.encode(sink.pull()))
        container.mux(stream.encode())


def _palette(frames: Iterator[av.VideoFrame]) -> av.VideoFrame:
    """One frame of the 256 colours that suit all frames best."""
    first = next(frames)
    graph = av.filter.Graph()
    source, generate, sink = _buffer(graph, first), graph.add("palettegen"), graph.add("buffersink")
    source.link_to(generate)
    generate.link_to(sink)
    graph.configure()
    for frame in chain([first], frames):
        source.push(frame)
    source.push(None)
    palette = sink.pull()
    assert isinstance(palette, av.VideoFrame)
    return palette


def _buffer(graph: av.filter.Graph, frame: av.VideoFrame) -> av.filter.context.FilterContext:
    return graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 25)
    )


def _encode_png(path: Path, array: np.ndarray) -> None:
    with av.open(str(path.absolute()), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png", rate=1)
        height, width, channels = array.shape
        stream.width, stream.height, stream.pix_fmt = width, height, "gray" if channels == 1 else "rgb24"
        container.mux(stream.encode(_to_frame(array)))
