"""The finished windows of a film beside the file that they will become, so that a killed run goes on where it was."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from linops_video.errors import FileError
from linops_video.media.arrays import write_array
from linops_video.media.encoding import SQUARE
from linops_video.media.files import replacing, short_name, told
from linops_video.media.video import DEFAULT_FPS, in_bytes, join_videos, write_video

STATE = "state.safetensors"
"""How far a share is; of several shares, the number of each stands before it."""


@dataclass(frozen=True)
class Share:
    """The windows of a film that one of several processes solves: the `index`-th of `of` runs of equal length.

    Example:
        >>> [Share(i, 2).windows(5) for i in range(2)]
        [range(0, 2), range(2, 5)]
    """

    index: int = 0
    of: int = 1

    def windows(self, count: int) -> range:
        """Which of `count` windows are in this share; none where there are more shares than windows."""
        return range(count * self.index // self.of, count * (self.index + 1) // self.of)


WHOLE = Share()
"""All windows."""

Tally = Mapping[str, float]
"""Numbers that are added up over the windows of a film."""

Tallies = Mapping[str, Tally]
"""Those of each solver."""


@dataclass(frozen=True)
class Finished:
    """How far a film is: windows that are done, frames of the next one that are not yet blended, numbers to add to."""

    windows: int
    tail: Tensor
    tallies: Tallies


class Parts:
    """The folder `OUT.parts` of a film that is being solved, by one process or by several that see one disk.

    Each finished window is a file of its own; the state of its share, which is replaced as a whole after each, says how
    many of them count. So the folder is right whenever a run is killed.

    Args:
        out: the file that the film will be: what `write_video` writes, or `.npz`.
        fps: its frames per second.
        job: JSON values that tell one run from another: windows of another job do not count.
        count: how many windows the film has.
        share: those of them that are solved here.
        aspect: width over height of its pixels.
    """

    def __init__(
        self,
        out: str | Path,
        fps: float,
        job: Mapping[str, Any],
        count: int,
        share: Share = WHOLE,
        aspect: Fraction = SQUARE,
    ) -> None:
        self.out, self.fps, self.share, self.aspect = Path(out), fps, share, aspect
        self.windows = [Share(i, share.of).windows(count) for i in range(share.of)]
        self.folder = self.folder_of(self.out)
        self._job = json.dumps({**job, "shares": share.of}, sort_keys=True)
        suffix = self.out.suffix.lower()
        self._suffix = suffix if suffix in (".mp4", ".mkv", ".avi", ".npz") else ".mkv"

    @staticmethod
    def folder_of(out: str | Path) -> Path:
        """Where the finished windows of a film are while it is being solved."""
        return Path(out).parent / f"{short_name(Path(out))}.parts"

    def finished(self) -> Finished | None:
        """How far an earlier run of the same job came with this share; None where there is none.

        What another job has left is thrown away.
        """
        for place in self.folder.glob(f"*{STATE}"):
            if _read(place, self._job) is None:
                place.unlink(missing_ok=True)
        state = self._state(self.share.index)
        if state is None and self.share.of == 1:
            shutil.rmtree(self.folder, ignore_errors=True)
        return state

    def rounded(self, frames: Tensor) -> Tensor:
        """Frames as the file of their window has them: uint8, which takes a quarter of the memory, but for `.npz`."""
        return frames if self._suffix == ".npz" else in_bytes(frames)

    def add(self, frames: Tensor, state: Finished) -> None:
        """Keep the frames that window number `state.windows − 1` has finished, `rounded` or not yet."""
        with told(self.folder):
            self.folder.mkdir(exist_ok=True)
        part = self._part(state.windows - 1)
        if self._suffix == ".npz":
            write_array(part, "x", frames, self.fps)
        else:
            own = self._suffix == self.out.suffix.lower()  # else the frames are decoded again, and may be too fast here
            write_video(part, frames, self.fps if own else DEFAULT_FPS, aspect=self.aspect)
        about = {"job": self._job, "windows": str(state.windows), "tallies": json.dumps(state.tallies)}
        place = self._place(self.share.index)
        with replacing(place) as temporary:
            try:
                save_file({"tail": state.tail.contiguous()}, temporary, about)
            except SafetensorError as error:
                raise FileError(f"cannot write {place}: {error}") from None

    def finish(self, sound: str | Path | None) -> list[Finished] | None:
        """Make the film of its parts, with the sound of a file, and remove the folder, if all shares are done.

        Gives the last state of each share; None where another process still works, or has made the film.
        """
        with locked(self.out, "joined", timeout=-1):
            done = self._ended()
            if done is None:
                return None
            parts = [self._part(i) for windows in self.windows for i in windows]
            if self._suffix == ".npz":
                _join_arrays(self.out, parts, self.fps)
            elif not self.made():
                join_videos(self.out, parts, self.fps, sound)
            shutil.rmtree(self.folder)
        return done

    def made(self) -> bool:
        """Whether the folder of PNGs is there, made by an earlier run of the same job that was killed before its end.

        A file would be made again, but a folder with something in it is not replaced.
        """
        names = sorted(path.name for path in self.out.iterdir()) if self.out.is_dir() else []
        frames = [f"{index:05d}.png" for index in range(len(names))]
        return bool(names) and names == frames and self._ended() is not None

    def _ended(self) -> list[Finished] | None:
        """The last state of each share, if all are done."""
        states = [self._state(i) for i, windows in enumerate(self.windows) if windows]
        ends = [windows.stop for windows in self.windows if windows]
        done = [state for state, end in zip(states, ends, strict=True) if state and state.windows == end]
        return done if len(done) == len(ends) else None

    def _state(self, index: int) -> Finished | None:
        state = _read(self._place(index), self._job)
        complete = state and all(self._part(i).exists() for i in range(self.windows[index].start, state.windows))
        return state if complete else None

    def _place(self, index: int) -> Path:
        return self.folder / (STATE if self.share.of == 1 else f"{index}-{STATE}")

    def _part(self, number: int) -> Path:
        return self.folder / f"{number:06d}{self._suffix}"


def _read(place: Path, job: str) -> Finished | None:
    """The state in a file, if it is one of this job."""
    try:
        with safe_open(place, "pt") as file:
            about = file.metadata() or {}
            if about.get("job") != job:
                return None
            return Finished(int(about["windows"]), file.get_tensor("tail"), json.loads(about["tallies"]))
    except (SafetensorError, OSError, KeyError, ValueError):
        return None


@contextmanager
def locked(out: Path, what: str | int, timeout: float = 0) -> Iterator[None]:
    """Hold a file beside `out` for this run alone, by a lock that is gone with the process.

    Raises `FileError` if another run holds it for longer than `timeout` seconds; −1: waits as long as it takes.
    """
    place = out.with_name(f".{short_name(out)}.{what}.lock")
    lock = FileLock(place, timeout=timeout)
    with told(out):
        try:
            lock.acquire()
        except Timeout:
            raise FileError(f"another run is writing {out}: wait for it, or give a new name") from None
    try:
        yield
    finally:
        place.unlink(missing_ok=True)
        lock.release()


def _join_arrays(out: Path, parts: Sequence[Path], fps: float) -> None:
    """One `.npz` file as `write_array` writes it, of several, with one of them in memory at a time."""
    shapes = [_header(part) for part in parts]
    header = {"descr": "<f4", "fortran_order": False, "shape": (sum(s[0] for s in shapes), *shapes[0][1:])}
    with replacing(out, parts[0].parent) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array_header_1_0(file, header)
            for part in parts:
                with np.load(part) as arrays:
                    file.write(np.ascontiguousarray(arrays["x"], dtype="<f4").tobytes())
        with archive.open("fps.npy", "w") as file:
            np.lib.format.write_array(file, np.asarray(fps, dtype=np.float64))


def _header(part: Path) -> tuple[int, ...]:
    with zipfile.ZipFile(part) as archive, archive.open("x.npy") as file:
        np.lib.format.read_magic(file)
        return np.lib.format.read_array_header_1_0(file)[0]
