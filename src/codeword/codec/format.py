"""The file: a header that says whose codes these are, and segments that each stand or fall alone.

    prefix   magic (8), format version (1), whether the header is deflated (1), its length (4), CRC-32 of all this but
             itself and of the header (4)
    header   a MessagePack array, the fields of `Header`
    segments each: sync (2), number (4), length (4), CRC-32 of these and the payload (4), CRC-32 of what it says (4),
             payload

Numbers are little-endian. Nothing is allocated for a claim that the bytes at hand do not bear out.
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
"""How many times its bytes a deflated header may have: names and sizes do not shrink further, and bombs do."""
MOST_LOST = 64
"""How many times the segments that a file could hold it may claim, if what is left of it is to be saved."""

_PREFIX = struct.Struct("<8sBBI")
_CRC = struct.Struct("<I")
_SYNC = b"\xd7\x5a"
_SEGMENT = struct.Struct("<2sII")
_CHECKS = struct.Struct("<II")
SEGMENT_BYTES = _SEGMENT.size + _CHECKS.size

# Looking for the next whole segment behind a damaged one reads no more than this many times the file.
_SALVAGE_READS = 16

Count = Annotated[int, Meta(ge=1, le=1 << 40)]
Coder = Literal["uniform", "histogram", "prior"]


class Entry(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One signal of the file: its size *S, and whether it was grey, all channels alike."""

    name: Annotated[str, Meta(max_length=4096)]
    size: Annotated[tuple[Count, ...], Meta(min_length=1, max_length=2)]
    grey: bool


class Header(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Everything that reading needs beside the model, whose fingerprint begins with `fingerprint`.

    `codes` is how many of a cell's codes are there, `label` the class that prior and decoder are told, `sample_rate` in
    Hz, `tables` the weights of the histogram coder.
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
    """Returns how many bytes were written."""
    plain = msgspec.msgpack.encode(header)
    deflated = zlib.compress(plain, 9)
    body = deflated if len(deflated) < len(plain) <= MOST_INFLATED * len(deflated) else plain
    prefix = _PREFIX.pack(MAGIC, VERSION, body is deflated, len(body))
    return out.write(prefix + _CRC.pack(zlib.crc32(body, zlib.crc32(prefix))) + body)


class Segment(NamedTuple):
    """What a segment holds, and the CRC-32 of what that says."""

    payload: bytes
    meaning: int


def write_segment(out: BinaryIO, number: int, segment: Segment) -> int:
    """Returns how many bytes were written."""
    head = _SEGMENT.pack(_SYNC, number, len(segment.payload))
    checks = _CHECKS.pack(zlib.crc32(segment.payload, zlib.crc32(head)), segment.meaning)
    return out.write(head + checks + segment.payload)


class _Found(NamedTuple):
    place: int
    number: int
    length: int
    meaning: int


class Container:
    """A file of ours in memory, or mapped into it; `place` names it in errors.

    Raises:
        DataError: it is no file of ours, of another version, cut short or damaged, or claims what cannot be.
    """

    def __init__(self, content: bytes | mmap, place: str) -> None:
        self.content, self.place = content, place
        start = _PREFIX.size + _CRC.size
        if len(self.content) < start or self.content[: len(MAGIC)] != MAGIC:
            raise DataError(
                f"{place} is not a file that `codeword compress` wrote, or it lacks its beginning; check the path."
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
            raise DataError(f"{self.place} has a header that cannot be ({error}); copy it again.") from error
        if any(len(e.size) == 2 and prod(e.size) > MAX_PIXELS for e in header.entries):
            raise DataError(f"{self.place} claims an image of more than {MAX_PIXELS:,} pixels; refused.")
        return header

    def segments(self, count: int, *, salvage: bool = False) -> Iterator[Segment | None]:
        """The `count` segments in order, with `salvage` None for each that is damaged. Else raises DataError."""
        if count * SEGMENT_BYTES > len(self.content) * (MOST_LOST if salvage else 1):
            raise DataError(
                f"{self.place} claims {count:,} segments, more than its {len(self.content):,} bytes can hold; it is "
                f"cut short, copy it again."
            )
        return self._segments(count, self._whole_segments() if salvage else self._consecutive_segments(count))

    def _segments(self, count: int, places: Iterator[_Found]) -> Iterator[Segment | None]:
        expected = 0
        for place, number, length, meaning in places:
            if not expected <= number < count:
                continue  # Only a file that was put together by hand repeats or invents segments.
            yield from repeat(None, number - expected)
            start = place + SEGMENT_BYTES
            yield Segment(self.content[start : start + length], meaning)
            expected = number + 1
        yield from repeat(None, count - expected)

    def _consecutive_segments(self, count: int) -> Iterator[_Found]:
        place = self._first
        for number in range(count):
            found = self._claim(place)
            if found is None or found.number != number or not self._is_whole(found):
                raise DataError(
                    f"{self.place} is damaged or cut short at segment {number + 1} of {count}; copy it "
                    f"again, or save the rest with --salvage."
                )
            place += SEGMENT_BYTES + found.length
            if number == count - 1 and place != len(self.content):
                raise DataError(f"{self.place} goes on after its end, so Codeword did not write it; copy it again.")
            yield found

    def _whole_segments(self) -> Iterator[_Found]:
        """Wherever the sync bytes stand before a segment that is whole."""
        place, budget = self._first, _SALVAGE_READS * len(self.content)
        while place >= 0 and budget >= 0:
            found = self._claim(place)
            if found is not None and self._is_whole(found):
                yield found
                place += SEGMENT_BYTES + found.length
            else:
                budget -= 0 if found is None else found.length
                place = self.content.find(_SYNC, place + 1)

    def _claim(self, place: int) -> _Found | None:
        """What the segment at `place` says of itself, if it can be."""
        if place + SEGMENT_BYTES > len(self.content):
            return None
        sync, number, length = _SEGMENT.unpack_from(self.content, place)
        _, meaning = _CHECKS.unpack_from(self.content, place + _SEGMENT.size)
        room = len(self.content) - place - SEGMENT_BYTES
        return (
            None if sync != _SYNC or length > min(MAX_SEGMENT_BYTES, room) else _Found(place, number, length, meaning)
        )

    def _is_whole(self, found: _Found) -> bool:
        head, (check, _) = (found.place + _SEGMENT.size, _CHECKS.unpack_from(self.content, found.place + _SEGMENT.size))
        start = found.place + SEGMENT_BYTES
        payload = self.content[start : start + found.length]
        return bool(check == zlib.crc32(payload, zlib.crc32(self.content[found.place : head])))
