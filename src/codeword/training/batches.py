"""Training batches, prepared ahead of time in an order that depends only on the seed and the step."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

import torch

from codeword.data import Batch, Dataset


def step_generator(seed: int, step: int, purpose: int) -> torch.Generator:
    """The generator for one step; `purpose` separates independent uses."""
    # Mixed, because the first draws of generators with neighbouring seeds are correlated.
    mixed = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + purpose * 0x94D049BB133111EB) % (1 << 63)
    generator = torch.Generator()
    generator.manual_seed(mixed ^ (mixed >> 31))
    return generator


def step_indices(length: int, batch_size: int, *, seed: int, step: int) -> list[int]:
    """Indices, out of `length` signals, of the batch of step `step`: random permutations, one epoch after another."""
    first = step * batch_size
    indices: list[int] = []
    while len(indices) < batch_size:
        epoch, offset = divmod(first + len(indices), length)
        order = _epoch_order(length, seed, epoch)
        indices += order[offset : offset + batch_size - len(indices)].tolist()
    return indices


@lru_cache(maxsize=2)
def _epoch_order(length: int, seed: int, epoch: int) -> torch.Tensor:
    return torch.randperm(length, generator=step_generator(seed, epoch, purpose=0))


def training_batches(
    dataset: Dataset, batch_size: int, *, seed: int, steps: range, rank: int = 0, ranks: int = 1
) -> Iterator[Batch]:
    """The batches of `steps`; with several ranks, this rank's share of each."""

    def prepare(step: int) -> Batch:
        indices = step_indices(len(dataset), batch_size, seed=seed, step=step)[rank::ranks]
        return dataset.take(indices, generator=step_generator(seed, step * ranks + rank, purpose=1))

    if dataset.in_memory:
        # A second thread has its own pool of workers, which would compete with the training step for the cores.
        yield from map(prepare, steps)
        return
    with ThreadPoolExecutor(1) as ahead:
        pending: deque[Future[Batch]] = deque()
        for step in steps:
            pending.append(ahead.submit(prepare, step))
            if len(pending) > 1:
                yield pending.popleft().result()
        yield from (future.result() for future in pending)
