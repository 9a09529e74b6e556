"""Items: small objects that stand for the signals of a data set and can open them."""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from codeword.errors import CodewordError, DataError
from codeword.store.names import MAX_TEXT


@dataclass(frozen=True)
class ItemContent:
    """A media file or a signal (C, *S), and the name of its class or speaker, or None."""

    data: Path | Tensor
    label: str | None


@dataclass(frozen=True, kw_only=True)
class Item(ABC):
    """One signal of a data set, small enough to be sent to another process.

    `id` is unique in the data set, `source` is its origin for messages, `size_bytes` its approximate size on disk.
    """

    id: str
    source: str
    size_bytes: int = 0

    @abstractmethod
    def class_name(self) -> str | None:
        """The name of the class or speaker, without reading the signal where that is possible. Raises DataError."""

    @abstractmethod
    def open(self) -> AbstractContextManager[ItemContent]:
        """The content, valid inside the context. Raises DataError."""


@dataclass(frozen=True, kw_only=True)
class BrokenItem(Item):
    """A part of a data set that could not be listed; `reason` is the message of the error."""

    reason: str

    def class_name(self) -> str | None:
        raise DataError(self.reason)

    def open(self) -> AbstractContextManager[ItemContent]:
        raise DataError(self.reason)


@contextmanager
def as_file(content: Iterable[bytes], source: str, *, suffix: str) -> Iterator[Path]:
    """Write the joined `content` to a temporary file; errors in reading it name `source` instead of this file."""
    with tempfile.NamedTemporaryFile(prefix="codeword-", suffix=suffix) as file:
        try:
            file.writelines(content)
            file.flush()
        except OSError as error:
            raise CodewordError(
                f"Could not copy {source} to {file.name}: {error.strerror}; free some space there, or set TMPDIR."
            ) from error
        try:
            yield Path(file.name)
        except DataError as error:
            raise DataError(str(error).replace(file.name, source)) from error


def check_items(items: Sequence[Item], data: str) -> None:
    """Raises DataError if two items of `data` have the same id, or a name is longer than a shard allows."""
    seen = set[str]()
    for item in items:
        if item.id in seen:
            raise DataError(f"{data} holds two signals named {item.id}; rename one.")
        if max(len(item.id), len(item.source)) > MAX_TEXT:
            raise DataError(
                f"{data} holds a name of more than {MAX_TEXT} characters, {item.id:.60}...; make it shorter."
            )
        seen.add(item.id)
