"""The finished windows of a film: kept beside it, found again after a kill, put together, of one process or several."""

import os
import sys

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from linops_video.errors import FileError
from linops_video.films.parts import STATE, Finished, Parts, Share
from linops_video.media import video as video_files
from linops_video.media.arrays import read_clip, write_array
from linops_video.media.video import write_video


def finished(windows: int) -> Finished:
    return Finished(windows, torch.full((2, 3, 8, 8), 0.1 * windows), {"pinv": {"steps": 4.0 * windows}})


NAMES = ["out.mkv", "out.npz", "out", "out.avi", f"{118 * 'ä'}.mp4"]
if sys.platform == "linux":  # elsewhere names are texts
    NAMES.append(os.fsdecode(b"\xff.mkv"))


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_parts_become_the_film(tmp_path, name):
    video = torch.randint(0, 256, (9, 3, 16, 16), generator=torch.Generator().manual_seed(0)) / 255
    parts = Parts(tmp_path / name, 12, {"op": "sr2"}, 2)
    assert parts.finished() is None
    parts.add(video[:4], finished(1))
    assert parts.finish(None) is None
    rounded = parts.rounded(video[4:])
    assert rounded.dtype == (torch.float32 if name == "out.npz" else torch.uint8)
    parts.add(rounded, finished(2))
    assert parts.finish(None) is not None
    assert [p.name for p in tmp_path.iterdir()] == [name]
    out = read_clip(tmp_path / name)
    assert torch.equal(out.frames, video) or name.endswith(".mp4")
    assert out.fps == (25 if name == "out" else 12)
    if name == "out.npz":
        write_array(tmp_path / "whole.npz", "x", video, 12)
        with np.load(tmp_path / name) as got, np.load(tmp_path / "whole.npz") as expected:
            assert {k: (v.dtype, v.shape) for k, v in got.items()} == {
                k: (v.dtype, v.shape) for k, v in expected.items()
            }


def test_a_kill_leaves_nothing_beside_the_film_but_its_parts(tmp_path, monkeypatch):
    parts = Parts(tmp_path / "out.mkv", 12, {}, 1)
    parts.add(torch.rand(4, 3, 16, 16), finished(1))
    seen = []
    join = video_files.join

    def look(*arguments):
        seen.extend(path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock"))
        join(*arguments)

    monkeypatch.setattr(video_files, "join", look)
    parts.finish(None)
    assert seen == ["out.mkv.parts"]


def test_a_state_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("linops_video.films.parts.save_file", full)
    with pytest.raises(FileError, match=r"cannot write .*state.safetensors: No space left"):
        Parts(tmp_path / "out.mkv", 12, {}, 3).add(torch.rand(4, 3, 16, 16), finished(1))


def test_parts_of_the_same_job_are_found_again(tmp_path):
    Parts(tmp_path / "out.mkv", 12, {"op": "sr2"}, 3).finished()
    parts = Parts(tmp_path / "out.mkv", 12, {"op": "sr2"}, 3)
    parts.add(torch.rand(4, 3, 16, 16), finished(1))
    found = Parts(tmp_path / "out.mkv", 12, {"op": "sr2"}, 3).finished()
    assert found is not None
    assert (found.windows, found.tallies) == (1, {"pinv": {"steps": 4.0}})
    assert torch.equal(found.tail, finished(1).tail)
    write_video(parts.folder / "000001.mkv", torch.rand(4, 3, 16, 16))  # killed before its state was written
    again = Parts(tmp_path / "out.mkv", 12, {"op": "sr2"}, 3).finished()
    assert again is not None
    assert again.windows == 1
    assert Parts(tmp_path / "out.mkv", 12, {"op": "sr4"}, 3).finished() is None
    assert not parts.folder.exists()


def test_broken_parts_are_thrown_away(tmp_path):
    parts = Parts(tmp_path / "out.mkv", 12, {}, 3)
    parts.finished()
    parts.add(torch.rand(4, 3, 16, 16), finished(1))
    (parts.folder / STATE).write_bytes(b"half")
    assert parts.finished() is None
    parts.add(torch.rand(4, 3, 16, 16), finished(1))
    (parts.folder / "000000.mkv").unlink()
    assert parts.finished() is None


def test_shares_of_one_film_are_put_together_by_the_last(tmp_path):
    video = torch.randint(0, 256, (9, 3, 16, 16), generator=torch.Generator().manual_seed(0)) / 255
    first, second, none = (Parts(tmp_path / "out.mkv", 12, {}, 2, Share(i, 3)) for i in (1, 2, 0))
    assert [list(windows) for windows in first.windows] == [[], [0], [1]]
    assert first.finished() is second.finished() is none.finished() is None
    assert none.finish(None) is None
    second.add(video[4:], finished(2))
    assert second.finish(None) is None
    first.add(video[:4], finished(1))
    assert [state.windows for state in first.finish(None) or []] == [1, 2]
    assert torch.equal(read_clip(tmp_path / "out.mkv").frames, video)
    assert second.finish(None) is None  # it is there
    assert [p.name for p in tmp_path.iterdir()] == ["out.mkv"]


def test_what_another_job_left_does_not_count_in_any_share(tmp_path):
    for share in (Share(0, 2), Share(1, 2)):
        Parts(tmp_path / "out.mkv", 12, {"op": "sr2"}, 2, share).add(
            torch.rand(4, 3, 16, 16), finished(share.index + 1)
        )
    other = Parts(tmp_path / "out.mkv", 12, {"op": "sr4"}, 2, Share(0, 2))
    assert other.finished() is None
    assert not list(other.folder.glob(f"*{STATE}"))
    other.add(torch.rand(4, 3, 16, 16), finished(1))
    assert other.finish(None) is None
    alone = Parts(tmp_path / "out.mkv", 12, {"op": "sr4"}, 2)
    assert alone.finished() is None
    assert not alone.folder.exists()
