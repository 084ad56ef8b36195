"""Memory: what is freed is used again, then handed back, and what there is none for is told apart from other errors."""

from __future__ import annotations

import ctypes
import platform

import torch

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
"""What glibc's `mallopt` calls them in malloc.h."""


def reuse_freed_memory() -> None:
    """Give new tensors the memory that earlier ones have left, those of other threads too: glibc's `mallopt`.

    By itself glibc hands 32 MB and more back to the system as soon as they are freed, and the system clears each page
    when it gives it out again: a third of the time of "admm-tv" at 848×480 (`benchmarks/films.py reuse`). Nothing is
    done where the C library is another one.
    """
    if platform.libc_ver()[0] == "glibc":
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_ARENA_MAX, 1)):
            ctypes.CDLL(None).mallopt(option, value)


def release_freed_memory() -> None:
    """Hand all pages that hold nothing back to the system, those between used ones too: glibc's `malloc_trim`.

    Else what each window and each tile of a network leave would add up. Nothing is done where the C library is another
    one.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def is_out_of_memory(error: Exception) -> bool:
    """Whether this says that memory is short; on a CPU torch says so with a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
