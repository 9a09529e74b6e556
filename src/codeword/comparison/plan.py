"""The plan of a comparison: the settings that vary, and the trials, one for each combination of their values."""

import json
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from pydantic import BaseModel

from codeword.config import Recipe
from codeword.config.writing import toml_value
from codeword.errors import UsageError

SEED = "seed"
MAX_TRIALS = 1000
KEPT = "as in the recipe"


@dataclass(frozen=True)
class Setting:
    """A field of the recipe that varies, by its dotted path, and its values as TOML."""

    path: str
    values: tuple[str, ...]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]


def read_setting(text: str) -> Setting:
    """Read `a.b=value,value`. A value that is no TOML is a text, as in the overrides of a recipe.

    Raises:
        UsageError: there is no field, no value, or a value twice.

    Example:
        >>> read_setting("tokenizer.quantizer.codebook_sizes=[256],[512]").values
        ('[256]', '[512]')
        >>> read_setting('tokenizer.quantizer={kind="vector", dim=8},{kind="finite-scalar"}').values[1]
        '{"kind" = "finite-scalar"}'
    """
    path, equals, listed = text.partition("=")
    try:
        values = [toml_value(value) for value in tomllib.loads(f"values = [{listed}]")["values"]]
    except (ValueError, RecursionError):
        values = [value.strip() for value in listed.split(",")]
    if not equals or not all(path.strip().split(".")) or not values or not all(values):
        raise UsageError(
            f"{text!r:.80} is not of the form field.name=value,value, for example tokenizer.quantizer.beta=0.25,1."
        )
    if len(set(values)) < len(values):
        raise UsageError(f"{text!r:.80} names a value twice; each is trained once.")
    return Setting(path.strip(), tuple(values))


def combinations(settings: Sequence[Setting], *, one_at_a_time: bool) -> list[dict[str, str]]:
    """The values by path of each trial: all combinations, or first the recipe as it is, then with one setting changed.

    Seeds are always combined with every value of the other settings.

    Raises:
        UsageError: there is no setting, one is named twice, or there are more than `MAX_TRIALS` combinations.
    """
    if not settings:
        raise UsageError("There is nothing to compare; name a setting and its values, as in seed=0,1.")
    if len({setting.path for setting in settings}) < len(settings):
        raise UsageError("A setting is named twice; give all its values at once, as in seed=0,1.")
    if one_at_a_time:
        seeds = [s for s in settings if s.path == SEED]
        groups = [seeds, *([setting, *seeds] for setting in settings if setting.path != SEED)]
    else:
        groups = [list(settings)]
    found = []
    for group in groups:
        paths = [setting.path for setting in group]
        found += [dict(zip(paths, values, strict=True)) for values in product(*(s.values for s in group))]
    if len(found) > MAX_TRIALS:
        raise UsageError(f"These are {len(found):,} trainings, and at most {MAX_TRIALS:,} are compared; vary less.")
    return found


def recipe_value(recipe: Recipe, path: str) -> str:
    """The value that a recipe has at a dotted path, as the TOML of a setting; "none" where there is none."""
    found: Any = recipe
    for name in path.split("."):
        found = getattr(found, name, None)
    if isinstance(found, BaseModel):
        return KEPT
    return "none" if found is None else toml_value(list(found) if isinstance(found, tuple) else found)


def have_order(values: Iterable[str]) -> bool:
    """True if all values are numbers, or all are lists of numbers."""
    try:
        sorted(values, key=json.loads)
    except (ValueError, TypeError):
        return False
    return True


def in_order(values: Iterable[str]) -> list[str]:
    """Numbers, and lists of numbers, in rising order; other values stay in theirs."""
    listed = list(values)
    return sorted(listed, key=json.loads) if have_order(listed) else listed


def folder_name(number: int, values: dict[str, str]) -> str:
    """A name for the folder of a trial, which is unique by its number."""
    words = "-".join(f"{path.rpartition('.')[2]}-{value}" for path, value in values.items()) or "recipe"
    return f"{number:03}-{re.sub(r'[^A-Za-z0-9.]+', '-', words).strip('-')}"[:80]
