"""Memory: what is freed is used again, then handed back, and what there is none for is told apart from other errors."""

from __future__ import annotations

import ctypes
import platform

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -3, -4, -8
"""What glibc's `mallopt` calls them in malloc.h."""

LARGE, MAPS = 64 * 2**20, 65536
"""Bytes of a tensor that gets memory of its own, and how many there may be at once: glibc's own default."""


def reuse_freed_memory() -> None:
    """Give new tensors the memory that earlier ones have left, those of other threads too: glibc's `mallopt`.

    By itself glibc hands 32 MB and more back to the system as soon as they are freed, and the system clears each page
    when it gives it out again: a third of the time of "admm-tv" at 848×480 (`benchmarks/films.py reuse`). Nothing is
    done where the C library is another one.
    """
    if platform.libc_ver()[0] == "glibc":
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_ARENA_MAX, 1)):
            ctypes.CDLL(None).mallopt(option, value)


def map_large_tensors() -> None:
    """Give tensors of `LARGE` bytes and more memory of their own, which goes back to the system when they are freed.

    A network holds tensors of many sizes at once. Where they share one heap, what is freed between two that stay seldom
    fits the next one, and how much is lost so differs by chance from window to window: the longer a film, the higher
    its peak. Nothing is done where the C library is another one, or takes no threshold that high.
    """
    if platform.libc_ver()[0] == "glibc" and ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE):
        ctypes.CDLL(None).mallopt(M_MMAP_MAX, MAPS)


def release_freed_memory() -> None:
    """Hand all pages that hold nothing back to the system, those between used ones too: glibc's `malloc_trim`.

    Else what each window leaves would add up. Nothing is done where the C library is another one.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def is_out_of_memory(error: Exception) -> bool:
    """Whether this says that memory is short; on a CPU torch says so with a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
