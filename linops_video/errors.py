"""Errors of the library.

Each message is one sentence or two: what was needed, what came, what to try.
The command line turns every `LinopsError` into that message and exit code 2.
"""

import difflib
from collections.abc import Iterable


def near_names(word: str, known: Iterable[str]) -> str:
    """What to try instead of an unknown name: those spelt nearly the same, else all."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.55)
    if not near:
        return f"known are {', '.join(names)}"
    return f"did you mean {', '.join(near[:-1])}{' or ' * (len(near) > 1)}{near[-1]}?"


class LinopsError(ValueError):
    """Base of all errors that the library raises on bad input."""


class ShapeError(LinopsError):
    """A tensor, an operator or a composition has the wrong shape."""


class DtypeError(LinopsError):
    """What is no tensor or operator where one is needed, numbers of a kind that does not fit, or the transpose of a
    complex operator."""


class SpecError(LinopsError):
    """A name that is not known, a text that cannot be read, or a parameter out of its range."""


class FileError(LinopsError):
    """A file that is missing, unreadable, not what it should be, or cannot be written."""


class FileWarning(UserWarning):
    """A file that could be read, but not all of it."""


class MeasurementError(LinopsError):
    """Measurements that no solver can take: NaN or infinite entries, none at all, or values that no video has."""


class MemoryLimitError(LinopsError):
    """An operator that would not fit in memory; the message says how much it needs."""


class CutError(LinopsError):
    """An operator that cannot be cut to a window or tile of a video, because its measurements see all of it."""
