"""Reading of compressed files: the header, and the intact segments by number."""

import struct
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple

import msgspec

from codeword.codec.format import (
    BRIEF,
    CHECKS,
    DEFLATED,
    MAGIC,
    MAX_DEFLATE_RATIO,
    MAX_HEADER_BYTES,
    MAX_SEGMENT_BYTES,
    PAIR_MAGIC,
    SEGMENT_BYTES,
    SEGMENT_HEAD,
    SYNC,
    VERSION,
    Header,
    Segment,
    pack_fields,
)
from codeword.errors import DataError

# Version, form, length of the header and CRC-32.
_FIELDS = struct.Struct("<BBII")

# Salvaging stops when the damaged payloads that it has read together exceed this many times the size of the file.
_SALVAGE_READS = 16


class _SegmentHead(NamedTuple):
    """The head of a segment: `start` is its position in the file, `length` the size of the payload, in bytes."""

    start: int
    number: int
    length: int


class Segments:
    """The intact segments of a file, by number. Each needs 16 bytes of memory; its payload is read on access."""

    def __init__(self, content: bytes | mmap, heads: Iterator[_SegmentHead], *, version: int) -> None:
        self._content, self._numbers, self._starts = content, array("Q"), array("Q")
        self._version = version
        for head in heads:
            self._numbers.append(head.number)
            self._starts.append(head.start)

    def count(self, start: int, stop: int) -> int:
        """The number of intact segments from number `start` to `stop`."""
        return bisect_left(self._numbers, stop) - bisect_left(self._numbers, start)

    def get(self, number: int) -> Segment | None:
        """Segment `number`, or None if it is lost."""
        i = bisect_left(self._numbers, number)
        if i == len(self._numbers) or self._numbers[i] != number:
            return None
        start = self._starts[i]
        _, _, length = SEGMENT_HEAD.unpack_from(self._content, start)
        _, content_crc = CHECKS.unpack_from(self._content, start + SEGMENT_HEAD.size)
        payload = self._content[start + SEGMENT_BYTES : start + SEGMENT_BYTES + length]
        return Segment(payload if self._version > 1 else _reordered(payload), content_crc)


class _OneSegment(Segments):
    """The segment of a brief file."""

    def __init__(self, payload: bytes, content_crc: int) -> None:
        self._only = Segment(payload, content_crc)

    def count(self, start: int, stop: int) -> int:
        return int(start <= 0 < stop)

    def get(self, number: int) -> Segment | None:
        return None if number else self._only


def _is_brief(version: int, form: int) -> bool:
    return version > 3 and bool(form & BRIEF)


def _reordered(payload: bytes) -> bytes:
    """A payload of version 1, whose words are little-endian, in the byte order of version 2."""
    words = array("I", payload + bytes(-len(payload) % 4))
    words.byteswap()
    return words.tobytes()


class Container:
    """The content of a compressed file, in memory or memory-mapped; `name` is the file in messages.

    Where the header is damaged, its copy is read; then only salvage gives the content.

    Raises:
        DataError: it is no compressed file, has another format version, is cut short or damaged, or its header claims
            more than its bytes can hold.
    """

    def __init__(self, content: bytes | mmap, name: str) -> None:
        self.content, self.name = content, name
        has_magic = self.content[: len(MAGIC)] == MAGIC
        body = self._intact_header(len(MAGIC), is_copy=False) if has_magic else None
        self._first = 0 if body is None else len(MAGIC) + _FIELDS.size + len(body)
        """The position of the first segment, or 0 if the header is damaged."""
        fields_at = len(MAGIC) if self._first else len(self.content) - _FIELDS.size
        if body is None:
            body = self._intact_header(fields_at, is_copy=True)
        if body is None:
            raise self._unreadable(has_magic=has_magic)
        fields = self.content[fields_at : fields_at + _FIELDS.size]
        self.version, form, _, _ = _FIELDS.unpack(fields)
        self.header = self._header(body, deflated=bool(form & DEFLATED))
        self._brief = _is_brief(self.version, form)
        # The copy of the header, if the file has one.
        self._seed, self._copy = (zlib.crc32(MAGIC + fields + body), body + fields) if self.version > 1 else (0, b"")

    @property
    def header_is_damaged(self) -> bool:
        """True if the header is that of the copy, because the first one is damaged."""
        return not self._first

    def _intact_header(self, fields_at: int, *, is_copy: bool) -> bytes | None:
        """The body of the header with its fields at this position, or None if it is not intact."""
        if not 0 <= fields_at <= len(self.content) - _FIELDS.size:
            return None
        fields = self.content[fields_at : fields_at + _FIELDS.size]
        version, form, length, _ = _FIELDS.unpack(fields)
        start = fields_at - length if is_copy else fields_at + _FIELDS.size
        if not 1 + is_copy <= version <= VERSION or start < 0 or length > MAX_HEADER_BYTES:
            return None
        body, brief = self.content[start : start + length], None
        if _is_brief(version, form):
            if is_copy or len(self.content) - start - length > MAX_SEGMENT_BYTES:
                return None
            brief = self.content[start + length :]
        found = pack_fields(body, deflated=bool(form & DEFLATED), brief=brief, version=version)
        return body if found == fields else None

    def _unreadable(self, *, has_magic: bool) -> DataError:
        if bytes(self.content[: len(PAIR_MAGIC)]) == PAIR_MAGIC:
            return DataError(f"{self.name} is the file of a pair; decompress it with the run of pairs that made it.")
        if not has_magic or len(self.content) < len(MAGIC) + _FIELDS.size:
            return DataError(
                f"{self.name} was not written by `codeword compress`, or its beginning is missing; check the path."
            )
        version, form = self.content[len(MAGIC)], self.content[len(MAGIC) + 1]
        if not 1 <= version <= VERSION:
            return DataError(
                f"{self.name} has format version {version}, and this version of Codeword reads 1 to {VERSION}; update "
                f"Codeword."
            )
        if _is_brief(version, form):
            return DataError(f"{self.name} is damaged or cut short, or has bytes after its end; copy it again.")
        return DataError(f"{self.name} cannot be read, because its header is damaged; copy it again.")

    def _header(self, body: bytes, *, deflated: bool) -> Header:
        try:
            if deflated:
                inflate, max_bytes = zlib.decompressobj(), min(MAX_HEADER_BYTES, MAX_DEFLATE_RATIO * len(body))
                # One byte more, because zlib detects the end of the data only after the last byte.
                body = inflate.decompress(body, max_bytes + 1)
                if not inflate.eof or len(body) > max_bytes:
                    raise ValueError(f"it would unpack to more than {max_bytes:,} bytes")
            header = msgspec.msgpack.decode(body, type=Header)
        except (ValueError, zlib.error) as error:  # msgspec's own errors are ValueErrors.
            raise DataError(f"{self.name} has an invalid header ({error}); copy it again.") from error
        return header

    def segments(self, count: int, *, salvage: bool = False) -> Segments:
        """The `count` segments, checked, but not decoded; with `salvage` the intact ones of them.

        Raises:
            DataError: without `salvage`, the file is not exactly as it was written.
        """
        if self._brief:
            if count != 1:
                raise DataError(
                    f"{self.name} claims {count:,} segments, but has the form of a file of one; Codeword did not "
                    f"write it."
                )
            return _OneSegment(self.content[self._first :], self.header.content_crc)
        return Segments(
            self.content,
            self._intact_segments(count) if salvage else self._consecutive_segments(count),
            version=self.version,
        )

    def _consecutive_segments(self, count: int) -> Iterator[_SegmentHead]:
        """All segments, each directly after the one before it. Raises DataError."""
        if not self._first:
            raise DataError(
                f"{self.name} is damaged in its header, of which a copy is intact; copy it again, or salvage its "
                f"content."
            )
        if count * SEGMENT_BYTES > len(self.content):
            raise DataError(
                f"{self.name} claims {count:,} segments, more than its {len(self.content):,} bytes can hold; it is "
                f"cut short, copy it again, or salvage the rest."
            )
        position = self._first
        for number in range(count):
            head = self._head(position)
            if head is None or head.number != number or not self._is_intact(head):
                raise DataError(
                    f"{self.name} is damaged or cut short at segment {number + 1} of {count}; copy it "
                    f"again, or salvage the rest."
                )
            position += SEGMENT_BYTES + head.length
            yield head
        has_copy = self.version > 3 or count > 1 or len(self.header.entries) > 1
        copy = self._copy if has_copy else b""
        if len(self.content) - position != len(copy) or self.content[position:] != copy:
            raise DataError(
                f"{self.name} is damaged or cut short after its last segment, or has bytes after its end; copy it "
                f"again, or salvage its content, which is intact."
            )

    def _intact_segments(self, count: int) -> Iterator[_SegmentHead]:
        """The intact segments, found by a search for the sync bytes after each damaged one."""
        position, budget, expected = self._first, _SALVAGE_READS * len(self.content), 0
        while position >= 0 and budget >= 0:
            head = self._head(position)
            if head is not None and self._is_intact(head):
                # Only a forged file repeats segments or numbers them beyond the end.
                if expected <= head.number < count:
                    yield head
                    expected = head.number + 1
                position += SEGMENT_BYTES + head.length
            else:
                budget -= 0 if head is None else head.length
                position = self.content.find(SYNC, position + 1)

    def _head(self, position: int) -> _SegmentHead | None:
        """The head of a segment at `position`, or None if its fields are impossible."""
        rest = len(self.content) - position - SEGMENT_BYTES
        if rest < 0:
            return None
        sync, number, length = SEGMENT_HEAD.unpack_from(self.content, position)
        if sync != SYNC or length > min(MAX_SEGMENT_BYTES, rest):
            return None
        return _SegmentHead(position, number, length)

    def _is_intact(self, head: _SegmentHead) -> bool:
        checks, payload = head.start + SEGMENT_HEAD.size, head.start + SEGMENT_BYTES
        found, _ = CHECKS.unpack_from(self.content, checks)
        crc = zlib.crc32(self.content[head.start : checks], self._seed)
        if self.version > 1:
            crc = zlib.crc32(self.content[checks + 4 : payload], crc)
        return bool(found == zlib.crc32(self.content[payload : payload + head.length], crc))
