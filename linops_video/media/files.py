"""Writing files so that a failure leaves nothing half written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    try:
        staging = Path(tempfile.mkdtemp(prefix=".linops-video-", dir=path.parent))
    except OSError as error:
        raise FileError(f"cannot write {path}: {_reason(error, path)}") from None
    try:
        temporary = staging / path.name  # the suffix stays: writers choose the format by it
        yield temporary
        try:
            os.replace(temporary, path)
        except OSError as error:
            raise FileError(f"cannot write {path}: {_reason(error, path)}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def check_writable(path: str | Path) -> None:
    """Raise `FileError` if `path` could not be written now: to be called before work of minutes, not after it."""
    path = Path(path)
    if path.is_dir() and (path.suffix or any(path.iterdir())):
        raise FileError(f"cannot write {path}: it is a folder with something in it; give a new name")
    try:
        with tempfile.TemporaryDirectory(prefix=".linops-video-", dir=path.parent):
            pass
    except OSError as error:
        raise FileError(f"cannot write {path}: {_reason(error, path)}") from None


def _reason(error: OSError, path: Path) -> str:
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist"
    return (error.strerror or str(error)).lower()
