"""Threads that measure several recordings at once.

Most of the time goes to the phone recogniser and to PyTorch, both of which release Python's global interpreter lock.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch

from codeword.coding import deterministic

THREADS = min(4, os.cpu_count() or 1)
"""More threads add little: each one holds a decoded recording in memory, and PESQ does not release the lock."""

T = TypeVar("T")


class Threads:
    """A pool of threads; PyTorch uses one thread for each task, so that results do not depend on the machine."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def start(self, function: Callable[[], T]) -> "Future[T]":
        """Start a task, without gradients: PyTorch switches them off for each thread separately."""
        return self._pool.submit(_without_gradients, function)

    def map(
        self,
        function: Callable[[int], T],
        count: int,
        *,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[T]:
        """`function(i)` for every i below `count`, in order; `progress` gets the number of results and `count`."""
        results = []
        for future in [self.start(partial(function, i)) for i in range(count)]:
            results.append(future.result())
            progress(len(results), count)
        return results


@contextmanager
def threads(count: int | None = None) -> Iterator[Threads]:
    """A pool of `count` threads, by default `THREADS`; an error cancels all tasks that have not started."""
    with deterministic():
        pool = ThreadPoolExecutor(count or THREADS, initializer=torch.set_num_threads, initargs=(1,))
        try:
            yield Threads(pool)
        finally:
            pool.shutdown(cancel_futures=True)


@torch.no_grad()
def _without_gradients(function: Callable[[], T]) -> T:
    return function()
