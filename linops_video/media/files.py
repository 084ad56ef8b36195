"""Writing files so that a failure leaves nothing half written."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from linops_video.errors import FileError

STAGING = ".linops-video-"
"""How the names of folders begin in which files are written."""

LONGEST = 200
"""Bytes of a name to which others are added: file systems take 255."""


@contextmanager
def replacing(path: str | Path, within: Path | None = None) -> Iterator[Path]:
    """Give a temporary path that takes the place of `path` when the block ends without an error.

    It is beside `path`, or in the folder `within` on the same disk; a symbolic link stays, and what it leads to is
    written. The block may write a file or make a folder there; on an error it is removed and `path` stays as it was.
    Raises `FileError` if the folder is missing or does not allow writing, and where the block meets an `OSError`, as on
    a full disk.

    Example:
        >>> with replacing("whole.txt") as temporary:
        ...     _ = temporary.write_text("whole")
    """
    path = Path(path)
    _check_replaceable(path)
    path = _led_to(path)
    with told(path):
        staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=within or path.parent))
    try:
        with told(path):
            temporary = staging / path.name  # the suffix stays: writers choose the format by it
            yield temporary
            os.replace(temporary, path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what `replacing` left in a folder, whose only writer was killed in it."""
    for staging in folder.glob(f"{STAGING}*"):
        shutil.rmtree(staging, ignore_errors=True)


def check_writable(path: str | Path, folder: bool = False) -> None:
    """Raise `FileError` if `path` could not be written now: to be called before work of minutes, not after it.

    `folder`: whether it is to be a folder, which may be there if it is empty.
    """
    path = Path(path)
    _check_replaceable(path)
    path = _led_to(path)
    if path.is_dir() and not folder:
        raise FileError(f"cannot write {path}: it is a folder; give the name of a file")
    if path.is_dir() and any(path.iterdir()):
        raise FileError(f"cannot write {path}: it is a folder with something in it; give a new name")
    with told(path), tempfile.TemporaryDirectory(prefix=STAGING, dir=path.parent):
        pass


def check_distinct(outputs: Iterable[str | Path | None], inputs: Iterable[str | Path | None]) -> None:
    """Raise `FileError` if an output is an input, or another output."""
    taken = {Path(path).resolve() for path in inputs if path is not None}
    for path in (Path(path) for path in outputs if path is not None):
        if path.resolve() in taken:
            raise FileError(f"{path} is an input or another output, which would be replaced: give a new name")
        taken.add(path.resolve())


def identity_of_file(path: str | Path | None, suffixes: Sequence[str] | None = None) -> list[Any]:
    """What tells a file or folder from another one: its full name, and sizes and times of change of what is in it.

    `suffixes`: of the files of a folder that count; None for all.
    """
    if path is None:
        return []
    path = Path(path)
    files = sorted(path.iterdir()) if path.is_dir() else [path] if path.exists() else []
    counted = [f for f in files if f.is_file() and (suffixes is None or f == path or f.suffix.lower() in suffixes)]
    return [str(path.resolve()), *([f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in counted)]


def short_name(path: Path) -> str:
    """The name of `path`, to which something may be added: of a long one, or one that is no UTF-8, which safetensors do
    not take, the beginning and a hash."""
    name = os.fsencode(path.name)
    if len(name) <= LONGEST and name.decode(errors="ignore") == path.name:
        return path.name
    return name[: LONGEST - 17].decode(errors="ignore") + "-" + hashlib.sha256(name).hexdigest()[:16]


def _led_to(path: Path) -> Path:
    """Where a symbolic link leads, which it keeps on doing; any other path as it is."""
    return path.resolve() if path.is_symlink() else path


def _check_replaceable(path: Path) -> None:
    stream = str(path) == "-" or str(path).startswith(("/dev/std", "/dev/fd/", "/proc/"))  # which may lead to a file
    with told(path):  # of a name that is too long
        device = stream or (path.exists() and not (path.is_file() or path.is_dir()))
    if device:
        raise FileError(f"cannot write {path}: it is a device or a pipe; give the name of a file")
    if path.name in ("", ".."):
        raise FileError(f"cannot write {path}: give the name of a new file or folder")


def make_folder(path: Path, advice: str = "") -> None:
    """The folder and those above it; `told` if it cannot be made."""
    with told(path, "make the folder", advice):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def told(path: Path, what: str = "write", advice: str = "") -> Iterator[None]:
    """Raise `FileError` where the system refuses the block: that it cannot `what` `path`, why, and the advice."""
    try:
        yield
    except OSError as error:
        missing = isinstance(error, (FileNotFoundError, NotADirectoryError)) and not path.parent.is_dir()
        why = f"the folder {path.parent} does not exist" if missing else reason(error)
        raise FileError(f"cannot {what} {path}: {why}{advice}") from None


def reason(error: OSError) -> str:
    """Why the system refuses, in words that go on a sentence."""
    return (error.strerror or str(error)).lower()
