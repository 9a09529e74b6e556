"""Page headers: claims are counted, and headers that readers interpret differently are refused."""

import io

import pytest
from tiny.thrift import varint

from codeword.store import pages
from codeword.store.pages import _chunk, _struct

I32 = 5


def field(number: int, value: int) -> bytes:
    """An i32 with its field number written out; both in zigzag."""
    return bytes([I32]) + varint(2 * number) + varint(2 * value)


def page(*, packed: int = 0, values: int = 1) -> bytes:
    data_page = bytes([12]) + varint(2 * pages._DATA_PAGE) + field(1, values) + b"\0"
    return field(2, 0) + field(3, packed) + data_page + b"\0"


def chunk(content: bytes) -> int:
    start = b"PAR1"
    return _chunk(start + content, {3: [b"codes"], 7: len(content), 9: len(start)}).values


def test_the_values_of_all_pages_are_counted() -> None:
    assert chunk(page(values=3) + page(packed=2, values=1000) + b"xx") == 1003


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (field(1, 7) + field(1, 1 << 30) + b"\0", "repeated or out of range"),
        # Arrow keeps 16 bits of a field's number, so this is field 1 to it.
        (field(1, 7) + field((1 << 16) + 1, 1 << 30) + b"\0", "repeated or out of range"),
        (field(1, 7) + bytes([11]) + varint(4), "a value of kind 11"),
    ],
)
def test_ambiguous_fields_are_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        _struct(io.BytesIO(content))


def test_no_page_is_hidden_behind_a_size_that_arrow_reads_as_another() -> None:
    hidden = page(values=1 << 30)
    # Arrow keeps 32 bits of a size: to it the first page is empty, and the second follows at once.
    with pytest.raises(ValueError, match="too large size"):
        chunk(page(packed=1 << 31) + hidden)
    with pytest.raises(ValueError, match="exceeds its column"):
        chunk(page(packed=len(hidden) + 1) + hidden)
    with pytest.raises(ValueError, match="negative"):
        chunk(field(2, 0) + field(3, 0) + bytes([12, 10, 21, 1, 0, 0]))  # A zigzag 1 is -1.
