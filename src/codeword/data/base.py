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
    """One split. `shape` is (C, *S) of one signal; `classes` names the labels, and may be empty.

    With `in_memory`, `take` is fast enough that preparing batches in another thread does not pay off.
    """

    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    in_memory: bool = False

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def take(self, indices: Sequence[int], *, generator: torch.Generator | None = None) -> Batch:
        """The signals at `indices`, augmented as the recipe says if a generator is given."""

    def verify(self) -> str:
        """Read every signal. Returns the result as a phrase.

        Raises:
            DataError: a signal is missing, unreadable or not the published one.
        """
        for _ in evaluation_batches(self, _CHUNK):
            pass
        return "every signal was read"


def evaluation_batches(dataset: Dataset, batch_size: int, *, limit: int | None = None) -> Iterator[Batch]:
    """The first `limit` signals in order, without augmentation."""
    length = min(len(dataset), limit or len(dataset))
    for first in range(0, length, batch_size):
        yield dataset.take(range(first, min(first + batch_size, length)))
