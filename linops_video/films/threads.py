"""One thread beside the work: what comes next is made ahead of it, and what is finished is put away behind it.

Decoders and encoders, and most of what PyTorch does, run without Python's lock. Nothing is reordered, errors are raised
where the items are used, and a thread is at work no longer than the loop that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items (none of them None), each made by a thread while the one before is used: one ahead, no more.

    Example:
        >>> list(ahead(iter("abc")))
        ['a', 'b', 'c']
    """
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


def behind(put: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """As `map`, but a thread puts each item away while the next one is made.

    Where the loop ends early, the last item is put away first.

    Example:
        >>> list(behind(str.upper, "abc"))
        ['A', 'B', 'C']
    """
    with ThreadPoolExecutor(1) as thread:
        doing: Future[R] | None = None
        for item in items:
            if doing is not None:
                yield doing.result()
            doing = thread.submit(put, item)
            del item  # large: gone as soon as it is put away
        if doing is not None:
            yield doing.result()
