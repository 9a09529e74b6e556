"""Recipes as TOML."""

import json
from collections.abc import Iterator
from typing import Any

from codeword.config.recipe import Recipe


def recipe_toml(recipe: Recipe) -> str:
    """A complete recipe as TOML, with its defaults; fields without a value are left out."""
    return "\n".join(_lines(recipe.model_dump(mode="json", exclude_none=True), "")) + "\n"


def toml_value(value: Any) -> str:
    """A value on one line of TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {toml_value(field)}" for name, field in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    # JSON writes numbers and texts as TOML does.
    return json.dumps(value, ensure_ascii=False)


def _lines(table: dict[str, Any], path: str) -> Iterator[str]:
    for name, value in table.items():
        if not isinstance(value, dict):
            yield f"{name} = {toml_value(value)}"
    for name, value in table.items():
        if isinstance(value, dict):
            yield from ("", f"[{path}{name}]")
            yield from _lines(value, f"{path}{name}.")
