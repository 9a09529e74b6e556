"""Items of tar archives in WebDataset's layout; nothing is extracted or unpickled, and no link is followed.

The reader is our own and uses tarfile, because webdataset and `datasets` read whole members of any size into memory and
stop at the first damaged header without an error.
"""

import io
import json
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from codeword.data.files.web import fetch_again, is_address, local_copy, public_name
from codeword.data.items.items import BrokenItem, Item, ItemContent, as_file
from codeword.errors import DataError, UsageError
from codeword.media import Medium
from codeword.store import escape_name

MAX_MEMBER_BYTES = 1 << 31
MAX_LABEL_BYTES = 1 << 16
_MAX_HEADER_BYTES = 1 << 20
_MAX_ARCHIVES = 1_000_000
_CHUNK_BYTES = 1 << 20

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True)
class _Member:
    """Position of a member's content in its archive, and its suffix."""

    start: int
    size_bytes: int
    suffix: str


@dataclass(frozen=True, kw_only=True)
class MemberItem(Item):
    """A media file in an archive, a path or an address; its label is in a member of the same key, .cls or .json."""

    archive: str
    member: _Member
    label: _Member | None

    def class_name(self) -> str | None:
        return None if self.label is None else _label(self.archive, self.label, self.source)

    @contextmanager
    def open(self) -> Iterator[ItemContent]:
        content = _content(self.archive, self.member, self.source, max_bytes=MAX_MEMBER_BYTES)
        label = self.class_name()
        with as_file(content, self.source, suffix=self.member.suffix) as path:
            yield ItemContent(path, label)


def expand(pattern: str) -> list[str]:
    """Expand a pattern such as `a-{000..003}.tar` to names, here four. Raises UsageError."""
    braces = _BRACES.search(pattern)
    if braces is None:
        return [pattern]
    first, last = int(braces[1]), int(braces[2])
    if not first <= last < first + _MAX_ARCHIVES:
        raise UsageError(f"{pattern} counts from {first} to {last}; count upward, at most {_MAX_ARCHIVES:,} archives.")
    return [
        name
        for number in range(first, last + 1)
        for name in expand(f"{pattern[: braces.start()]}{number:0{len(braces[1])}}{pattern[braces.end() :]}")
    ]


def list_archives(names: Sequence[str], *, medium: Medium) -> list[Item]:
    """The media files in archives, paths or addresses, in order; the unreadable rest of an archive is one `BrokenItem`.

    Each link with a name of the medium is a `BrokenItem` too, and each member that a later one of its name replaces.

    Raises:
        DataError: an archive is missing or cannot be downloaded, or none holds any such file.
    """
    paths = [Path(public_name(name)) for name in names]
    parent = Path(os.path.commonpath([path.parent for path in paths]))
    items = [
        item
        for archive, path in zip(names, paths, strict=True)
        for item in _items(archive, escape_name(path.relative_to(parent).as_posix()), medium)
    ]
    if not items:
        raise DataError(f"{public_name(names[0])} holds no {medium.name}; check the archive.")
    return items


def _items(archive: str, name: str, medium: Medium) -> Iterator[Item]:
    members: dict[str, _Member] = {}
    broken: list[BrokenItem] = []
    source, path = escape_name(public_name(archive)), local_copy(archive)
    damage = None

    def leave_out(key: str, start: int, reason: str) -> None:
        # The position, because several members may have this name.
        place = f"{key} at byte {start}"
        broken.append(BrokenItem(id=f"{name}/{place}", source=f"{source}:{place}", reason=f"{source}:{key} {reason}."))

    try:
        with _Headers(path) as headers, tarfile.TarFile(fileobj=headers) as tar:
            while (member := tar.next()) is not None:
                key, suffix = escape_name(member.name), Path(member.name).suffix.lower()
                regular = member.isreg() and not member.issparse()
                if suffix in medium.suffixes and not (regular or member.isdir()):
                    leave_out(key, member.offset_data, "is a link, a device or sparse; pack the file itself")
                elif suffix in medium.suffixes and key in members:
                    # As in unpacking, the last member of a name replaces the others.
                    leave_out(key, members[key].start, "is replaced by a later member of the same name; rename one")
                if regular:
                    members[key] = _Member(member.offset_data, member.size, suffix)
            # tarfile treats a damaged header as the end of the archive; the real end is zeros or the end of the file.
            headers.seek(tar.offset)
            if any(headers.read(tarfile.BLOCKSIZE)):
                damage = "a header is damaged"
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}; check the path.") from error
    except Exception as error:
        # tarfile raises many kinds of errors on invalid bytes: TarError, ValueError, OSError, RecursionError, ...
        damage = str(error) or type(error).__name__
    if damage and not members and is_address(archive):
        # Mostly a page of HTML, which is not worth keeping.
        path.unlink(missing_ok=True)
        raise DataError(f"{source} is no tar archive ({damage}); check the address.")
    labels = {_key(key): content for key, content in members.items() if content.suffix in (".json", ".cls")}
    for key, content in members.items():
        if content.suffix in medium.suffixes:
            yield MemberItem(
                id=f"{name}/{key}", source=f"{source}:{key}", size_bytes=content.size_bytes,
                archive=archive, member=content, label=labels.get(_key(key)),
            )  # fmt: skip
    yield from broken
    if damage:
        reason = f"{source} is damaged after its first {len(members):,} members ({damage}); {fetch_again(archive)}."
        yield BrokenItem(id=name, source=source, reason=reason)


class _Headers(io.FileIO):
    """A file whose reads are limited to the size of headers, because tarfile allocates what a forged header claims."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        return super().read(size) or b""


def _key(name: str) -> str:
    """The common part of the names of one sample's members: the path up to the first dot of the file name."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def _content(archive: str, member: _Member, source: str, *, max_bytes: int) -> Iterator[bytes]:
    """The content of a member in chunks. Raises DataError if its size is not in 0..`max_bytes`, or it is incomplete."""
    if not 0 <= member.size_bytes <= max_bytes:
        raise DataError(f"{source} has a {member.suffix} of {member.size_bytes:,} bytes; {max_bytes:,} are allowed.")
    try:
        file = local_copy(archive).open("rb")
    except OSError as error:
        raise DataError(f"{archive} cannot be read ({error.strerror}); check that it still exists.") from error
    with file:
        if member.start + member.size_bytes > os.fstat(file.fileno()).st_size:
            raise DataError(f"{source} is cut short: the archive ends inside it; {fetch_again(archive)}.")
        file.seek(member.start)
        left = member.size_bytes
        while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
            left -= len(chunk)
            yield chunk


def _label(archive: str, member: _Member, source: str) -> str | None:
    """The content of a .cls, or the label, speaker or class in a .json. Raises DataError."""
    content = b"".join(_content(archive, member, source, max_bytes=MAX_LABEL_BYTES))
    try:
        if member.suffix == ".cls":
            return content.decode().strip() or None
        tree = json.loads(content)
        value = next((tree[name] for name in ("label", "speaker", "class") if name in tree), None)
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{source} has a {member.suffix} that cannot be read ({error}).") from error
    return None if value is None else str(value)
