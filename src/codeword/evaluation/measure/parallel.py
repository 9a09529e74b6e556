"""Threads that measure several recordings at once.

Most of the time goes to the phone recogniser and to Torch, both of which run outside Python's lock.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from codeword.coding import deterministic

THREADS = min(4, os.cpu_count() or 1)
"""Each thread holds a whole decoded recording in memory, and PESQ runs in one thread at a time: more add little."""

T = TypeVar("T")


class Threads:
    """A pool of threads in which each calculation uses one thread, so that numbers do not depend on the machine."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def start(self, function: Callable[[], T]) -> "Future[T]":
        """Start a calculation."""
        return self._pool.submit(_without_gradients, function)

    def map(
        self, function: Callable[[int], T], count: int, *, progress: Callable[[int, int], None] | None = None
    ) -> list[T]:
        """`function(i)` for every i below `count`, in order; `progress` is called with results done and in all."""
        futures = [self.start(_call(function, i)) for i in range(count)]
        results = []
        for done, future in enumerate(futures, 1):
            results.append(future.result())
            if progress is not None:
                progress(done, count)
        return results


@contextmanager
def threads(count: int | None = None) -> Iterator[Threads]:
    """A pool of `count` threads, by default `THREADS`; after an error, what has not started is cancelled."""
    with deterministic():
        pool = ThreadPoolExecutor(count or THREADS, initializer=torch.set_num_threads, initargs=(1,))
        try:
            yield Threads(pool)
        finally:
            pool.shutdown(cancel_futures=True)


def _without_gradients(function: Callable[[], T]) -> T:
    with torch.no_grad():  # Gradients are switched off for each thread separately.
        return function()


def _call(function: Callable[[int], T], i: int) -> Callable[[], T]:
    return lambda: function(i)
