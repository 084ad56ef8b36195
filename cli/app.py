"""The Typer application and the one place that turns an error into a sentence and exit code 2."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import typer
from typer.exceptions import Abort, TyperException

from linops_video import LinopsError, __version__
from linops_video.cli.data import data
from linops_video.cli.evaluate import evaluate
from linops_video.cli.figure import figure
from linops_video.cli.ops import ops
from linops_video.cli.solve import solve
from linops_video.cli.train import train
from linops_video.cli.tune import tune
from linops_video.films.heap import is_out_of_memory, reuse_freed_memory
from linops_video.media.files import reason

UNWRITABLE = (errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EBADF)
"""What the system says where standard output, as any other file, takes no more."""

app = typer.Typer(
    name="linops-video",
    help="Reconstruct video from incomplete measurements.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(solve)
app.command()(ops)
app.command()(evaluate)
app.command()(figure)
app.command()(train)
app.command()(tune)
app.add_typer(data, name="data")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"linops-video {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    """Options of all commands; what they do happens in their callbacks."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `linops-video` with these arguments (default: those of the process) and exit.

    Exit codes: 0 done; 1 films of a folder failed; 2 bad input, with one sentence on standard error; 130 interrupted;
    143 terminated; 129 where its terminal was closed.
    """
    reuse_freed_memory()
    for stream in (sys.stdout, sys.stderr):  # what a terminal cannot show is no reason to lose the work
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if arguments is None:  # the process is the command: ended, it removes what is half written
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP, nohup ignores it
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        with _told():
            code = app(None if arguments is None else list(arguments), "linops-video", standalone_mode=False)
            if sys.stdout is not None:  # closed, by >&-
                sys.stdout.flush()
    except (LinopsError, TyperException) as error:
        message = error.format_message() if isinstance(error, TyperException) else str(error)
        if not message:  # of a call without a command, which has printed the help
            sys.exit(2)
        _fail(message)
    except OSError as error:
        if error.filename is not None:
            _fail(f"cannot read or write {error.filename}: {reason(error)}")
        if error.errno not in UNWRITABLE:
            raise
        _drop_output()
        _fail(f"the output cannot be written: {reason(error)}")
    except Abort:
        sys.exit(130)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        _fail("out of memory: take fewer frames (--frames) or a smaller clip")
    sys.exit(code if isinstance(code, int) else 0)


@contextmanager
def _told() -> Iterator[None]:
    """Warnings at the end, in one sentence of each kind on standard error: the last one, and how many there were."""
    with warnings.catch_warnings(record=True) as caught:
        try:
            yield
        finally:
            kinds = Counter(entry.category for entry in caught)
            for kind, last in {entry.category: entry for entry in caught}.items():
                more = f" ({kinds[kind]} warnings like this)" if kinds[kind] > 1 else ""
                print(f"warning: {last.message}{more}", file=sys.stderr)


def _drop_output() -> None:
    """Let what is left for standard output go nowhere, or Python would try again at its end."""
    with suppress(OSError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
