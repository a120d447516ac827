"""Work that runs ahead of its reader, in threads, by a bounded number of items."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def ahead(work: Callable[[T], U], items: Iterable[T], *, threads: int, most: int) -> Iterator[U]:
    """Yields `work(item)` for every item, in order, while threads work on the next ones.

    Args:
        work: what to do with an item; may run beside itself.
        items: read in this thread.
        threads: how many work at once.
        most: results that may wait for the reader: the bound on memory.
    """
    source = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[U]] = deque(pool.submit(work, item) for item in islice(source, most))
        while pending:
            done = pending.popleft().result()
            pending.extend(pool.submit(work, item) for item in islice(source, 1))
            yield done


def prefetched(items: Iterable[T], *, most: int) -> Iterator[T]:
    """Yields the items, in order, while one thread reads the next ones.

    Args:
        items: read in that thread.
        most: items that may wait for the reader: the bound on memory.
    """
    source, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        pending: deque[Future[T | object]] = deque(pool.submit(next, source, end) for _ in range(most))
        while (item := pending.popleft().result()) is not end:
            pending.append(pool.submit(next, source, end))
            yield item  # type: ignore[misc]  # `end` alone is no T
