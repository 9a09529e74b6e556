"""The file format: a header that names the model, segments that can be lost one by one, and a copy of the header.

    magic    8 bytes, equal in all files
    fields   format version (1), 1 if the header is deflated (1), its length (4), CRC-32 of magic, the fields so far and
             the header (4)
    header   a MessagePack array, the fields of `Header`
    segments each: sync (2), number (4), length (4), CRC-32 (4), CRC-32 of the content (4), payload
    copy     the header and then the fields once more, so that they are found from the end of the file; a file of one
             signal in one segment has none, because it is lost with that segment anyway

The first segments hold the codes of all signals, and in a lossless file also the values; their content is what the
payload decodes to. After them comes one segment for each signal with side data, a MessagePack map that is its own
content. The CRC-32 of a segment is that of magic, fields, header and the whole segment without this CRC, so a segment
of another file, or one at another place, counts as damaged. The header holds a CRC of the content of all segments,
because otherwise two signals of one name and size could have the same header. So damage is always found before
anything is decoded, and an intact segment whose content differs was written on a machine that computes other numbers.

Version 1 has no copy of the header and no side data, and the CRC-32 of its segments is that of sync, number, length
and payload. Version 2 is the same as version 3, but codes under a prior are coded with other probabilities.

Numbers are little-endian. Every claimed size is checked against the bytes of the file before memory is allocated.
"""

import struct
import tempfile
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from mmap import mmap
from typing import IO, Annotated, Any, BinaryIO, Literal, NamedTuple, Self, cast

import msgspec
from msgspec import Meta, Struct

from codeword.errors import DataError, UsageError

MAGIC = b"\x93CWORD\r\n"
VERSION = 3
FINGERPRINT_BYTES = 16
MAX_HEADER_BYTES = 1 << 26
MAX_SEGMENT_BYTES = 1 << 24
MAX_DEFLATE_RATIO = 16
"""Largest ratio between the sizes of the plain and the deflated header. Names and sizes never reach it; a larger ratio
is a decompression bomb."""

_FIELDS = struct.Struct("<BBII")
_CHECKED_FIELDS = struct.Struct("<BBI")
_SYNC = b"\xd7\x5a"
_SEGMENT = struct.Struct("<2sII")
_CHECKS = struct.Struct("<II")
SEGMENT_BYTES = _SEGMENT.size + _CHECKS.size
_SPOOLED_BYTES = 1 << 26

# Salvaging stops when the damaged payloads that it has read together exceed this many times the size of the file.
_SALVAGE_READS = 16

Count = Annotated[int, Meta(ge=1, le=1 << 40)]
Coder = Literal["uniform", "histogram", "prior"]

Side = Annotated[dict[Annotated[str, Meta(min_length=1, max_length=64)], bytes], Meta(min_length=1, max_length=64)]
"""Side data of a signal: bytes by name that a medium keeps next to its values, for example a colour profile. They are
stored as they are, at most `MAX_SEGMENT_BYTES` of them for each signal."""


class Entry(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One signal of the file: its name, its size *S, `grey`, which is True if all its channels are equal, and
    `has_side`, which is True if it has side data.
    """

    name: Annotated[str, Meta(max_length=4096)]
    size: Annotated[tuple[Count, ...], Meta(min_length=1, max_length=3)]
    grey: bool
    has_side: bool = False


class Header(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Header of a compressed file: all parameters of decoding except the model.

    `fingerprint` is the beginning of the model's fingerprint, `codes` the number of codes of each cell in the file,
    `label` the class that conditions prior and decoder, `sample_rate` is in Hz, `tables` are the weights of the
    histogram coder. `content_crc` is the CRC-32 of the CRCs of the content of all segments.
    """

    fingerprint: Annotated[bytes, Meta(min_length=FINGERPRINT_BYTES, max_length=FINGERPRINT_BYTES)]
    coder: Coder
    lossless: bool
    codes: Annotated[int, Meta(ge=1, le=64)]
    label: Annotated[int, Meta(ge=0, le=1 << 20)] | None
    sample_rate: Annotated[int, Meta(ge=1, le=1 << 20)] | None
    entries: Annotated[tuple[Entry, ...], Meta(min_length=1)]
    tables: bytes = b""
    content_crc: Annotated[int, Meta(ge=0, lt=1 << 32)] = 0


class Segment(NamedTuple):
    """Payload of a segment, and the CRC-32 of its content."""

    payload: bytes
    content_crc: int


def pack_side(side: Side, name: str) -> Segment:
    """The segment of the side data of the signal `name`. Raises UsageError."""
    payload = _packed(side, Side, f"The side data of {name}")
    if len(payload) > MAX_SEGMENT_BYTES:
        raise UsageError(
            f"The side data of {name} has {len(payload):,} bytes, and at most {MAX_SEGMENT_BYTES:,} can be stored; "
            f"give less of it."
        )
    return Segment(payload, zlib.crc32(payload))


def _packed(value: object, of: Any, noun: str) -> bytes:
    """A value as MessagePack. Raises UsageError if it could not be read again, as one of this type."""
    packed = msgspec.msgpack.encode(value)
    try:
        msgspec.msgpack.decode(packed, type=of)
    except msgspec.ValidationError as error:
        raise UsageError(f"{noun} cannot be stored ({error}); change them.") from error
    return packed


def unpack_side(segment: Segment, name: str) -> Side:
    """The side data in a segment of `pack_side`; `name` is the file in messages. Raises DataError."""
    try:
        return msgspec.msgpack.decode(segment.payload, type=Side)
    except ValueError as error:  # msgspec's own errors are ValueErrors.
        raise DataError(f"{name} has invalid side data ({error}); Codeword did not write it.") from error


class FileWriter:
    """Writer of a compressed file. It keeps the segments in a temporary file until the header is known, because their
    CRCs depend on the header.
    """

    def __init__(self) -> None:
        self._kept = cast(BinaryIO, tempfile.SpooledTemporaryFile(_SPOOLED_BYTES))  # noqa: SIM115
        self._count = self._content_crc = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def add(self, segment: Segment) -> None:
        """Append a segment."""
        self._kept.write(_CHECKS.pack(len(segment.payload), segment.content_crc) + segment.payload)
        self._content_crc = zlib.crc32(segment.content_crc.to_bytes(4, "little"), self._content_crc)
        self._count += 1

    def finish(self, out: IO[bytes], header: Header) -> tuple[int, int]:
        """Write the file, with the CRC of the content in its header. Returns its size in bytes, and the part of it for
        the headers and the segment heads. Raises UsageError if the header is too large; then nothing was written.
        """
        fields, body = _pack_header(msgspec.structs.replace(header, content_crc=self._content_crc))
        size = overhead = out.write(MAGIC + fields + body)
        seed = zlib.crc32(MAGIC + fields + body)
        self._kept.seek(0)
        for number in range(self._count):
            length, content_crc = _CHECKS.unpack(self._kept.read(_CHECKS.size))
            size += out.write(pack_segment(number, Segment(self._kept.read(length), content_crc), seed))
            overhead += SEGMENT_BYTES
        copied = out.write(body + fields) if _has_copy(header, self._count) else 0
        return size + copied, overhead + copied


def _has_copy(header: Header, segments: int) -> bool:
    return segments > 1 or len(header.entries) > 1


def pack_segment(number: int, segment: Segment, seed: int) -> bytes:
    """The bytes of segment `number` of the file whose magic, fields and header have the CRC-32 `seed`."""
    head, content_crc = _SEGMENT.pack(_SYNC, number, len(segment.payload)), segment.content_crc.to_bytes(4, "little")
    crc = zlib.crc32(segment.payload, zlib.crc32(head + content_crc, seed))
    return head + crc.to_bytes(4, "little") + content_crc + segment.payload


def _pack_header(header: Header) -> tuple[bytes, bytes]:
    """The fields of a header and its body. Raises UsageError if it could not be read again."""
    plain = _packed(header, Header, "The names and sizes of these signals")
    if len(plain) > MAX_HEADER_BYTES:
        raise UsageError(
            f"The names and sizes of {len(header.entries):,} signals need {len(plain):,} bytes, and a file can hold "
            f"{MAX_HEADER_BYTES:,}; compress them to several files."
        )
    deflated = zlib.compress(plain, 9)
    body = deflated if len(deflated) < len(plain) <= MAX_DEFLATE_RATIO * len(deflated) else plain
    return pack_fields(body, deflated=body is deflated), body


def pack_fields(body: bytes, *, deflated: bool, version: int = VERSION) -> bytes:
    """The fields before the body of a header."""
    checked = _CHECKED_FIELDS.pack(version, deflated, len(body))
    return checked + zlib.crc32(body, zlib.crc32(MAGIC + checked)).to_bytes(4, "little")


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
        _, _, length = _SEGMENT.unpack_from(self._content, start)
        _, content_crc = _CHECKS.unpack_from(self._content, start + _SEGMENT.size)
        payload = self._content[start + SEGMENT_BYTES : start + SEGMENT_BYTES + length]
        return Segment(payload if self._version > 1 else _reordered(payload), content_crc)


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
        self.version, deflated, _, _ = _FIELDS.unpack(fields)
        # The copy of the header, if the file has one.
        self._seed, self._copy = (zlib.crc32(MAGIC + fields + body), body + fields) if self.version > 1 else (0, b"")
        self.header = self._header(body, deflated=bool(deflated))

    @property
    def header_is_damaged(self) -> bool:
        """True if the header is that of the copy, because the first one is damaged."""
        return not self._first

    def _intact_header(self, fields_at: int, *, is_copy: bool) -> bytes | None:
        """The body of the header with its fields at this position, or None if it is not intact."""
        if not 0 <= fields_at <= len(self.content) - _FIELDS.size:
            return None
        fields = self.content[fields_at : fields_at + _FIELDS.size]
        version, deflated, length, _ = _FIELDS.unpack(fields)
        start = fields_at - length if is_copy else fields_at + _FIELDS.size
        if not 1 + is_copy <= version <= VERSION or start < 0 or length > MAX_HEADER_BYTES:
            return None
        body = self.content[start : start + length]
        return body if pack_fields(body, deflated=deflated, version=version) == fields else None

    def _unreadable(self, *, has_magic: bool) -> DataError:
        if not has_magic or len(self.content) < len(MAGIC) + _FIELDS.size:
            return DataError(
                f"{self.name} was not written by `codeword compress`, or its beginning is missing; check the path."
            )
        version = self.content[len(MAGIC)]
        if not 1 <= version <= VERSION:
            return DataError(
                f"{self.name} has format version {version}, and this version of Codeword reads 1 to {VERSION}; update "
                f"Codeword."
            )
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
        copy = self._copy if _has_copy(self.header, count) else b""
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
                position = self.content.find(_SYNC, position + 1)

    def _head(self, position: int) -> _SegmentHead | None:
        """The head of a segment at `position`, or None if its fields are impossible."""
        rest = len(self.content) - position - SEGMENT_BYTES
        if rest < 0:
            return None
        sync, number, length = _SEGMENT.unpack_from(self.content, position)
        if sync != _SYNC or length > min(MAX_SEGMENT_BYTES, rest):
            return None
        return _SegmentHead(position, number, length)

    def _is_intact(self, head: _SegmentHead) -> bool:
        checks, payload = head.start + _SEGMENT.size, head.start + SEGMENT_BYTES
        found, _ = _CHECKS.unpack_from(self.content, checks)
        crc = zlib.crc32(self.content[head.start : checks], self._seed)
        if self.version > 1:
            crc = zlib.crc32(self.content[checks + 4 : payload], crc)
        return bool(found == zlib.crc32(self.content[payload : payload + head.length], crc))
