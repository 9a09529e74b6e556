"""The interface of a medium: everything that differs between images, recordings and other kinds of signal."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from codeword.config import TokenizerConfig
from codeword.errors import UnsupportedError

Tensors = tuple[Tensor, ...]
"""Tensors with the same length along their first axis."""


def regroup(pieces: Iterable[Tensors], count: int) -> Iterator[Tensors]:
    """The rows of all pieces in the same order, in pieces of `count` rows, the last one shorter."""
    buffer: list[Tensors] = []
    buffered = 0
    for piece in pieces:
        buffer.append(piece)
        buffered += len(piece[0])
        if buffered < count:
            continue
        joined = tuple(torch.cat(parts) for parts in zip(*buffer, strict=True))
        complete = buffered - buffered % count
        for start in range(0, complete, count):
            yield tuple(part[start : start + count] for part in joined)
        buffer, buffered = [tuple(part[complete:] for part in joined)], buffered - complete
    if buffered:
        yield tuple(torch.cat(parts) for parts in zip(*buffer, strict=True))


class Medium(ABC):
    """One kind of signal and its files. A new medium is a subclass in a file of its own, and a row of `media.MEDIA`.

    Attributes:
        name: the key in `media.MEDIA`.
        singular, plural: nouns for its signals in messages, for example "an image" and "images".
        ndim: the number of axes of a signal, without the channels.
        axes, cell_axes: the names of the axes of a signal and of its code grid.
        dimension: the name of one value of a signal, as in "bits per sample".
        suffixes: the suffixes of the files that can be read, in lower case, with the dot.
        formats: the suffixes of the files that are written, without the dot, the default first.
        pretrained: the name of the model in the package, "" for none.
        samples: the default number of samples drawn from a prior.
        shard_items: the default number of signals in a shard of tokens.
        hub_feature: the type of its columns in data sets of the Hugging Face Hub.
    """

    name: str
    singular: str
    plural: str
    ndim: int
    axes: tuple[str, ...]
    cell_axes: tuple[str, ...]
    dimension: str = "dimension"
    suffixes: frozenset[str]
    formats: tuple[str, ...]
    pretrained: str = ""
    samples: int = 64
    shard_items: int = 1000
    hub_feature: str = ""

    @abstractmethod
    def fits(self, config: TokenizerConfig) -> bool:
        """True if the channels, values and sample rate of a tokenizer are those of this medium's files."""

    @abstractmethod
    def size(self, path: Path, config: TokenizerConfig) -> tuple[int, ...]:
        """The size *S of the signal in a file, from the header of the file. Raises DataError."""

    @abstractmethod
    def read(self, path: Path, config: TokenizerConfig) -> Iterator[Tensor]:
        """The signal in a file as integers, in consecutive blocks (C, n) or one block (C, *S). Raises DataError."""

    @abstractmethod
    def write(self, path: Path, blocks: Iterable[Tensor], config: TokenizerConfig, *, grey: bool = False) -> None:
        """Write a signal given in the blocks of `read`; with `grey` all channels are equal. Raises CodewordError."""

    def compare(self, original: Path, reconstruction: Path, config: TokenizerConfig) -> dict[str, float]:
        """Distances of a reconstruction from its original, by a name that ends in the unit."""
        return {}

    def write_samples(self, out: Path, signals: list[Tensor], config: TokenizerConfig) -> list[Path]:
        """Write sampled signals (C, *S) as files into the folder `out`; returns their paths."""
        if out.suffix.lower() in self.suffixes:
            raise UnsupportedError(
                f"{out} names one file, but each sample is written as {self.singular} of its own; give a folder."
            )
        paths = [out / f"sample-{i:04}.{self.formats[0]}" for i in range(1, len(signals) + 1)]
        for path, signal in zip(paths, signals, strict=True):
            self.write(path, [signal], config)
        return paths

    def size_of(self, seconds: float, config: TokenizerConfig) -> tuple[int, ...]:
        """The size *S of a signal of `seconds`. Raises UnsupportedError for a medium without duration."""
        raise UnsupportedError(f"{self.plural.capitalize()} have no length in seconds; leave it out.")
