"""Memory: what is freed is handed back to the system, and what there is none for is told apart from other errors."""

from __future__ import annotations

import ctypes
import platform

import torch


def release_freed_memory() -> None:
    """Hand all pages that hold nothing back to the system, those between used ones too: glibc's `malloc_trim`.

    glibc does so by itself only at the end of the heap, so that holes add up from window to window. Nothing is done
    where the C library is another one.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def is_out_of_memory(error: Exception) -> bool:
    """Whether this says that memory is short; on a CPU torch says so with a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
