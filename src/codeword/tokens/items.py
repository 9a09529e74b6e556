"""What a data set is to be tokenized: a list of items, each of which knows how its signal is had."""

import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from torch import Tensor

from codeword.errors import CodewordError, DataError
from codeword.tokens.shards import MAX_TEXT


@dataclass(frozen=True)
class Signal:
    """A media file or an image (3, H, W) uint8, and the name of its class or speaker where that is known."""

    data: Path | Tensor
    label: str | None


class Item(ABC):
    """One signal of a listing, small enough to be sent to another process.

    `id` is unique in the listing, `source` tells a person where it came from, `size_bytes` is about what it takes on
    disk. An item that is known to be broken is one whose `open` raises.
    """

    id: str
    source: str
    size_bytes: int

    @abstractmethod
    def open(self) -> AbstractContextManager[Signal]:
        """The signal, as long as the context lasts. Raises DataError."""


@dataclass(frozen=True)
class BrokenItem(Item):
    """What a listing could not go through, named by `reason`."""

    id: str
    source: str
    reason: str
    size_bytes: int = 0

    def open(self) -> AbstractContextManager[Signal]:
        raise DataError(self.reason)


@contextmanager
def as_file(stream: BinaryIO, source: str, *, suffix: str) -> Iterator[Path]:
    """The rest of a stream as a file, for readers that need one; their errors name the source."""
    with tempfile.NamedTemporaryFile(prefix="codeword-", suffix=suffix) as file:
        try:
            shutil.copyfileobj(stream, file)
            file.flush()
        except OSError as error:
            raise CodewordError(
                f"Could not copy {source} to {file.name}: {error.strerror}; free some space there, or set TMPDIR."
            ) from error
        try:
            yield Path(file.name)
        except DataError as error:
            raise DataError(str(error).replace(file.name, source)) from error


def as_text(name: str) -> str:
    """A name of a file as text that can be written, whatever bytes it has."""
    return name.encode("utf-8", "backslashreplace").decode()


def must_be_sound(items: Sequence[Item], place: str) -> None:
    """Raises DataError where two items have one id, or a name is longer than a shard may hold."""
    seen = set[str]()
    for item in items:
        if item.id in seen:
            raise DataError(f"{place} holds two signals called {item.id}; give one another name.")
        if max(len(item.id), len(item.source)) > MAX_TEXT:
            raise DataError(
                f"{place} holds a name of more than {MAX_TEXT} characters, {item.id:.60}...; make it shorter."
            )
        seen.add(item.id)
