"""Memory that is freed, handed back to the system."""

from __future__ import annotations

import ctypes
import platform


def release_freed_memory() -> None:
    """Hand all pages that hold nothing back to the system, those between used ones too: glibc's `malloc_trim`.

    glibc does so by itself only at the end of the heap, so that holes add up from window to window. Nothing is done
    where the C library is another one.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
