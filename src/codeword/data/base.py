"""The shape of a data set: what a split offers, and how the one that a recipe names is opened."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from torch import Tensor

from codeword.config import (
    AudioFolderConfig,
    Cifar10Config,
    DataConfig,
    ImageFolderConfig,
    LibriSpeechConfig,
    SyntheticImagesConfig,
    SyntheticSpeechConfig,
)

Split = Literal["train", "valid", "test"]


@dataclass(frozen=True)
class Batch:
    """Signals `x` (B, C, *S) as integers, and their class `label` (B,) int64."""

    x: Tensor
    label: Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(self.x.to(device, non_blocking=True), self.label.to(device, non_blocking=True))


class Dataset(ABC):
    """One split. `shape` is (C, *S) of one signal; `classes` names the labels, and may be empty.

    Where `in_memory`, `take` is so quick that preparing batches ahead, in another thread, would only cost.
    """

    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    in_memory: bool = False

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def take(self, indices: Sequence[int], *, generator: torch.Generator | None = None) -> Batch:
        """The signals at `indices`; with a generator they are augmented as the recipe says, without it never."""


def evaluation_batches(dataset: Dataset, batch_size: int, *, limit: int | None = None) -> Iterator[Batch]:
    """The first `limit` signals in order, never augmented."""
    length = min(len(dataset), limit or len(dataset))
    for first in range(0, length, batch_size):
        yield dataset.take(range(first, min(first + batch_size, length)))


def open_dataset(config: DataConfig, split: Split) -> Dataset:
    """Open one split of the data set that a recipe names.

    Raises:
        DataError: files are missing or not what they claim to be; the message says how to get them.
    """
    from codeword.data.audio_folder import AudioFolder
    from codeword.data.cifar10 import Cifar10
    from codeword.data.image_folder import ImageFolder
    from codeword.data.librispeech import LibriSpeech
    from codeword.data.synthetic.images import SyntheticImages
    from codeword.data.synthetic.speech import SyntheticSpeech

    match config:
        case SyntheticImagesConfig():
            return SyntheticImages(config, split)
        case Cifar10Config():
            return Cifar10(config, split)
        case ImageFolderConfig():
            return ImageFolder(config, split)
        case LibriSpeechConfig():
            return LibriSpeech(config, split)
        case AudioFolderConfig():
            return AudioFolder(config, split)
        case SyntheticSpeechConfig():
            return SyntheticSpeech(config, split)
        case _:
            assert_never(config)
