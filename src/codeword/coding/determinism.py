"""The same numbers from the same network each time it computes them on one machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")


@contextmanager
def deterministic() -> Iterator[None]:
    """One thread and no gradients: sums are taken in one order, so a network gives the same numbers again."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_num_threads(threads)


def deterministic_steps(items: Iterator[T]) -> Iterator[T]:
    """The same items: each step of the iterator runs under `deterministic`, the caller's code between steps does not.

    A `with deterministic()` around a `yield` would leave the caller with one thread and without gradients.
    """
    while True:
        with deterministic():
            try:
                item = next(items)
            except StopIteration:
                return
        yield item
