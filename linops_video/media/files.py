"""Writing files so that a failure leaves nothing half written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from linops_video.errors import FileError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path` that takes its place when the block ends without an error.

    The block may write a file or make a folder there; on an error it is removed and `path` stays as it was.
    Raises `FileError` if the folder is missing or does not allow writing.

    Example:
        >>> with replacing("whole.txt") as temporary:
        ...     _ = temporary.write_text("whole")
    """
    path = Path(path)
    _check_replaceable(path)
    try:
        staging = Path(tempfile.mkdtemp(prefix=".linops-video-", dir=path.parent))
    except OSError as error:
        raise FileError(f"cannot write {path}: {reason(error, path)}") from None
    try:
        temporary = staging / path.name  # the suffix stays: writers choose the format by it
        yield temporary
        try:
            os.replace(temporary, path)
        except OSError as error:
            raise FileError(f"cannot write {path}: {reason(error, path)}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def check_writable(path: str | Path, folder: bool = False) -> None:
    """Raise `FileError` if `path` could not be written now: to be called before work of minutes, not after it.

    `folder`: whether it is to be a folder, which may be there if it is empty.
    """
    path = Path(path)
    _check_replaceable(path)
    if path.is_dir() and not folder:
        raise FileError(f"cannot write {path}: it is a folder; give the name of a file")
    if path.is_dir() and any(path.iterdir()):
        raise FileError(f"cannot write {path}: it is a folder with something in it; give a new name")
    try:
        with tempfile.TemporaryDirectory(prefix=".linops-video-", dir=path.parent):
            pass
    except OSError as error:
        raise FileError(f"cannot write {path}: {reason(error, path)}") from None


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
    counted = [file for file in files if suffixes is None or file == path or file.suffix.lower() in suffixes]
    return [str(path.resolve()), *([f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in counted)]


def _check_replaceable(path: Path) -> None:
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise FileError(f"cannot write {path}: it is a device or a pipe; give the name of a file")
    if path.name in ("", ".."):
        raise FileError(f"cannot write {path}: give the name of a new file or folder")


def reason(error: OSError, path: Path | None = None) -> str:
    """Why the system refuses, in words that go on a sentence; `path`: what should have been written."""
    if path is not None and not path.parent.is_dir():
        return f"the folder {path.parent} does not exist"
    return (error.strerror or str(error)).lower()
