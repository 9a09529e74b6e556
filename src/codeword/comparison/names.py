"""Short names of the values of settings. A table is named by the fields in which it differs from the other tables."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from codeword.config.reading import read_value
from codeword.config.writing import toml_value

_LONGEST_TICK = 16


class Name(NamedTuple):
    """The name of a value: `text` in a table, and `tick` in a figure.

    The tick is the same text, or a number if a value of the same setting has a text that is too long for a figure.
    """

    text: str
    tick: str

    @property
    def number(self) -> str:
        """The tick if it is a number, else an empty text."""
        return "" if self.tick == self.text else self.tick


def names_of(values: Sequence[str]) -> dict[str, Name]:
    """The name of each value of one setting, numbered in this order; values are TOML or plain text.

    Example:
        >>> values = ['{"kind" = "vector", "dim" = 8}', '{"kind" = "finite-scalar", "dim" = 8}']
        >>> [name.text for name in names_of(values).values()]
        ['vector', 'finite-scalar']
    """
    read = {value: read_value(value) for value in values}
    fields = {value: dict(_fields(found)) for value, found in read.items() if isinstance(found, dict)}
    common = set.intersection(*(set(table.items()) for table in fields.values())) if len(fields) > 1 else set()
    texts = {}
    for value, found in read.items():
        if value in fields:
            parts = [part for part in fields[value].items() if part not in common] or list(fields[value].items())
            texts[value] = ", ".join(_phrase(*part) for part in parts)
        else:
            texts[value] = found if isinstance(found, str) else value
    if len(set(texts.values())) < len(texts):
        # Two names are equal, for example those of the text "1" and of the number 1.
        texts = {value: value for value in texts}
    are_short = all(len(text) <= _LONGEST_TICK for text in texts.values())
    return {value: Name(text, text if are_short else str(n)) for n, (value, text) in enumerate(texts.items(), start=1)}


def _fields(table: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """The dotted path and the value, as TOML, of each field of a table and of the tables inside it."""
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from _fields(value, f"{path}{name}.")
        else:
            yield path + name, toml_value(value)


def _phrase(path: str, value: str) -> str:
    """A field as text: `vector` for the kind of the table, `cosine` for `cosine = true`, else name and value."""
    shown = value.strip('"')
    if path == "kind":
        return shown
    return path if value == "true" else f"{path.removesuffix('.kind')} = {shown}"
