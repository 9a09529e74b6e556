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
MOST_INFLATED = 16
"""Limit of a deflated header's growth: names and sizes do not deflate further, decompression bombs do."""
MOST_LOST = 64
"""Limit of claimed segments over those that the file could hold, when the rest of a cut file is salvaged."""

_PREFIX = struct.Struct("<8sBBI")
_CRC = struct.Struct("<I")
_SYNC = b"\xd7\x5a"
_SEGMENT = struct.Struct("<2sII")
_CHECKS = struct.Struct("<II")
SEGMENT_BYTES = _SEGMENT.size + _CHECKS.size

# The search for the next intact segment after a damaged one reads at most this many times the file.
_SALVAGE_READS = 16

Count = Annotated[int, Meta(ge=1, le=1 << 40)]
Coder = Literal["uniform", "histogram", "prior"]


class Entry(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One signal of the file: its size *S, and True for `grey` if all its channels are equal."""

    name: Annotated[str, Meta(max_length=4096)]
    size: Annotated[tuple[Count, ...], Meta(min_length=1, max_length=3)]
    grey: bool


class Header(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Everything that reading needs besides the model, whose fingerprint begins with `fingerprint`.

    `codes` is the number of codes of each cell in the file, `label` the class that conditions prior and decoder,
    `sample_rate` is in Hz, `tables` are the weights of the histogram coder.
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
    """Write the header; returns its bytes."""
    plain = msgspec.msgpack.encode(header)
    deflated = zlib.compress(plain, 9)
    body = deflated if len(deflated) < len(plain) <= MOST_INFLATED * len(deflated) else plain
    prefix = _PREFIX.pack(MAGIC, VERSION, body is deflated, len(body))
    return out.write(prefix + _CRC.pack(zlib.crc32(body, zlib.crc32(prefix))) + body)


class Segment(NamedTuple):
    """Payload of a segment, and the CRC-32 of the codes and values it decodes to."""

    payload: bytes
    content_crc: int


def write_segment(out: BinaryIO, number: int, segment: Segment) -> int:
    """Write one segment; returns its bytes."""
    head = _SEGMENT.pack(_SYNC, number, len(segment.payload))
    checks = _CHECKS.pack(zlib.crc32(segment.payload, zlib.crc32(head)), segment.content_crc)
    return out.write(head + checks + segment.payload)


class _SegmentPlace(NamedTuple):
    """A segment as its head describes it; `start` is the position of the head in the file."""

    start: int
    number: int
    length: int
    content_crc: int


class Container:
    """A compressed file in memory, or mapped into it; `place` names it in errors.

    Raises:
        DataError: it is not such a file, has another format version, is cut short or damaged, or claims too much.
    """

    def __init__(self, content: bytes | mmap, place: str) -> None:
        self.content, self.place = content, place
        start = _PREFIX.size + _CRC.size
        if len(self.content) < start or self.content[: len(MAGIC)] != MAGIC:
            raise DataError(
                f"{place} is not a file that `codeword compress` wrote, or its beginning is missing; check the path."
            )
        _, version, deflated, length = _PREFIX.unpack_from(self.content)
        if version != VERSION:
            raise DataError(
                f"{place} has format version {version}, and this version of Codeword reads {VERSION}; update Codeword."
            )
        body = self.content[start : start + length]
        (check,) = _CRC.unpack_from(self.content, _PREFIX.size)
        if check != zlib.crc32(body, zlib.crc32(self.content[: _PREFIX.size])) or len(body) != length:
            raise DataError(f"{place} has a damaged header, without which nothing can be read; copy it again.")
        self.header = self._header(body, deflated=bool(deflated))
        self._first = start + length

    def _header(self, body: bytes, *, deflated: bool) -> Header:
        try:
            if deflated:
                inflate, most = zlib.decompressobj(), min(MAX_HEADER_BYTES, MOST_INFLATED * len(body))
                # One byte of room, for the end is only seen behind the last.
                body = inflate.decompress(body, most + 1)
                if not inflate.eof or len(body) > most:
                    raise ValueError(f"it would unpack to more than {most:,} bytes")
            header = msgspec.msgpack.decode(body, type=Header)
        except (ValueError, zlib.error) as error:  # msgspec's own errors are ValueErrors.
            raise DataError(f"{self.place} has an invalid header ({error}); copy it again.") from error
        if any(len(e.size) > 1 and prod(e.size) > MAX_PIXELS for e in header.entries):
            raise DataError(f"{self.place} claims an image of more than {MAX_PIXELS:,} pixels; refused.")
        return header

    def segments(self, count: int, *, salvage: bool = False) -> Iterator[Segment | None]:
        """The `count` segments in order; with `salvage` None for a damaged one, otherwise that raises DataError."""
        if count * SEGMENT_BYTES > len(self.content) * (MOST_LOST if salvage else 1):
            raise DataError(
                f"{self.place} claims {count:,} segments, more than its {len(self.content):,} bytes can hold; it is "
                f"cut short, copy it again."
            )
        return self._segments(count, self._intact_segments() if salvage else self._consecutive_segments(count))

    def _segments(self, count: int, places: Iterator[_SegmentPlace]) -> Iterator[Segment | None]:
        expected = 0
        for place, number, length, crc in places:
            if not expected <= number < count:
                continue  # Only a forged file repeats segments or numbers them beyond the end.
            yield from repeat(None, number - expected)
            start = place + SEGMENT_BYTES
            yield Segment(self.content[start : start + length], crc)
            expected = number + 1
        yield from repeat(None, count - expected)

    def _consecutive_segments(self, count: int) -> Iterator[_SegmentPlace]:
        place = self._first
        for number in range(count):
            found = self._claim(place)
            if found is None or found.number != number or not self._is_intact(found):
                raise DataError(
                    f"{self.place} is damaged or cut short at segment {number + 1} of {count}; copy it "
                    f"again, or salvage the rest."
                )
            place += SEGMENT_BYTES + found.length
            if number == count - 1 and place != len(self.content):
                raise DataError(f"{self.place} has bytes after its end, so Codeword did not write it; copy it again.")
            yield found

    def _intact_segments(self) -> Iterator[_SegmentPlace]:
        """Every intact segment that starts with the sync bytes."""
        place, budget = self._first, _SALVAGE_READS * len(self.content)
        while place >= 0 and budget >= 0:
            found = self._claim(place)
            if found is not None and self._is_intact(found):
                yield found
                place += SEGMENT_BYTES + found.length
            else:
                budget -= 0 if found is None else found.length
                place = self.content.find(_SYNC, place + 1)

    def _claim(self, place: int) -> _SegmentPlace | None:
        """The segment at `place` as its head describes it, None if that is impossible."""
        if place + SEGMENT_BYTES > len(self.content):
            return None
        sync, number, length = _SEGMENT.unpack_from(self.content, place)
        _, crc = _CHECKS.unpack_from(self.content, place + _SEGMENT.size)
        room = len(self.content) - place - SEGMENT_BYTES
        if sync != _SYNC or length > min(MAX_SEGMENT_BYTES, room):
            return None
        return _SegmentPlace(place, number, length, crc)

    def _is_intact(self, found: _SegmentPlace) -> bool:
        head, (check, _) = (found.start + _SEGMENT.size, _CHECKS.unpack_from(self.content, found.start + _SEGMENT.size))
        start = found.start + SEGMENT_BYTES
        payload = self.content[start : start + found.length]
        return bool(check == zlib.crc32(payload, zlib.crc32(self.content[found.start : head])))
