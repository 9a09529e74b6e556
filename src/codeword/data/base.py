"""The interface of a data set: one split, read in batches."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Split = Literal["train", "valid", "test"]

_CHUNK = 1000


@dataclass(frozen=True)
class Batch:
    """Signals `x` (B, C, *S) as integers, and their class `label` (B,) int64."""

    x: Tensor
    label: Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(self.x.to(device, non_blocking=True), self.label.to(device, non_blocking=True))


class Dataset(ABC):
    """One split of a data set.

    Attributes:
        shape: (C, *S) of one signal.
        classes: the names of the labels; may be empty.
        in_memory: True if the signals are in memory, so that batches need not be prepared in another thread.
    """

    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    in_memory: bool = False

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def take(self, indices: Sequence[int], *, generator: torch.Generator | None = None) -> Batch:
        """Read the signals at `indices`; with a generator they are augmented as configured in the recipe."""

    def count_values(self) -> int | None:
        """The number of values that the signals have, where the recipe leaves it to the data; None where it does not.

        Raises:
            DataError: a signal is unreadable.
        """
        return None

    def verify(self) -> str:
        """Read every signal. Returns a phrase about what was verified.

        Raises:
            DataError: a signal is missing, unreadable or differs from the published one.
        """
        for _ in evaluation_batches(self, _CHUNK):
            pass
        return "every signal was read"


def evaluation_batches(dataset: Dataset, batch_size: int, *, limit: int | None = None) -> Iterator[Batch]:
    """Batches of the first `limit` signals in order, without augmentation."""
    length = min(len(dataset), limit or len(dataset))
    for first in range(0, length, batch_size):
        yield dataset.take(range(first, min(first + batch_size, length)))
