"""How much a Parquet file would unpack to, by all that its headers say, before anything is unpacked.

Arrow takes a page's word for how many values it holds, whatever the footer says: three hundred bytes become
gigabytes. And asking Arrow itself about the columns of a forged footer may end the process. So we read the headers,
which are structs in Thrift's compact protocol, as numbered fields.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_FOOTER_BYTES = 1 << 24

_MAGIC = b"PAR1"
_TAIL_BYTES = 8
_WRITER = b"parquet-cpp-arrow"

# Numbers of fields in parquet.thrift.
_ROWS, _GROUPS, _CREATED_BY = 3, 4, 6
_COLUMNS = 1
_META = 3
_PATH, _COMPRESSED, _DATA_OFFSET, _DICTIONARY_OFFSET = 3, 7, 9, 11
_PAGE_UNPACKED, _PAGE_PACKED = 2, 3
_DATA_PAGES = (5, 8)
_PAGE_VALUES = 1

Struct = dict[int, Any]


@dataclass(frozen=True)
class Chunk:
    """One column of one row group: how many values all its pages claim, and how many bytes they unpack to."""

    column: str
    values: int
    size_bytes: int


@dataclass(frozen=True)
class Measured:
    """What a file claims to hold."""

    rows: int
    groups: int
    chunks: tuple[Chunk, ...]


def measure(content: bytes) -> Measured:
    """Raises ValueError, TypeError, KeyError or IndexError where the headers cannot be those of an honest file."""
    if content[:4] != _MAGIC or content[-4:] != _MAGIC:
        raise ValueError("it does not begin and end as Parquet does")
    footer_bytes = int.from_bytes(content[-_TAIL_BYTES:-4], "little")
    if footer_bytes > min(MAX_FOOTER_BYTES, len(content) - _TAIL_BYTES):
        raise ValueError(f"its footer claims {footer_bytes:,} bytes")
    footer = _Compact(content, len(content) - _TAIL_BYTES - footer_bytes).struct()
    if not footer[_CREATED_BY].startswith(_WRITER):
        raise ValueError("another library wrote it, whose files are read otherwise")
    groups = footer[_GROUPS]
    chunks = [_chunk(content, column[_META]) for group in groups for column in group[_COLUMNS]]
    return Measured(footer[_ROWS], len(groups), tuple(chunks))


def _chunk(content: bytes, meta: Struct) -> Chunk:
    # As Arrow finds the first page.
    at = min(meta[_DATA_OFFSET], meta.get(_DICTIONARY_OFFSET) or meta[_DATA_OFFSET])
    end = at + meta[_COMPRESSED]
    if not 0 < at <= end <= len(content):
        raise ValueError("a column lies outside of it")
    values = size_bytes = 0
    while at < end:
        reader = _Compact(content, at)
        page = reader.struct()
        numbers = (page[_PAGE_UNPACKED], page[_PAGE_PACKED], *_values(page))
        if min(numbers) < 0:
            raise ValueError("a page has a negative size")
        size_bytes += numbers[0]
        values += sum(numbers[2:])
        at = reader.at + numbers[1]
    return Chunk(meta[_PATH][0].decode(), values, size_bytes)


def _values(page: Struct) -> Iterator[int]:
    for kind in _DATA_PAGES:
        if kind in page:
            yield page[kind][_PAGE_VALUES]


class _Compact:
    """Reads Thrift's compact protocol from `at` on."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content, self.at = content, at

    def struct(self) -> Struct:
        """Its fields by number; one that comes twice is refused, for readers differ in what they make of it."""
        fields: Struct = {}
        number = 0
        while (head := self._byte()) & 15:
            number = number + (head >> 4) if head >> 4 else self._integer()
            if number in fields:
                raise ValueError(f"a header has field {number} twice")
            kind = head & 15
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind)
        return fields

    def _value(self, kind: int) -> Any:
        match kind:
            case 1 | 2 | 3:  # In lists, a bool is a byte.
                return self._byte()
            case 4 | 5 | 6:
                return self._integer()
            case 7:
                return self._bytes(8)
            case 8:
                return self._bytes(self._varint())
            case 9 | 10:
                head = self._byte()
                count = self._varint() if head >> 4 == 15 else head >> 4
                return [self._value(head & 15) for _ in range(count)]
            case 12:
                return self.struct()
        raise ValueError(f"a header has a value of kind {kind}")

    def _byte(self) -> int:
        self.at += 1
        return self._content[self.at - 1]

    def _bytes(self, count: int) -> bytes:
        if self.at + count > len(self._content):
            raise ValueError("a header ends too soon")
        self.at += count
        return self._content[self.at - count : self.at]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a header has a number of more than 64 bits")

    def _integer(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)
