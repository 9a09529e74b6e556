"""Recipes as TOML."""

import json
from collections.abc import Iterator
from typing import Any

from codeword.config.recipe import Recipe


def recipe_toml(recipe: Recipe) -> str:
    """A complete recipe as TOML, with its defaults; fields without a value are left out."""
    return "\n".join(_lines(recipe.model_dump(mode="json", exclude_none=True), "")) + "\n"


def _lines(table: dict[str, Any], path: str) -> Iterator[str]:
    for name, value in table.items():
        if not isinstance(value, dict):
            # JSON writes numbers, texts and lists of these as TOML does.
            yield f"{name} = {json.dumps(value, ensure_ascii=False)}"
    for name, value in table.items():
        if isinstance(value, dict):
            yield from ("", f"[{path}{name}]")
            yield from _lines(value, f"{path}{name}.")
