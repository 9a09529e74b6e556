"""Names as text: every name has its own text, and the text gives the name back."""

import os

from hypothesis import given
from hypothesis import strategies as st

from codeword.store import distinct, escape_name, unescape_name

# Pieces of escapes, bytes that are no UTF-8, and letters.
PIECES = [b"\\", b"x", b"5c", b"ff", b"8", b"\xff", b"\x80", b"\xc3\xa9", b"a", b"."]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=9).map(b"".join), st.binary(min_size=1, max_size=9))
def test_any_bytes_come_back(structured: bytes, random: bytes) -> None:
    for content in (structured, random):
        text = escape_name(os.fsdecode(content))
        assert text.encode().decode() == text
        assert os.fsencode(unescape_name(text)) == content


def test_most_names_are_their_own_text() -> None:
    for name in ("photo.png", "Grüße/日本.wav", "back\\slash", "100 %"):
        assert escape_name(name) == name


@given(st.lists(st.sampled_from(["a.png", "a-2.png", "a-2-2.png", "b/a.png", ".png", "", "a"])))
def test_distinct_names_are_distinct_and_first_ones_stay(names: list[str]) -> None:
    found = distinct(names)
    assert len(set(found)) == len(names)
    assert not names or found[0] == names[0]
    if len(set(names)) == len(names):
        assert found == names


def test_a_repeated_name_gets_a_number() -> None:
    assert distinct(["x.png", "x.png", "x.png", "d/x.png"]) == ["x.png", "x-2.png", "x-3.png", "d/x.png"]
