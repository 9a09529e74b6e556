"""The file format: a header that names the model, segments that can be lost one by one, and a copy of the header.

    magic    8 bytes, equal in all files
    fields   format version (1), form (1), length of the header (4), CRC-32 of magic, the fields so far and the header
             (4); the form is the sum of 1 if the header is deflated and 2 if the file is brief
    header   a MessagePack array, the fields of `Header`
    segments each: sync (2), number (4), length (4), CRC-32 (4), CRC-32 of the content (4), payload
    copy     the header and then the fields once more, so that they are found from the end of the file

A file of one signal in one segment is brief, because there is nothing to salvage: after the header comes the payload of
the segment alone, up to the end of the file. The CRC-32 in the fields then covers the payload too, and the header's CRC
of the content is that of the segment.

The first segments hold the codes of all signals, and in a lossless file also the values; their content is what the
payload decodes to. After them comes one segment for each signal with side data, a MessagePack map that is its own
content. The CRC-32 of a segment is that of magic, fields, header and the whole segment without this CRC, so a segment
of another file, or one at another place, counts as damaged. The header holds a CRC of the content of all segments,
because otherwise two signals of one name and size could have the same header. So damage is always found before
anything is decoded, and an intact segment whose content differs was written on a machine that computes other numbers.

Version 1 has no copy of the header and no side data, and the CRC-32 of its segments is that of sync, number, length
and payload. Version 2 is the same as version 3, but codes under a prior are coded with other probabilities.
Version 3 has no brief form: the file of one signal in one segment has a segment, but no copy of the header.
Version 5 is the same as version 4, but values are coded with other probabilities; a lossy file has version 4.

Numbers are little-endian. Every claimed size is checked against the bytes of the file before memory is allocated.
"""

import struct
import tempfile
import zlib
from collections.abc import Iterator
from typing import IO, Annotated, Any, BinaryIO, Literal, NamedTuple, Self, cast

import msgspec
from msgspec import Meta, Struct

from codeword.errors import DataError, UsageError

MAGIC = b"\x93CWORD\r\n"
PAIR_MAGIC = b"\x93CWPAIR\n"
"""The first bytes of the file of a pair (`codeword.codec.pair_format`)."""
VERSION = 5
_LOSSY_VERSION = 4
FINGERPRINT_BYTES = 8
MAX_HEADER_BYTES = 1 << 26
MAX_SEGMENT_BYTES = 1 << 24
MAX_DEFLATE_RATIO = 16
"""Largest ratio between the sizes of the plain and the deflated header. Names and sizes never reach it; a larger ratio
is a decompression bomb."""

_CHECKED_FIELDS = struct.Struct("<BBI")
DEFLATED, BRIEF = 1, 2
SYNC = b"\xd7\x5a"
SEGMENT_HEAD = struct.Struct("<2sII")
CHECKS = struct.Struct("<II")
SEGMENT_BYTES = SEGMENT_HEAD.size + CHECKS.size
_SPOOLED_BYTES = 1 << 26

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

    # Version 3 and earlier have 16 bytes of it.
    fingerprint: Annotated[bytes, Meta(min_length=FINGERPRINT_BYTES, max_length=16)]
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
        self._kept.write(CHECKS.pack(len(segment.payload), segment.content_crc) + segment.payload)
        self._content_crc = zlib.crc32(segment.content_crc.to_bytes(4, "little"), self._content_crc)
        self._count += 1

    def finish(self, out: IO[bytes], header: Header) -> tuple[int, int]:
        """Write the file, with the CRC of the content in its header. Returns its size in bytes, and the part of it for
        the headers and the segment heads. Raises UsageError if the header is too large; then nothing was written.
        """
        self._kept.seek(0)
        if self._count == len(header.entries) == 1:
            (segment,) = self._segments()
            fields, body = _pack_header(
                msgspec.structs.replace(header, content_crc=segment.content_crc), brief=segment.payload
            )
            size = out.write(MAGIC + fields + body + segment.payload)
            return size, size - len(segment.payload)
        fields, body = _pack_header(msgspec.structs.replace(header, content_crc=self._content_crc))
        size = out.write(MAGIC + fields + body)
        seed = zlib.crc32(MAGIC + fields + body)
        overhead = size + self._count * SEGMENT_BYTES + len(body + fields)
        for number, segment in enumerate(self._segments()):
            size += out.write(pack_segment(number, segment, seed))
        return size + out.write(body + fields), overhead

    def _segments(self) -> Iterator[Segment]:
        for _ in range(self._count):
            length, content_crc = CHECKS.unpack(self._kept.read(CHECKS.size))
            yield Segment(self._kept.read(length), content_crc)


def pack_segment(number: int, segment: Segment, seed: int) -> bytes:
    """The bytes of segment `number` of the file whose magic, fields and header have the CRC-32 `seed`."""
    head, content_crc = SEGMENT_HEAD.pack(SYNC, number, len(segment.payload)), segment.content_crc.to_bytes(4, "little")
    crc = zlib.crc32(segment.payload, zlib.crc32(head + content_crc, seed))
    return head + crc.to_bytes(4, "little") + content_crc + segment.payload


def _pack_header(header: Header, *, brief: bytes | None = None) -> tuple[bytes, bytes]:
    """The fields of a header and its body; `brief` is the payload of a brief file.

    Raises UsageError if it could not be read again.
    """
    plain = _packed(header, Header, "The names and sizes of these signals")
    if len(plain) > MAX_HEADER_BYTES:
        raise UsageError(
            f"The names and sizes of {len(header.entries):,} signals need {len(plain):,} bytes, and a file can hold "
            f"{MAX_HEADER_BYTES:,}; compress them to several files."
        )
    deflated = zlib.compress(plain, 9)
    body = deflated if len(deflated) < len(plain) <= MAX_DEFLATE_RATIO * len(deflated) else plain
    version = VERSION if header.lossless else _LOSSY_VERSION
    return pack_fields(body, deflated=body is deflated, brief=brief, version=version), body


def pack_fields(body: bytes, *, deflated: bool, version: int, brief: bytes | None = None) -> bytes:
    """The fields before the body of a header; `brief` is the payload of a brief file."""
    form = DEFLATED * deflated + BRIEF * (brief is not None)
    checked = _CHECKED_FIELDS.pack(version, form, len(body))
    return checked + zlib.crc32(brief or b"", zlib.crc32(body, zlib.crc32(MAGIC + checked))).to_bytes(4, "little")
