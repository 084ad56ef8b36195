"""Video files: what is written is read back, and bad files are refused in one sentence."""

import errno
import os
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from linops_video.errors import FileError, FileWarning, LinopsError, ShapeError
from linops_video.media.files import check_writable, identity_of_file, replacing
from linops_video.media.video import (
    DEFAULT_FPS,
    IMAGE_SUFFIXES,
    demo_clip,
    in_bytes,
    pixel_aspect,
    read_video,
    write_video,
)
from linops_video.metrics import psnr

LOSSLESS = ["clip.mkv", "clip.avi", "clip"]


def smooth(frames: int, channels: int, height: int, width: int) -> torch.Tensor:
    """A moving pattern of 8-bit values; smooth, as coloured noise would only test the codec's colour subsampling."""
    t, c, y, x = torch.meshgrid(*map(torch.arange, (frames, channels, height, width)), indexing="ij")
    return (127.5 + 110 * torch.sin(0.11 * x + 0.07 * y + 0.3 * t + 0.8 * c)).round() / 255


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("shape", [(5, 3, 24, 32), (3, 3, 17, 23), (4, 1, 15, 20), (1, 3, 16, 16)])
def test_lossless_formats_return_every_value(tmp_path, name, shape):
    frames = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)) / 255
    write_video(tmp_path / name, frames, fps=30000 / 1001)
    video = read_video(tmp_path / name)
    assert torch.equal(video.frames, frames)
    assert video.frames.dtype == torch.float32
    assert video.fps == (DEFAULT_FPS if name == "clip" else pytest.approx(30000 / 1001, abs=1e-9))


@pytest.mark.parametrize(("name", "least"), [("clip.mp4", 36), ("clip.gif", 33)])
@pytest.mark.parametrize("shape", [(6, 3, 48, 64), (3, 3, 47, 63), (4, 1, 48, 62)])
def test_lossy_formats_keep_shape_and_quality(tmp_path, name, least, shape):
    frames = smooth(*shape)
    write_video(tmp_path / name, frames, fps=25)
    video = read_video(tmp_path / name)
    assert video.fps == 25
    assert psnr(video.frames, frames.expand_as(video.frames)).item() > least  # gray comes back as RGB


def test_values_are_clipped_and_rounded(tmp_path):
    frames = torch.tensor([-0.3, 0.5 / 255 + 1e-4, 1.4]).reshape(3, 1, 1, 1).expand(3, 1, 16, 16)
    write_video(tmp_path / "clip.mkv", frames)
    assert torch.equal(read_video(tmp_path / "clip.mkv").frames[:, 0, 0, 0], torch.tensor([0, 1 / 255, 1.0]))
    write_video(tmp_path / "bytes.mkv", in_bytes(frames))
    assert torch.equal(read_video(tmp_path / "bytes.mkv").frames, read_video(tmp_path / "clip.mkv").frames)


def test_frames_limits_what_is_read(tmp_path):
    for name in LOSSLESS:
        write_video(tmp_path / name, smooth(6, 3, 16, 16))
        assert read_video(tmp_path / name, frames=4).frames.shape[0] == 4
        assert read_video(tmp_path / name, frames=99).frames.shape[0] == 6
    with pytest.raises(LinopsError, match="at least 1"):
        read_video(tmp_path / "clip.mkv", frames=0)


def test_a_folder_is_read_in_natural_order(tmp_path):
    for number in (1, 2, 10):
        write_video(tmp_path / "one", torch.full((1, 3, 16, 16), number / 255))
        os.replace(tmp_path / "one" / "00000.png", tmp_path / f"frame{number}.png")
        (tmp_path / "one").rmdir()
    assert (read_video(tmp_path).frames[:, 0, 0, 0] * 255).round().tolist() == [1, 2, 10]


def test_a_clip_turned_by_its_display_matrix_is_read_upright(tmp_path):
    frames = smooth(2, 3, 32, 48)
    write_video(tmp_path / "flat.mp4", frames, aspect=Fraction(4, 3))
    content = bytearray((tmp_path / "flat.mp4").read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # version 0 of the track header: the matrix follows 40 bytes of other fields
    one, minus = (0x10000).to_bytes(4, "big"), (-0x10000).to_bytes(4, "big", signed=True)
    nil, last = bytes(4), (0x40000000).to_bytes(4, "big")
    content[at : at + 36] = nil + one + nil + minus + nil + nil + nil + nil + last  # turned clockwise, as phones do
    (tmp_path / "turned.mp4").write_bytes(content)
    video = read_video(tmp_path / "turned.mp4")
    assert video.frames.shape == (2, 3, 48, 32)
    assert pixel_aspect(tmp_path / "flat.mp4") == Fraction(4, 3)
    assert pixel_aspect(tmp_path / "turned.mp4") == Fraction(3, 4)
    assert psnr(video.frames, torch.rot90(frames, -1, (-2, -1))).item() > 35


def test_the_demo_clip_is_carphone():
    video = read_video(demo_clip(), frames=2)
    assert video.frames.shape == (2, 3, 144, 176)
    assert video.fps == pytest.approx(30000 / 1001)


def test_without_the_demo_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FileError, match=r"pip install 'linops-video\[demo\]'"):
        demo_clip()


def empty_video(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 16, 16, "bgr0"
        container.start_encoding()


def sound_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame(format="s16", layout="mono", samples=800)
        frame.planes[0].update(bytes(1600))
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))


def test_a_file_that_is_broken_in_the_middle_says_where(tmp_path):
    with av.open(str(tmp_path / "clip.avi"), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "rgb24"
        for index in range(8):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 30 * index, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
    data = (tmp_path / "clip.avi").read_bytes()
    fifth = [at.start() for at in re.finditer(b"\x89PNG", data)][4]
    (tmp_path / "clip.avi").write_bytes(data[:fifth] + bytes(8) + data[fifth + 8 :])
    with pytest.raises(FileError, match=r"clip.avi is damaged after 4 frames: --frames 4 takes those before"):
        read_video(tmp_path / "clip.avi")
    assert read_video(tmp_path / "clip.avi", 4).frames[:, 0, 0, 0].mul(255).tolist() == pytest.approx([0, 30, 60, 90])


def test_bad_sources_are_refused_in_one_sentence(tmp_path):
    (tmp_path / "text.mp4").write_text("this is not a video\n" * 50)
    (tmp_path / "nothing.mp4").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    empty_video(tmp_path / "empty.avi")
    sound_only(tmp_path / "sound.mkv")
    for size in (16, 20):
        write_video(tmp_path / f"{size}", torch.zeros(1, 3, size, size))
        os.replace(tmp_path / f"{size}" / "00000.png", tmp_path / f"{size}.png")
    for name, words in {
        "missing.mp4": "no such file",
        "text.mp4": "not a video",
        "nothing.mp4": "not a video",
        "folder": "no PNG or JPEG files",
        "empty.avi": "no frames",
        "sound.mkv": "no video in it, only audio",
        "": "must have one size, not 16×16×3 and 20×20×3",
    }.items():
        with pytest.raises(FileError, match=words) as caught:
            read_video(tmp_path / name)
        assert "\n" not in str(caught.value)


def cut_off(path: Path) -> Path:
    """What a broken download leaves of four seconds of video; in .avi it breaks off within a frame."""
    write_video(path, smooth(48, 3, 48, 64), 12)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    return path


def test_what_is_left_of_a_file_that_was_cut_off_is_read_with_a_warning(tmp_path):
    words = r"cut.mkv is damaged or was cut off: \d+ frames of it could be read, \d\.\d of 4\.0 s"
    with pytest.warns(FileWarning, match=words):
        count = len(read_video(cut_off(tmp_path / "cut.mkv")).frames)
    assert 20 <= count < 40
    assert len(read_video(tmp_path / "cut.mkv", count).frames) == count


def test_a_file_that_is_damaged_says_after_how_many_frames(tmp_path):
    with pytest.raises(FileError, match=r"cut.avi is damaged after \d+ frames: --frames \d+ takes") as caught:
        read_video(cut_off(tmp_path / "cut.avi"))
    count = int(str(caught.value).split()[-4])
    assert len(read_video(tmp_path / "cut.avi", count).frames) == count


@pytest.mark.parametrize(
    ("frames", "fps", "name", "error", "words"),
    [
        (torch.zeros(2, 2, 8, 8), 25, "clip.mkv", ShapeError, "C = 1 or 3"),
        (torch.zeros(0, 3, 8, 8), 25, "clip.mkv", ShapeError, "C = 1 or 3"),
        (torch.full((2, 3, 8, 8), torch.nan), 25, "clip.mkv", LinopsError, "NaN"),
        (torch.zeros(2, 3, 8, 8), 0, "clip.mkv", LinopsError, "frames per second"),
        (torch.zeros(2, 3, 8, 8), 25, "clip.webm", FileError, r"\.mp4, \.mkv"),
        (torch.zeros(2, 3, 8, 8), 25, "no/folder/clip.mkv", FileError, "does not exist"),
        (torch.zeros(2, 3, 8, 8), 25, "full", FileError, "not empty"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path, frames, fps, name, error, words):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept.txt").write_text("kept")
    with pytest.raises(error, match=words):
        write_video(tmp_path / name, frames, fps)
    assert [p.name for p in tmp_path.rglob("*")] == ["full", "kept.txt"]


def test_a_failure_while_writing_keeps_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_half()
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]
    assert path.read_text() == "old"


def test_a_symbolic_link_stays_and_what_it_leads_to_is_written(tmp_path):
    (tmp_path / "far").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "far" / "file.txt")
    for text in ("new", "newer"):
        check_writable(link)
        with replacing(link) as temporary:
            temporary.write_text(text)
        assert link.is_symlink()
        assert (tmp_path / "far" / "file.txt").read_text() == text
    link.unlink()
    link.symlink_to(tmp_path / "gone" / "file.txt")
    with pytest.raises(FileError, match=r"the folder .*/gone does not exist"):
        check_writable(link)


def test_a_disk_that_is_full_is_told_in_a_sentence(tmp_path):
    with pytest.raises(FileError, match=r"cannot write .*/file.txt: no space left on device"):  # noqa: SIM117
        with replacing(tmp_path / "file.txt"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_check_writable_says_why_before_the_work(tmp_path):
    check_writable(tmp_path / "new.mp4")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "frame.png").write_bytes(b"")
    with pytest.raises(FileError, match="something in it"):
        check_writable(tmp_path / "full", folder=True)
    with pytest.raises(FileError, match="it is a folder; give the name of a file"):
        check_writable(tmp_path / "full")
    os.mkfifo(tmp_path / "pipe")
    for write in (check_writable, lambda path: replacing(path).__enter__()):
        with pytest.raises(FileError, match="it is a device or a pipe"):
            write(tmp_path / "pipe")
        for stream in ("-", "/dev/stdout", "/dev/fd/1"):
            with pytest.raises(FileError, match="it is a device or a pipe; give the name of a file"):
                write(stream)
    with pytest.raises(FileError, match="is a device or a pipe, which can be read only once"):
        read_video(tmp_path / "pipe")
    with pytest.raises(FileError, match="does not exist"):
        check_writable(tmp_path / "no" / "clip.mp4")
    with pytest.raises(FileError, match="name too long"):
        check_writable(tmp_path / ("n" * 300))


@pytest.mark.parametrize("fps", [10, 15, 24, 30, 50])
def test_gifs_keep_their_frame_rate_within_a_hundredth_of_a_second(tmp_path, fps):
    write_video(tmp_path / "clip.gif", torch.rand(30, 3, 16, 16), fps=fps)
    assert abs(29 / read_video(tmp_path / "clip.gif").fps - 29 / fps) <= 0.0101


@pytest.mark.parametrize("form", ["gray16be", "rgb48be"])
def test_sixteen_bits_are_rounded_to_eight(tmp_path, form):
    shape = (16, 24) if form == "gray16be" else (16, 24, 3)
    values = torch.randint(2**16, shape, generator=torch.Generator().manual_seed(0)).numpy().astype("uint16")
    with av.open(str(tmp_path / "deep.png"), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 24, 16, form
        container.mux(stream.encode(av.VideoFrame.from_ndarray(values, format=form)))
    read = 255 * read_video(tmp_path / "deep.png").frames[0].double()
    exact = torch.from_numpy(values.astype("float64") / 257).reshape(16, 24, -1).permute(2, 0, 1)
    assert (read - exact).abs().max() <= 0.5 + 1e-4


@pytest.mark.parametrize(("size", "code"), [((720, 1280), 1), ((64, 80), 6), ((33, 47), 6)])
def test_mp4_tells_how_its_colours_are_meant(tmp_path, size, code):
    colour = torch.tensor([200, 30, 60]).reshape(1, 3, 1, 1) / 255
    write_video(tmp_path / "clip.mp4", colour.expand(2, 3, *size))
    with av.open(str(tmp_path / "clip.mp4")) as container:
        frame = next(container.decode(container.streams.video[0]))
        assert (int(frame.colorspace), int(frame.color_range)) == (code, 1)
    assert (read_video(tmp_path / "clip.mp4").frames - colour).abs().max() < 4 / 255


@pytest.mark.parametrize(("form", "values"), [("gray", (16, 126, 235)), ("gray10le", (64, 502, 940))])
@pytest.mark.parametrize("limited", [True, False])
def test_gray_of_a_limited_range_is_spread(tmp_path, form, values, limited):
    with av.open(str(tmp_path / "gray.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, form
        stream.codec_context.color_range = 1 if limited else 2
        for value in values:
            frame = av.VideoFrame(16, 16, form)
            kind = "uint8" if form == "gray" else "uint16"
            frame.planes[0].update(
                np.full(frame.planes[0].buffer_size // np.dtype(kind).itemsize, value, kind).tobytes()
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    most = 255 if form == "gray" else 1023
    told = [(v - values[0]) / (values[2] - values[0]) if limited else v / most for v in values]
    read = read_video(tmp_path / "gray.mkv").frames[:, 0, 5, 5]
    assert (255 * (read - torch.tensor(told))).abs().max() <= 0.501


@pytest.mark.parametrize(("height", "space"), [(720, "ITU709"), (704, "ITU601")])
def test_colours_of_which_nothing_is_told_are_read_as_they_are_written(tmp_path, height, space):
    colour = np.array([200, 30, 60], np.uint8)
    frame = av.VideoFrame.from_ndarray(np.broadcast_to(colour, (height, 64, 3)).copy(), format="rgb24")
    with av.open(str(tmp_path / "untold.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, height, "yuv420p"
        frame = frame.reformat(format="yuv420p", dst_colorspace=space, dst_color_range="MPEG")
        frame.colorspace, frame.color_range = 2, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(tmp_path / "untold.mp4")) as container:
        assert next(container.decode(container.streams.video[0])).colorspace == 2
    read = 255 * read_video(tmp_path / "untold.mp4").frames[0, :, 5, 5]
    assert (read - torch.from_numpy(colour).float()).abs().max() <= 4


UNEVEN = [0, 30, 100, 130, 160, 400, 430, 460, 500, 1000]  # ms
DROPPED = [33 * i for i in range(90) if i % 3]
LATE = [*(33 * i for i in range(40)), 33 * 40 + 100]


@pytest.mark.parametrize(
    ("name", "times", "fps"),
    [("clip.mkv", UNEVEN, 9.0), ("clip.mp4", UNEVEN, 9.0), ("clip.mkv", DROPPED, 20.3), ("clip.mkv", LATE, 30.0)],
)
def test_frames_at_uneven_times_have_their_mean_rate_unless_a_single_one_is_late(tmp_path, name, times, fps):
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for time in times:
            frame = av.VideoFrame(32, 32, "yuv420p")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert read_video(tmp_path / name).fps == pytest.approx(fps, rel=0.01)


def test_a_folder_of_images_is_the_same_when_other_things_come_into_it(tmp_path):
    write_video(tmp_path / "images", torch.rand(2, 3, 16, 16))
    before = identity_of_file(tmp_path / "images", IMAGE_SUFFIXES)
    (tmp_path / "images" / "out.mkv.parts").mkdir()
    (tmp_path / "images" / "gone.png").symlink_to("nowhere.png")
    assert identity_of_file(tmp_path / "images", IMAGE_SUFFIXES) == before
    write_video(tmp_path / "more", torch.rand(1, 3, 16, 16))
    (tmp_path / "more" / "00000.png").rename(tmp_path / "images" / "00009.png")
    assert identity_of_file(tmp_path / "images", IMAGE_SUFFIXES) != before
