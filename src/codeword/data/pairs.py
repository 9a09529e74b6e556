"""Pairs of signals of one class from two data sets, such as a written and a spoken digit."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.data.base import Batch, Dataset, evaluation_batches
from codeword.errors import DataError
from codeword.nn.integers import scattered

_CHUNK = 500


@dataclass(frozen=True)
class PairBatch(Batch):
    """Signals `x` (B, C, *S) with those of the other medium, `second` (B, D, *T), and their class `label` (B,)."""

    second: Tensor

    def to(self, device: torch.device) -> "PairBatch":
        x, label, second = (part.to(device, non_blocking=True) for part in (self.x, self.label, self.second))
        return PairBatch(x, label, second)


class Pairs(Dataset):
    """One split of pairs: each signal of the first data set with one of the second, drawn among those of its class.

    With a generator, `take` draws another partner each time; without one, the partner depends on the index alone. If
    `shuffled`, the partner is drawn among all signals.

    Raises:
        DataError: the data sets have not the same classes, or a class has no signal in the second.
    """

    def __init__(self, first: Dataset, second: Dataset, *, shuffled: bool = False) -> None:
        if not first.classes or first.classes != second.classes:
            raise DataError(
                f"Pairs are of one class, but the data sets have the classes {list(first.classes)} and "
                f"{list(second.classes)}; name recipes with the same ones."
            )
        self.first, self.second = first, second
        self.shape, self.classes, self.in_memory = first.shape, first.classes, first.in_memory and second.in_memory
        self._labels, theirs = _labels(first), _labels(second)
        rows = torch.arange(len(theirs))
        self._partners = [rows if shuffled else rows[theirs == label] for label in range(len(self.classes))]
        for label in self._labels.unique().tolist():
            if not len(self._partners[label]):
                raise DataError(f"No signal of the second data set is of class {self.classes[label]}; add some.")

    def __len__(self) -> int:
        return len(self.first)

    def take(self, indices: Sequence[int], *, generator: torch.Generator | None = None) -> PairBatch:
        labels = self._labels[torch.as_tensor(indices, dtype=torch.int64)]
        partners = []
        for index, label in zip(indices, labels.tolist(), strict=True):
            rows = self._partners[label]
            number = scattered(index + 1)
            if generator is not None:
                number = int(torch.randint(len(rows), (), generator=generator))
            partners.append(int(rows[number % len(rows)]))
        x = self.first.take(indices, generator=generator).x
        return PairBatch(x, labels, self.second.take(partners, generator=generator).x)


def _labels(data: Dataset) -> Tensor:
    """The labels (n,) of all signals."""
    return torch.cat([batch.label for batch in evaluation_batches(data, _CHUNK)])
