"""The finished windows of a film beside the file that they will become, so that a killed run goes on where it was."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from linops_video.errors import FileError
from linops_video.media.arrays import write_array
from linops_video.media.files import replacing
from linops_video.media.video import join_videos, write_video

STATE = "state.safetensors"


@dataclass(frozen=True)
class Finished:
    """How far a film is: windows that are done, frames of the next one that are not yet blended, numbers to add to."""

    windows: int
    tail: Tensor
    tally: Mapping[str, float]


class Parts:
    """The folder `OUT.parts` of a film that is being solved.

    Each finished window is a file of its own; `state.safetensors`, which is replaced as a whole after each, says how
    many of them count. So the folder is right whenever the run is killed.

    Args:
        out: the file that the film will be: what `write_video` writes, or `.npz`.
        fps: its frames per second.
        job: JSON values that tell one run from another: windows of another job are thrown away.
    """

    def __init__(self, out: str | Path, fps: float, job: Mapping[str, Any]) -> None:
        self.out, self.fps = Path(out), fps
        self.folder = self.folder_of(self.out)
        self._job = json.dumps(job, sort_keys=True)
        suffix = self.out.suffix.lower()
        self._suffix = suffix if suffix in (".mp4", ".mkv", ".avi", ".npz") else ".mkv"

    @staticmethod
    def folder_of(out: str | Path) -> Path:
        """Where the finished windows of a film are while it is being solved."""
        return Path(out).with_name(f"{Path(out).name}.parts")

    def finished(self) -> Finished | None:
        """How far an earlier run of the same job came; None where there is none, and no folder then."""
        state = self._state()
        if state is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        return state

    def _state(self) -> Finished | None:
        try:
            with safe_open(self.folder / STATE, "pt") as file:
                told = file.metadata() or {}
                if told.get("job") != self._job:
                    return None
                state = Finished(int(told["windows"]), file.get_tensor("tail"), json.loads(told["tally"]))
        except (SafetensorError, OSError, KeyError, ValueError):
            return None
        return state if all(self._part(i).exists() for i in range(state.windows)) else None

    def add(self, frames: Tensor, state: Finished) -> None:
        """Keep the frames that window number `state.windows − 1` has finished."""
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise FileError(f"cannot write {self.folder}: {(error.strerror or str(error)).lower()}") from None
        part = self._part(state.windows - 1)
        if self._suffix == ".npz":
            write_array(part, "x", frames, self.fps)
        else:
            write_video(part, frames, self.fps)
        told = {"job": self._job, "windows": str(state.windows), "tally": json.dumps(dict(state.tally))}
        with replacing(self.folder / STATE) as temporary:
            save_file({"tail": state.tail.contiguous()}, temporary, told)

    def finish(self, windows: int, sound: str | Path | None) -> None:
        """Make the film of its parts, with the sound of a file, and remove the folder."""
        parts = [self._part(i) for i in range(windows)]
        if self._suffix == ".npz":
            _join_arrays(self.out, parts, self.fps)
        else:
            join_videos(self.out, parts, self.fps, sound)
        shutil.rmtree(self.folder)

    def _part(self, number: int) -> Path:
        return self.folder / f"{number:06d}{self._suffix}"


@contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """Hold a file for this run alone, by a lock that is gone with the process; `FileError` if another one holds it."""
    place = out.with_name(f".{out.name}.lock")
    lock = FileLock(place, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise FileError(f"another run is writing {out}: wait for it, or give a new name") from None
    except OSError as error:
        raise FileError(f"cannot write {out}: {(error.strerror or str(error)).lower()}") from None
    try:
        yield
    finally:
        place.unlink(missing_ok=True)
        lock.release()


def _join_arrays(out: Path, parts: Sequence[Path], fps: float) -> None:
    """One `.npz` file as `write_array` writes it, of several, with one of them in memory at a time."""
    shapes = [_header(part) for part in parts]
    header = {"descr": "<f4", "fortran_order": False, "shape": (sum(s[0] for s in shapes), *shapes[0][1:])}
    with replacing(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
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
