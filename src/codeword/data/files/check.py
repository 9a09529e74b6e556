"""A complete check of a data set's files."""

from dataclasses import dataclass
from typing import get_args

from codeword.config import DataConfig
from codeword.data import Dataset, Split, open_dataset


@dataclass(frozen=True)
class Checked:
    """Numbers of signals of each split, their shape (C, *S), the classes, and a phrase about what was verified."""

    train: int
    valid: int
    test: int
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    verified: str


def check(config: DataConfig) -> Checked:
    """Open every split of a data set and read all of it.

    Raises:
        DataError: a file is missing or unreadable, or CIFAR-10 differs from the official images. A broken recording
            is no error, because training skips it; `verified` lists it.
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
