r"""Names of files as text: bytes that are not UTF-8 are escaped, and the escape gives the same bytes back.

A byte from 80 to ff that is not part of UTF-8 becomes `\x80` to `\xff`. A backslash that already begins such an escape
becomes `\x5c`, so that no two names have the same text.
"""

import os
import re
from collections.abc import Iterable

MAX_TEXT = 4096
"""Largest number of characters of an id, a label or a source in a shard of tokens."""

_ESCAPE = re.compile(r"\\x(5c|[89a-f][0-9a-f])")
# Python represents such a byte as a surrogate in this range.
_BYTE = re.compile("[\udc80-\udcff]")


def escape_name(name: str) -> str:
    """A file name as text that UTF-8 can represent."""
    literal = _ESCAPE.sub(lambda match: rf"\x5cx{match[1]}", name)
    escaped = _BYTE.sub(lambda match: rf"\x{ord(match[0]) - 0xDC00:02x}", literal)
    # A surrogate that stands for no byte is in no file name, but a label from elsewhere may contain one.
    return escaped.encode("utf-8", "backslashreplace").decode()


def unescape_name(text: str) -> str:
    """The file name of which `text` is the result of `escape_name`."""
    return _ESCAPE.sub(lambda match: "\\" if match[1] == "5c" else chr(0xDC00 + int(match[1], 16)), text)


def distinct(names: Iterable[str]) -> list[str]:
    """The names in their order; one that has occurred before gets a number before its suffix: x.png, x-2.png."""
    used, counts, found = set[str](), dict[str, int](), list[str]()
    for name in names:
        unique = name
        stem, suffix = os.path.splitext(name)
        while unique in used:
            counts[name] = counts.get(name, 1) + 1
            unique = f"{stem}-{counts[name]}{suffix}"
        used.add(unique)
        found.append(unique)
    return found
