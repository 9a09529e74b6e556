"""Items inside tar archives, as WebDataset writes them: nothing is extracted or unpickled, no name is followed."""

import io
import json
import os
import re
import tarfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from codeword.errors import DataError, UsageError
from codeword.tokens.items import BrokenItem, Item, Signal, as_file, as_text

MAX_MEMBER_BYTES = 1 << 31
MAX_LABEL_BYTES = 1 << 16
_MAX_HEADER_BYTES = 1 << 20
_MAX_ARCHIVES = 1_000_000

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True)
class _Span:
    """Where the content of a member lies in its archive, and its suffix."""

    start: int
    size_bytes: int
    suffix: str


@dataclass(frozen=True)
class MemberItem(Item):
    """A media file inside an archive; its label is in a member of the same key, .cls or .json."""

    id: str
    archive: Path
    span: _Span
    label: _Span | None

    @property
    def source(self) -> str:  # type: ignore[override]
        return f"{as_text(str(self.archive))}:{self.id.partition('.tar/')[2]}"

    @property
    def size_bytes(self) -> int:  # type: ignore[override]
        return self.span.size_bytes

    @contextmanager
    def open(self) -> Iterator[Signal]:
        if self.span.size_bytes > MAX_MEMBER_BYTES:
            raise DataError(f"{self.source} claims {self.span.size_bytes:,} bytes; {MAX_MEMBER_BYTES:,} are read.")
        with _content(self.archive, self.span, self.source) as stream:
            label = None if self.label is None else _label(self.archive, self.label, self.source)
            with as_file(stream, self.source, suffix=self.span.suffix) as path:
                yield Signal(path, label)


def expand(pattern: str) -> list[Path]:
    """`a-{000..003}.tar` to the four paths it stands for. Raises UsageError."""
    found = _BRACES.search(pattern)
    if found is None:
        return [Path(pattern)]
    first, last = int(found[1]), int(found[2])
    if not first <= last < first + _MAX_ARCHIVES:
        raise UsageError(f"{pattern} counts from {first} to {last}; count up, to {_MAX_ARCHIVES:,} at most.")
    return [
        path
        for number in range(first, last + 1)
        for path in expand(f"{pattern[: found.start()]}{number:0{len(found[1])}}{pattern[found.end() :]}")
    ]


def list_archives(paths: Sequence[Path], *, suffixes: Collection[str]) -> list[Item]:
    """The media files in these archives, in their order; where an archive is damaged, what is left is one broken item.

    Raises:
        DataError: an archive is missing, or none holds any such file.
    """
    above = Path(os.path.commonpath([path.parent for path in paths]))
    items = [item for path in paths for item in _members(path, path.relative_to(above).as_posix(), suffixes=suffixes)]
    if not items:
        raise DataError(f"{paths[0]} holds no file that this model codes; check the archive.")
    return items


def _members(path: Path, name: str, *, suffixes: Collection[str]) -> Iterator[Item]:
    found: dict[str, _Span] = {}
    damage = None
    try:
        with _Headers(path) as headers, tarfile.TarFile(fileobj=headers) as archive:
            while (member := archive.next()) is not None:
                # Links, devices and sparse files are none of ours.
                if member.isreg() and not member.issparse():
                    span = _Span(member.offset_data, member.size, Path(member.name).suffix.lower())
                    found[as_text(member.name)] = span
            # tarfile takes a damaged header for the end; the true one is zeros, or that of the file.
            headers.seek(archive.offset)
            if any(headers.read(tarfile.BLOCKSIZE)):
                damage = "a header is damaged"
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}; check the path.") from error
    except Exception as error:
        # tarfile raises whatever the broken bytes led to: TarError, ValueError, OSError, RecursionError, ...
        damage = str(error) or type(error).__name__
    labels = {_key(n): span for n, span in found.items() if span.suffix in (".json", ".cls")}
    for member_name, span in found.items():
        if span.suffix in suffixes:
            yield MemberItem(f"{as_text(name)}/{member_name}", path, span, labels.get(_key(member_name)))
    if damage:
        reason = f"{path} is damaged behind its first {len(found):,} members ({damage}); fetch it again."
        yield BrokenItem(as_text(name), as_text(str(path)), reason)


class _Headers(io.FileIO):
    """A file of which only headers are read: tarfile would take as much memory as a forged one asks for."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size) or b""


def _key(name: str) -> str:
    """What the members of one sample share: the path up to the first dot of its last part."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


@contextmanager
def _content(archive: Path, span: _Span, source: str) -> Iterator[BinaryIO]:
    try:
        file = archive.open("rb")
    except OSError as error:
        raise DataError(f"{archive} cannot be read ({error.strerror}); check that it is still there.") from error
    with file:
        if span.start + span.size_bytes > os.fstat(file.fileno()).st_size:
            raise DataError(f"{source} is cut short: the archive ends inside it; fetch it again.")
        file.seek(span.start)
        yield cast(BinaryIO, _Limited(file, span.size_bytes))


class _Limited(io.RawIOBase):
    """The next `left` bytes of a file."""

    def __init__(self, file: io.BufferedReader, left: int) -> None:
        self._file, self._left = file, left

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        read = self._file.read(wanted)
        self._left -= len(read)
        return read


def _label(archive: Path, span: _Span, source: str) -> str | None:
    """The class that a .cls is, or the label, speaker or class that a .json names. Raises DataError."""
    if span.size_bytes > MAX_LABEL_BYTES:
        raise DataError(f"{source} has a label of {span.size_bytes:,} bytes; {MAX_LABEL_BYTES:,} are read.")
    with _content(archive, span, source) as stream:
        content = stream.read()
    try:
        if span.suffix == ".cls":
            return content.decode().strip() or None
        tree = json.loads(content)
        value = next((tree[name] for name in ("label", "speaker", "class") if name in tree), None)
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{source} has a {span.suffix} beside it that cannot be read ({error}).") from error
    return None if value is None else str(value)
