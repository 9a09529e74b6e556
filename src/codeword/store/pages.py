"""Sizes that the headers of a Parquet file claim, read before decompression.

pyarrow has no limit for them: it allocates memory for all values that a page header claims, so that 300 bytes become
gigabytes, and reading the columns of a forged footer can end the process. Therefore the headers are read here. They are
structs in Thrift's compact protocol, with numbered fields.
"""

import io
from typing import Any, NamedTuple

MAX_FOOTER_BYTES = 1 << 24

_MAGIC = b"PAR1"
_WRITER = b"parquet-cpp-arrow"

# Field numbers in parquet.thrift: of the footer, a row group, a column chunk, its metadata, a page and a data page.
_ROWS, _GROUPS, _CREATED_BY = 3, 4, 6
_COLUMNS, _GROUP_ROWS = 1, 3
_META = 3
_PATH, _COMPRESSED, _DATA_OFFSET, _DICTIONARY_OFFSET = 3, 7, 9, 11
_PAGE_UNPACKED, _PAGE_PACKED, _DATA_PAGE, _DATA_PAGE_V2 = 2, 3, 5, 8
_PAGE_VALUES = 1

_Struct = dict[int, Any]


class Chunk(NamedTuple):
    """One column of one row group: the number of values in all its pages, and their size when decompressed."""

    column: str
    values: int
    size_bytes: int


class Claims(NamedTuple):
    """Numbers of rows and row groups that a file claims, and its column chunks."""

    rows: int
    groups: int
    chunks: list[Chunk]


def read_claims(content: bytes) -> Claims:
    """Read the footer and all page headers of a file.

    Raises:
        ValueError, TypeError, KeyError, IndexError: the headers are not those of a file that pyarrow wrote.
    """
    if content[:4] != _MAGIC or content[-4:] != _MAGIC:
        raise ValueError("it does not begin and end like a Parquet file")
    footer_bytes = int.from_bytes(content[-8:-4], "little")
    if footer_bytes > min(MAX_FOOTER_BYTES, len(content) - 8):
        raise ValueError(f"its footer claims {footer_bytes:,} bytes")
    footer = _struct(io.BytesIO(content[-8 - footer_bytes : -8]))
    if not footer[_CREATED_BY].startswith(_WRITER):
        raise ValueError("another library wrote it, and Arrow locates the pages of such files differently")
    # Arrow allocates memory for the rows of each group.
    if sum(group[_GROUP_ROWS] for group in footer[_GROUPS]) != footer[_ROWS]:
        raise ValueError("its row groups have other rows than it says")
    chunks = [_chunk(content, column[_META]) for group in footer[_GROUPS] for column in group[_COLUMNS]]
    return Claims(footer[_ROWS], len(footer[_GROUPS]), chunks)


def _chunk(content: bytes, meta: _Struct) -> Chunk:
    # Arrow locates the first page in the same way.
    start = min(meta[_DATA_OFFSET], meta.get(_DICTIONARY_OFFSET) or meta[_DATA_OFFSET])
    end = start + meta[_COMPRESSED]
    if not 0 < start <= end <= len(content):
        raise ValueError("a column is outside of it")
    stream = io.BytesIO(content)
    stream.seek(start)
    values = size_bytes = 0
    while stream.tell() < end:
        page = _struct(stream)
        counts = [page[kind][_PAGE_VALUES] for kind in (_DATA_PAGE, _DATA_PAGE_V2) if kind in page]
        # Arrow reads 32 bits of these numbers, so it would read another value from a larger number.
        if not all(0 <= number < 1 << 31 for number in (page[_PAGE_UNPACKED], page[_PAGE_PACKED], *counts)):
            raise ValueError("a page has a negative or too large size")
        size_bytes += page[_PAGE_UNPACKED]
        values += sum(counts)
        stream.seek(page[_PAGE_PACKED], io.SEEK_CUR)
    if stream.tell() > end:
        raise ValueError("a page exceeds its column")
    return Chunk(meta[_PATH][0].decode(), values, size_bytes)


def _struct(stream: io.BytesIO) -> _Struct:
    """Read the fields of a struct, by number.

    A repeated or too large number is an error, because Arrow could read such a struct differently.
    """
    fields: _Struct = {}
    number = 0
    while (head := _byte(stream)) & 15:
        number = number + (head >> 4) if head >> 4 else _integer(stream)
        if number in fields or not 0 < number < 1 << 15:
            raise ValueError(f"a header has field {number}, which is repeated or out of range")
        kind = head & 15
        fields[number] = kind == 1 if kind in (1, 2) else _value(stream, kind)
    return fields


def _value(stream: io.BytesIO, kind: int) -> Any:
    match kind:
        case 1 | 2 | 3:  # A bool in a list is one byte.
            return _byte(stream)
        case 4 | 5 | 6:
            return _integer(stream)
        case 7:
            return stream.read(8)
        case 8:
            return stream.read(_varint(stream))
        case 9 | 10:
            head = _byte(stream)
            count = _varint(stream) if head >> 4 == 15 else head >> 4
            return [_value(stream, head & 15) for _ in range(count)]
        case 12:
            return _struct(stream)
    raise ValueError(f"a header has a value of kind {kind}")


def _byte(stream: io.BytesIO) -> int:
    return stream.read(1)[0]


def _varint(stream: io.BytesIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = _byte(stream)
        value |= (byte & 127) << shift
        if byte < 128:
            return value
    raise ValueError("a header has a number of more than 64 bits")


def _integer(stream: io.BytesIO) -> int:
    value = _varint(stream)
    return value >> 1 ^ -(value & 1)
