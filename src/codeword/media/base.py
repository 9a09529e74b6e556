"""The interface of a medium: everything that differs between images, recordings and other kinds of signal."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from codeword.config import TokenizerConfig
from codeword.errors import UnsupportedError, UsageError

Tensors = tuple[Tensor, ...]
"""Tensors with the same length along their first axis."""

Side = Mapping[str, bytes]
"""The side data of a signal: the parts of its file that a lossless file stores besides the signal, by name."""

EMPTY: Side = MappingProxyType({})


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


def numbers_in(text: str, count: int) -> list[float] | None:
    """The numbers in a text like "2,3.5"; None if it does not consist of `count` finite numbers."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return None
    return numbers if len(numbers) == count and all(map(isfinite, numbers)) else None


SEVERAL = "//"
"""Stands in the name of a signal between the name of its file, which holds several, and its own in that file."""


@dataclass(frozen=True)
class Signal:
    """A signal of size *S in a file; `read` returns consecutive blocks (C, n, ...) of it along its first axis, and
    `side` its side data.
    """

    name: str
    size: tuple[int, ...]
    read: Callable[[], Iterable[Tensor]]
    side: Callable[[], Side] = dict


class Medium(ABC):
    """One kind of signal and its files. A new medium is a subclass in a file of its own, and a row of `media.MEDIA`.

    Attributes:
        name: the key in `media.MEDIA`.
        singular, plural: nouns for its signals in messages, for example "an image" and "images".
        ndim: the number of axes of a signal, without the channels.
        axes, cell_axes: the names of the axes of a signal and of its code grid.
        dimension: the name of one value of a signal, as in "bits per sample".
        suffixes: the suffixes of the files that can be read, in lower case, with the dot.
        unreadable: the suffixes of files of this medium that cannot be read, and the names of their formats.
        formats: the suffixes of the files that are written, without the dot, the default first.
        together: the suffixes of files that may hold several signals, which `write_signals` writes, with the dot.
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
    unreadable: Mapping[str, str] = MappingProxyType({})
    formats: tuple[str, ...]
    together: frozenset[str] = frozenset()
    pretrained: str = ""
    samples: int = 64
    shard_items: int = 1000
    hub_feature: str = ""

    @property
    def known_suffixes(self) -> frozenset[str]:
        """The suffixes of all files of this kind, including those that cannot be read."""
        return self.suffixes | self.unreadable.keys()

    @abstractmethod
    def fits(self, config: TokenizerConfig) -> bool:
        """True if the channels, values and sample rate of a tokenizer are those of this medium's files."""

    @abstractmethod
    def size(self, path: Path, config: TokenizerConfig) -> tuple[int, ...]:
        """The size *S of the signal in a file, from the header of the file. Raises DataError."""

    def describe(self, path: Path) -> dict[str, Any]:
        """The format of a file and the size of its content, as JSON, from the header of the file. Raises DataError."""
        return {}

    @abstractmethod
    def read(self, path: Path, config: TokenizerConfig, notes: list[str] | None = None) -> Iterator[Tensor]:
        """The signal in a file as integers, in consecutive blocks (C, n, ...) along its first axis. Raises DataError.

        After the last block, `notes` holds short texts for a person on what reading has converted and left out.
        """

    def with_channel(self, channel: int | None) -> "Medium":
        """This medium, of which only the channel of this number, from 1 on, is read. Raises UsageError."""
        if channel is not None:
            raise UsageError(f"The channels of {self.plural} cannot be chosen; leave the channel out.")
        return self

    def read_lossless(self, path: Path, config: TokenizerConfig, notes: list[str] | None = None) -> Iterator[Tensor]:
        """As `read`, for a lossless file, in which `side` stands for the rest of the file. Raises DataError."""
        return self.read(path, config, notes)

    def side(self, path: Path, config: TokenizerConfig) -> dict[str, bytes]:
        """The parts of a file that a lossless file stores besides the signal, by name.

        Raises:
            DataError: the file cannot be read, or not all of it can be stored.
        """
        return {}

    def signals(
        self, path: Path, name: str, config: TokenizerConfig, notes: list[str], *, lossless: bool
    ) -> list[Signal]:
        """The signals of the file `path` to compress, with their names in the compressed file.

        That is `name` for the only one of a file; those of several begin with it and `SEVERAL`. `notes` is as for
        `read`.

        Raises:
            DataError: the file cannot be read, or, if `lossless`, not all of it can be stored.
        """
        read = self.read_lossless if lossless else self.read
        side = self.side(path, config) if lossless else {}
        return [Signal(name, self.size(path, config), partial(read, path, config, notes), lambda: side)]

    def lossless_sizes(self, path: Path, config: TokenizerConfig) -> dict[str, int]:
        """The size in bytes that a signal has in each lossless format of other programs, by its name."""
        return {}

    @abstractmethod
    def write(
        self, path: Path, blocks: Iterable[Tensor], config: TokenizerConfig, *, replace: bool = True, side: Side = EMPTY
    ) -> None:
        """Write a signal given in the blocks of `read`, in which one channel may stand for several equal ones.

        `side` is that of a lossless file.

        Raises:
            CodewordError: the path cannot be written, or a file exists there and `replace` is False.
        """

    def write_signals(
        self, path: Path, signals: Iterator[Signal], config: TokenizerConfig, *, replace: bool = True
    ) -> None:
        """Write a file of several signals, with the names, order and side data of the method `signals`.

        Raises:
            DataError: their side data are lost, or those of other signals.
            CodewordError: as `write`.
        """
        raise UnsupportedError(f"A file of {self.plural} holds only one; write them one by one.")

    def compare(self, original: Path, reconstruction: Path, config: TokenizerConfig) -> dict[str, float]:
        """Distances of a reconstruction from its original, by a name that ends in the unit."""
        return {}

    def sample_paths(self, out: Path, count: int) -> list[Path]:
        """The paths of the files for `count` samples: by default in the folder `out`, or `out` itself for one sample.

        Raises:
            UnsupportedError: `out` names one file, and there are several samples.
        """
        if out.suffix.lower() in self.suffixes:
            if count == 1:
                return [out]
            raise UnsupportedError(
                f"{out} names one file, but each of the {count} samples is {self.singular} of its own; give a folder, "
                f"or ask for one sample."
            )
        return [out / f"sample-{i:04}.{self.formats[0]}" for i in range(1, count + 1)]

    def write_samples(
        self, paths: list[Path], signals: list[Tensor], config: TokenizerConfig, *, replace: bool = True
    ) -> None:
        """Write sampled signals (C, *S) to the paths of `sample_paths`; `replace` as in `write`."""
        for path, signal in zip(paths, signals, strict=True):
            self.write(path, [signal], config, replace=replace)

    def size_of(self, seconds: float, config: TokenizerConfig) -> tuple[int, ...]:
        """The size *S of a signal of `seconds`. Raises UnsupportedError for a medium without duration."""
        raise UnsupportedError(f"{self.plural.capitalize()} have no length in seconds; leave it out.")

    def mask(self, text: str, size: tuple[int, ...], config: TokenizerConfig) -> Tensor:
        """The part of a signal of `size` that `text` names: (*S) bool.

        Raises:
            UnsupportedError: parts of signals of this medium have no names.
            UsageError, DataError: the text names no part of such a signal.
        """
        raise UnsupportedError(f"Parts of {self.plural} cannot be drawn anew; give an image or a recording.")
