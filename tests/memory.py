"""The memory that this process has in use, on Linux."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest

STATM = Path("/proc/self/statm")

needs_linux = pytest.mark.skipif(not STATM.exists(), reason="the memory in use is read from Linux")


def in_use() -> int:
    """Bytes of resident memory, holes between tensors included."""
    return int(STATM.read_text().split()[1]) * mmap.PAGESIZE
