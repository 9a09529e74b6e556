"""The file format: a header that names the model, and segments that can be lost one by one.

    prefix   magic (8), format version (1), 1 if the header is deflated (1), its length (4), CRC-32 of the prefix so
             far and of the header (4)
    header   a MessagePack array, the fields of `Header`
    segments each: sync (2), number (4), length (4), CRC-32 of these and the payload (4), CRC-32 of the codes and values
             that the payload decodes to (4), payload

Numbers are little-endian. Every claimed size is checked against the bytes of the file before memory is allocated.
"""

import struct
import zlib
from collections.abc import Iterator
from itertools import repeat
from math import prod
from mmap import mmap
from typing import Annotated, BinaryIO, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from codeword.errors import DataError
from codeword.media.images import MAX_PIXELS

MAGIC = b"\x93CWORD\r\n"
VERSION = 1
FINGERPRINT_BYTES = 16
MAX_HEADER_BYTES = 1 << 26
MAX_SEGMENT_BYTES = 1 << 24
MAX_DEFLATE_RATIO = 16
"""Largest ratio between the sizes of the plain and the deflated header. Names and sizes never reach it; a larger ratio
is a decompression bomb."""
MAX_CLAIMED_RATIO = 64
"""Largest ratio, in salvaging, between the number of claimed segments and the number that fits into the file."""

_PREFIX = struct.Struct("<8sBBI")
_CRC = struct.Struct("<I")
_SYNC = b"\xd7\x5a"
_SEGMENT = struct.Struct("<2sII")
_CHECKS = struct.Struct("<II")
SEGMENT_BYTES = _SEGMENT.size + _CHECKS.size

# Salvaging stops when the damaged payloads that it has read together exceed this many times the size of the file.
_SALVAGE_READS = 16

Count = Annotated[int, Meta(ge=1, le=1 << 40)]
Coder = Literal["uniform", "histogram", "prior"]


class Entry(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One signal of the file: its name, its size *S, and `grey`, which is True if all its channels are equal."""

    name: Annotated[str, Meta(max_length=4096)]
    size: Annotated[tuple[Count, ...], Meta(min_length=1, max_length=3)]
    grey: bool


class Header(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Header of a compressed file: all parameters of decoding except the model.

    `fingerprint` is the beginning of the model's fingerprint, `codes` the number of codes of each cell in the file,
    `label` the class that conditions prior and decoder, `sample_rate` is in Hz, `tables` are the weights of the
    histogram coder.
    """

    fingerprint: Annotated[bytes, Meta(min_length=FINGERPRINT_BYTES, max_length=FINGERPRINT_BYTES)]
    coder: Coder
    lossless: bool
    codes: Annotated[int, Meta(ge=1, le=64)]
    label: Annotated[int, Meta(ge=0, le=1 << 20)] | None
    sample_rate: Annotated[int, Meta(ge=1, le=1 << 20)] | None
    entries: Annotated[tuple[Entry, ...], Meta(min_length=1)]
    tables: bytes = b""


def write_header(out: BinaryIO, header: Header) -> int:
    """Write the header. Returns its size in bytes."""
    plain = msgspec.msgpack.encode(header)
    deflated = zlib.compress(plain, 9)
    body = deflated if len(deflated) < len(plain) <= MAX_DEFLATE_RATIO * len(deflated) else plain
    prefix = _PREFIX.pack(MAGIC, VERSION, body is deflated, len(body))
    return out.write(prefix + _CRC.pack(zlib.crc32(body, zlib.crc32(prefix))) + body)


class Segment(NamedTuple):
    """Payload of a segment, and the CRC-32 of the codes and values that are coded in it."""

    payload: bytes
    content_crc: int


def write_segment(out: BinaryIO, number: int, segment: Segment) -> int:
    """Write one segment. Returns its size in bytes."""
    head = _SEGMENT.pack(_SYNC, number, len(segment.payload))
    checks = _CHECKS.pack(zlib.crc32(segment.payload, zlib.crc32(head)), segment.content_crc)
    return out.write(head + checks + segment.payload)


class _SegmentHead(NamedTuple):
    """The head of a segment: `start` is its position in the file, `length` the size of the payload, in bytes."""

    start: int
    number: int
    length: int
    content_crc: int


class Container:
    """The content of a compressed file, in memory or memory-mapped; `name` is the file in messages.

    Raises:
        DataError: it is no compressed file, has another format version, is cut short or damaged, or its header claims
            more than its bytes can hold.
    """

    def __init__(self, content: bytes | mmap, name: str) -> None:
        self.content, self.name = content, name
        start = _PREFIX.size + _CRC.size
        if len(self.content) < start or self.content[: len(MAGIC)] != MAGIC:
            raise DataError(
                f"{name} was not written by `codeword compress`, or its beginning is missing; check the path."
            )
        _, version, deflated, length = _PREFIX.unpack_from(self.content)
        if version != VERSION:
            raise DataError(
                f"{name} has format version {version}, and this version of Codeword reads {VERSION}; update Codeword."
            )
        body = self.content[start : start + length]
        (check,) = _CRC.unpack_from(self.content, _PREFIX.size)
        if check != zlib.crc32(body, zlib.crc32(self.content[: _PREFIX.size])) or len(body) != length:
            raise DataError(f"{name} cannot be read, because its header is damaged; copy it again.")
        self.header = self._header(body, deflated=bool(deflated))
        self._first = start + length

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
        if any(len(e.size) > 1 and prod(e.size) > MAX_PIXELS for e in header.entries):
            raise DataError(f"{self.name} claims an image of more than {MAX_PIXELS:,} pixels; refused.")
        return header

    def segments(self, count: int, *, salvage: bool = False) -> Iterator[Segment | None]:
        """The `count` segments in order. A damaged segment raises DataError; with `salvage` it is None instead."""
        if count * SEGMENT_BYTES > len(self.content) * (MAX_CLAIMED_RATIO if salvage else 1):
            raise DataError(
                f"{self.name} claims {count:,} segments, more than its {len(self.content):,} bytes can hold; it is "
                f"cut short, copy it again."
            )
        return self._segments(count, self._intact_segments() if salvage else self._consecutive_segments(count))

    def _segments(self, count: int, heads: Iterator[_SegmentHead]) -> Iterator[Segment | None]:
        expected = 0
        for start, number, length, crc in heads:
            if not expected <= number < count:
                continue  # Only a forged file repeats segments or numbers them beyond the end.
            yield from repeat(None, number - expected)
            payload = start + SEGMENT_BYTES
            yield Segment(self.content[payload : payload + length], crc)
            expected = number + 1
        yield from repeat(None, count - expected)

    def _consecutive_segments(self, count: int) -> Iterator[_SegmentHead]:
        """All segments, each directly after the one before it. Raises DataError."""
        position = self._first
        for number in range(count):
            head = self._head(position)
            if head is None or head.number != number or not self._is_intact(head):
                raise DataError(
                    f"{self.name} is damaged or cut short at segment {number + 1} of {count}; copy it "
                    f"again, or salvage the rest."
                )
            position += SEGMENT_BYTES + head.length
            if number == count - 1 and position != len(self.content):
                raise DataError(f"{self.name} has bytes after its end, so Codeword did not write it; copy it again.")
            yield head

    def _intact_segments(self) -> Iterator[_SegmentHead]:
        """The intact segments, found by a search for the sync bytes after each damaged one."""
        position, budget = self._first, _SALVAGE_READS * len(self.content)
        while position >= 0 and budget >= 0:
            head = self._head(position)
            if head is not None and self._is_intact(head):
                yield head
                position += SEGMENT_BYTES + head.length
            else:
                budget -= 0 if head is None else head.length
                position = self.content.find(_SYNC, position + 1)

    def _head(self, position: int) -> _SegmentHead | None:
        """The head of a segment at `position`, or None if its fields are impossible."""
        rest = len(self.content) - position - SEGMENT_BYTES
        if rest < 0:
            return None
        sync, number, length = _SEGMENT.unpack_from(self.content, position)
        _, crc = _CHECKS.unpack_from(self.content, position + _SEGMENT.size)
        if sync != _SYNC or length > min(MAX_SEGMENT_BYTES, rest):
            return None
        return _SegmentHead(position, number, length, crc)

    def _is_intact(self, head: _SegmentHead) -> bool:
        checks, payload = head.start + _SEGMENT.size, head.start + SEGMENT_BYTES
        crc, _ = _CHECKS.unpack_from(self.content, checks)
        head_crc = zlib.crc32(self.content[head.start : checks])
        return bool(crc == zlib.crc32(self.content[payload : payload + head.length], head_crc))
