"""The interface of a medium: everything that differs between images, recordings and other kinds of signal."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path

from torch import Tensor

from codeword.config import TokenizerConfig
from codeword.errors import UnsupportedError


class Medium(ABC):
    """One kind of signal and its files. A new medium is a subclass in a file of its own, and a row of `media.MEDIA`.

    `name` is its key, `one` and `many` name its signals in sentences. `ndim` is the rank of its signals, `axes` and
    `cell_axes` name their axes and those of the code grid, `dimension` is one value of a signal in words. `suffixes`
    are those of the files that can be read, with the dot; `formats` those that are written, without it, the default
    first. `pretrained` is the model in the package, "" for none. `samples` are drawn by default, `shard_items` signals
    go into a shard of tokens, `hub_feature` is the type of its columns in data sets of the Hugging Face Hub.
    """

    name: str
    one: str
    many: str
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
        """True if this tokenizer's signals are those of the files."""

    @abstractmethod
    def size(self, path: Path, config: TokenizerConfig) -> tuple[int, ...]:
        """The size *S of a file's signal, from its header. Raises DataError."""

    @abstractmethod
    def read(self, path: Path, config: TokenizerConfig) -> Iterator[Tensor]:
        """A file's signal as integers, in consecutive blocks (C, n) or in one block (C, *S). Raises DataError."""

    @abstractmethod
    def write(self, path: Path, blocks: Iterable[Tensor], config: TokenizerConfig, *, grey: bool = False) -> None:
        """Write a signal given in blocks as by `read`; a `grey` one has equal channels. Raises CodewordError."""

    def compare(self, original: Path, reconstruction: Path, config: TokenizerConfig) -> dict[str, float]:
        """Distances of a written file from its original, by name and unit."""
        return {}

    def write_samples(self, out: Path, signals: list[Tensor], config: TokenizerConfig) -> list[Path]:
        """Write drawn signals (C, *S) into the folder `out`; returns the paths."""
        if out.suffix.lower() in self.suffixes:
            raise UnsupportedError(f"{out} names one file, but each sample is {self.one} of its own; give a folder.")
        paths = [out / f"sample-{i:04}.{self.formats[0]}" for i in range(1, len(signals) + 1)]
        for path, signal in zip(paths, signals, strict=True):
            self.write(path, [signal], config)
        return paths

    def size_of(self, seconds: float, config: TokenizerConfig) -> tuple[int, ...]:
        """The size *S of a signal of this length. Raises UnsupportedError where signals have no length."""
        raise UnsupportedError(f"{self.many.capitalize()} have no length in seconds; leave it out.")
