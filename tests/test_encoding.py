"""Videos frame by frame: parts that become one file, and the sound that goes with them."""

from collections.abc import Iterator
from pathlib import Path

import av
import pytest
import torch

from linops_video.errors import FileError
from linops_video.media.encoding import check_sound
from linops_video.media.video import demo_clip, frame_rate, join_videos, read_video, stream_video, write_video

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


def add_sound(path: Path, out: Path, seconds: float, codec: str = "aac") -> torch.Tensor:
    """Copy a video with a tone that rises; the samples that were put in."""
    rate = 8000
    tone = (8000 * torch.sin(torch.arange(round(rate * seconds)) ** 1.5 / 3000)).to(torch.int16)
    with av.open(str(path)) as source, av.open(str(out), "w") as container:
        video = container.add_stream_from_template(source.streams.video[0])
        audio = container.add_stream(codec, rate=rate, layout="mono")
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = video
                container.mux(packet)
        resampler = av.AudioResampler(format=audio.codec_context.format or "s16", layout="mono", rate=rate)
        for start in range(0, len(tone), 1024):
            frame = av.AudioFrame.from_ndarray(tone[None, start : start + 1024].numpy(), format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate, start
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
