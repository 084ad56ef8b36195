"""Videos frame by frame: parts that become one file, and the sound that goes with them."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch

from linops_video.errors import FileError, LinopsError
from linops_video.media.encoding import check_sound
from linops_video.media.video import (
    demo_clip,
    frame_rate,
    join_videos,
    pixel_aspect,
    read_video,
    stream_video,
    write_video,
)

FPS = 30000 / 1001


def clip(frames: int, height: int = 32, width: int = 48) -> torch.Tensor:
    t, c, y, x = torch.meshgrid(*map(torch.arange, (frames, 3, height, width)), indexing="ij")
    return (127.5 + 110 * torch.sin(0.11 * x + 0.07 * y + 0.3 * t + 0.8 * c)).round() / 255


def test_equal_frames_are_equal_files(tmp_path):
    """x264's macroblock tree gave two or three different ones of these frames, each several times in 12."""
    frames = read_video(demo_clip(), frames=24).frames[..., 40:72, 60:108]
    files = set()
    for _ in range(12):
        write_video(tmp_path / "a.mp4", frames)
        files.add((tmp_path / "a.mp4").read_bytes())
    assert len(files) == 1


def add_sound(
    path: Path, out: Path, seconds: float, codec: str = "aac", layout: str = "mono", begin: float = 0
) -> torch.Tensor:
    """Copy a video with a tone that rises, from `begin` on; the samples that were put in."""
    rate = 8000
    tone = (8000 * torch.sin(torch.arange(round(rate * seconds)) ** 1.5 / 3000)).to(torch.int16)
    with av.open(str(path)) as source, av.open(str(out), "w") as container:
        video = container.add_stream_from_template(source.streams.video[0])
        audio = container.add_stream(codec, rate=rate, layout=layout)
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = video
                container.mux(packet)
        resampler = av.AudioResampler(format=audio.codec_context.format or "s16", layout=layout, rate=rate)
        for start in range(0, len(tone), 1024):
            frame = av.AudioFrame.from_ndarray(tone[None, start : start + 1024].numpy(), format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate, start + round(begin * rate)
            for ready in resampler.resample(frame):
                container.mux(audio.encode(ready))
        container.mux(audio.encode())
    return tone


def sound_of(path: Path) -> list[tuple[float, bytes]]:
    """Time, from the first frame on, and content of the audio packets."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        video = container.streams.video[0]
        start = (video.start_time or 0) * video.time_base
        packets = container.demux(container.streams.audio[0])
        return [(float(p.pts * p.time_base - start), bytes(p)) for p in packets if p.pts is not None]


@pytest.mark.parametrize("name", ["clip.mkv", "clip.mp4", "clip"])
def test_a_stream_gives_the_frames_of_the_whole(tmp_path, name):
    write_video(tmp_path / name, clip(7), FPS)
    stream = stream_video(tmp_path / name)
    assert isinstance(stream, Iterator)
    assert torch.equal(torch.stack(list(stream)), read_video(tmp_path / name).frames)
    assert frame_rate(tmp_path / name) == read_video(tmp_path / name).fps
    assert len(list(stream_video(tmp_path / name, frames=3))) == 3


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mp4"])
@pytest.mark.parametrize("lengths", [(5, 1, 9), (33, 32, 20)])
def test_joined_parts_decode_to_the_frames_of_the_parts(tmp_path, suffix, lengths):
    video, parts, start = clip(sum(lengths)), [], 0
    for number, length in enumerate(lengths):
        parts.append(tmp_path / f"{number}{suffix}")
        write_video(parts[-1], video[start : start + length], FPS)
        start += length
    join_videos(tmp_path / f"all{suffix}", parts, FPS)
    joined = read_video(tmp_path / f"all{suffix}")
    assert joined.fps == pytest.approx(FPS, abs=1e-9)
    assert torch.equal(joined.frames, torch.cat([read_video(part).frames for part in parts]))
    if suffix != ".mp4":
        assert torch.equal(joined.frames, video)


@pytest.mark.parametrize("name", ["all.gif", "all"])
def test_parts_become_a_gif_or_a_folder(tmp_path, name):
    video = clip(9)
    write_video(tmp_path / "0.mkv", video[:4], 10)
    write_video(tmp_path / "1.mkv", video[4:], 10)
    join_videos(tmp_path / name, [tmp_path / "0.mkv", tmp_path / "1.mkv"], 10)
    write_video(tmp_path / f"whole{Path(name).suffix}", video, 10)
    assert torch.equal(
        read_video(tmp_path / name).frames, read_video(tmp_path / f"whole{Path(name).suffix}").frames
    )  # a gif has one palette, not one a part


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("joined", [False, True])
def test_sound_is_kept_and_ends_with_the_frames(tmp_path, suffix, joined):
    video = clip(60)
    write_video(tmp_path / "silent.mkv", video, FPS)
    add_sound(tmp_path / "silent.mkv", tmp_path / "source.mkv", seconds=3.0)
    out = tmp_path / f"out{suffix}"
    if joined:
        write_video(tmp_path / f"0{suffix}", video[:32], FPS)
        write_video(tmp_path / f"1{suffix}", video[32:], FPS)
        join_videos(out, [tmp_path / f"0{suffix}", tmp_path / f"1{suffix}"], FPS, tmp_path / "source.mkv")
    else:
        write_video(out, video, FPS, tmp_path / "source.mkv")
    assert read_video(out).frames.shape == video.shape
    source, kept = sound_of(tmp_path / "source.mkv"), sound_of(out)
    assert [content for _, content in kept] == [content for _, content in source[: len(kept)]]
    assert all(abs(a - b) < 2e-3 for (a, _), (b, _) in zip(kept, source, strict=False))
    assert kept[-1][0] < 60 / FPS <= source[len(kept)][0]


def test_what_has_no_sound_stays_silent(tmp_path):
    write_video(tmp_path / "silent.mkv", clip(4))
    write_video(tmp_path / "out.mkv", clip(4), sound=tmp_path / "silent.mkv")
    assert sound_of(tmp_path / "out.mkv") == []
    check_sound(tmp_path / "out.mkv", tmp_path / "silent.mkv")


def test_sound_that_the_container_cannot_hold_is_refused_before_the_work(tmp_path):
    write_video(tmp_path / "silent.mkv", clip(25), 25)
    add_sound(
        tmp_path / "silent.mkv", tmp_path / "source.mkv", 0.5, "libopus" if "libopus" in av.codecs_available else "aac"
    )
    check_sound(tmp_path / "out.mkv", tmp_path / "source.mkv")
    with pytest.raises(FileError, match=r"out.avi cannot hold the sound of .*: write .mkv") as caught:
        check_sound(tmp_path / "out.avi", tmp_path / "source.mkv")
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["silent.mkv", "source.mkv"]


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_plain_samples_go_from_matroska_into_other_containers(tmp_path, suffix, layout):
    write_video(tmp_path / "silent.mkv", clip(12), FPS)
    add_sound(tmp_path / "silent.mkv", tmp_path / "source.mkv", 0.4, "pcm_s16le", layout)
    out = tmp_path / f"out{suffix}"
    check_sound(out, tmp_path / "source.mkv")
    write_video(out, clip(12), FPS, tmp_path / "source.mkv")
    kept, source = (b"".join(data for _, data in sound_of(path)) for path in (out, tmp_path / "source.mkv"))
    assert len(kept) > 0.38 * 8000 * 2 * {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    assert source.startswith(kept)


def test_sound_that_begins_late_is_not_moved(tmp_path):
    """AVI has no times for it, so that the first sound would come with the first frame."""
    write_video(tmp_path / "silent.mkv", clip(60), FPS)
    add_sound(tmp_path / "silent.mkv", tmp_path / "late.mkv", 3, "pcm_s16le", begin=1)
    with pytest.raises(FileError, match=r"begins 1.00 s after the picture, which .avi cannot say: write .mkv"):
        check_sound(tmp_path / "out.avi", tmp_path / "late.mkv")
    for suffix in (".mkv", ".mp4"):
        check_sound(tmp_path / f"out{suffix}", tmp_path / "late.mkv")
        write_video(tmp_path / f"out{suffix}", clip(60), FPS, tmp_path / "late.mkv")
        assert sound_of(tmp_path / f"out{suffix}")[0][0] == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".avi"])
def test_sound_that_begins_early_moves_no_frame(tmp_path, suffix):
    """AAC in .mp4 begins a packet before the first frame; AVI has no times for it."""
    write_video(tmp_path / "silent.mp4", clip(24), FPS)
    add_sound(tmp_path / "silent.mp4", tmp_path / "source.mp4", 0.8)
    source, out = sound_of(tmp_path / "source.mp4"), tmp_path / f"out{suffix}"
    assert source[0][0] < -0.1
    write_video(out, clip(24), FPS, tmp_path / "source.mp4")
    with av.open(str(out)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert [t - times[0] for t in times] == pytest.approx([i / FPS for i in range(24)], abs=1e-3)
    assert frame_rate(out) == pytest.approx(FPS)
    begin = {content: time for time, content in source}
    assert all(time == pytest.approx(begin[content], abs=2e-3) for time, content in sound_of(out))


@pytest.mark.parametrize(
    ("suffix", "most"), [(".mkv", 1000), (".avi", 1000), (".mp4", 1000), (".gif", 100)], ids=lambda v: str(v)
)
def test_frame_rates_up_to_the_most_are_read_back(tmp_path, suffix, most):
    video = clip(9, 16, 16)
    for fps in (most, 0.601 * most) if suffix != ".gif" else (most,):
        for number, frames in enumerate((video[:4], video[4:])):
            write_video(tmp_path / f"{number}{suffix}", frames, fps)
        join_videos(tmp_path / f"all{suffix}", [tmp_path / f"{i}{suffix}" for i in (0, 1)], fps)
        write_video(tmp_path / f"one{suffix}", video, fps)
        for name in ("all", "one"):
            read = read_video(tmp_path / f"{name}{suffix}")
            assert (len(read.frames), read.fps) == (9, pytest.approx(fps, rel=1e-9)), (name, fps)
    with pytest.raises(LinopsError, match=r"frames per second, not .*: write \.(mkv|npz)"):
        write_video(tmp_path / f"more{suffix}", video, 1.01 * most)


@pytest.mark.parametrize("aspect", [Fraction(64, 45), Fraction(1)])
def test_mp4_keeps_the_shape_of_pixels(tmp_path, aspect):
    for number in (0, 1):
        write_video(tmp_path / f"{number}.mp4", clip(4), FPS, aspect=aspect)
    join_videos(tmp_path / "all.mp4", [tmp_path / "0.mp4", tmp_path / "1.mp4"], FPS)
    assert pixel_aspect(tmp_path / "0.mp4") == pixel_aspect(tmp_path / "all.mp4") == aspect
    write_video(tmp_path / "other.mkv", clip(4), FPS)
    assert pixel_aspect(tmp_path / "other.mkv") == 1
