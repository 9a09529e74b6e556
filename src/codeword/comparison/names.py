"""Names of the values of settings for people: of tables only what distinguishes them."""

import tomllib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from codeword.config.writing import toml_value

_LONGEST_TICK = 16


class Name(NamedTuple):
    """The name of a value in a table, and in a figure, where it is a number if the names of the setting are long."""

    text: str
    tick: str

    @property
    def number(self) -> str:
        """The tick, if it is not the name."""
        return "" if self.tick == self.text else self.tick


def names_of(values: Sequence[str]) -> dict[str, Name]:
    """The names of the values of one setting, which are TOML, or words for a value that the recipe has.

    Example:
        >>> values = ['{"kind" = "vector", "dim" = 8}', '{"kind" = "finite-scalar", "dim" = 8}']
        >>> [name.text for name in names_of(values).values()]
        ['vector', 'finite-scalar']
    """
    read = {value: _read(value) for value in values}
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
        texts = {value: value for value in texts}  # A text and a table of this kind, or "1" and 1.
    are_short = all(len(text) <= _LONGEST_TICK for text in texts.values())
    return {value: Name(text, text if are_short else str(n)) for n, (value, text) in enumerate(texts.items(), start=1)}


def _read(value: str) -> Any:
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        return value


def _fields(table: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """The dotted paths of all fields of a table, and their values as TOML."""
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from _fields(value, f"{path}{name}.")
        else:
            yield path + name, toml_value(value)


def _phrase(path: str, value: str) -> str:
    """A field as text: a kind is what its table is, and what is true needs no value."""
    shown = value.strip('"')
    if path == "kind":
        return shown
    return path if value == "true" else f"{path.removesuffix('.kind')} = {shown}"
