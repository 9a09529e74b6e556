"""A complete check of a data set's files."""

from dataclasses import dataclass
from typing import get_args

from codeword.config import DataConfig
from codeword.data import Dataset, Split, open_dataset


@dataclass(frozen=True)
class Checked:
    """Number of signals in each split, their shape, the classes, and a sentence about what was verified."""

    train: int
    valid: int
    test: int
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    verified: str


def check(config: DataConfig) -> Checked:
    """Open every split of a data set and read all of it.

    Raises:
        DataError: something is missing, unreadable, or (CIFAR-10) has other pixels than the official images. A
            broken recording is no error: `verified` names it, because training skips it.
    """
    splits: dict[Split, Dataset] = {split: open_dataset(config, split) for split in get_args(Split)}
    phrases = {split: data.verify() for split, data in splits.items()}
    same = len(set(phrases.values())) == 1
    first = splits["train"]
    return Checked(
        **{split: len(data) for split, data in splits.items()},
        shape=first.shape,
        classes=first.classes,
        verified=phrases["train"] if same else "; ".join(f"{split}: {phrase}" for split, phrase in phrases.items()),
    )
