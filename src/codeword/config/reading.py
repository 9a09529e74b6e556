"""Reading of recipes and configs, with a sentence for each thing that is wrong in them."""

import json
import tomllib
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import TypeAdapter, ValidationError

from codeword.config.base import Config
from codeword.config.recipe import Recipe, complete_tokenizer
from codeword.errors import RecipeError, reason

T = TypeVar("T")

_MOST_CLAUSES = 20
_SHIPPED = resources.files("codeword") / "recipes"


def shipped_recipes() -> list[str]:
    """Names of the recipes in the package, sorted."""
    return sorted(entry.name.removesuffix(".toml") for entry in _SHIPPED.iterdir() if entry.name.endswith(".toml"))


def load_recipe(name_or_path: str | Path, *, overrides: Sequence[str] = ()) -> Recipe:
    """Read a shipped recipe by name, or a TOML file by path, with `a.b=value` overrides.

    Raises:
        RecipeError: no such recipe, not TOML, or a field that is unknown, of the wrong type or out of range.

    Example:
        >>> recipe = load_recipe("cifar10", overrides=["seed=3", "tokenizer.quantizer.codebook_sizes=[1024]"])
        >>> recipe.seed, recipe.tokenizer.quantizer.codebook_sizes
        (3, (1024,))
    """
    text, place = _recipe_text(name_or_path)
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # A number of many digits, or lists in lists, are such errors too.
        raise RecipeError(f"{place} is not valid TOML: {reason(error)}.") from error
    for override in overrides:
        _apply(tree, override)
    tree.setdefault("name", Path(name_or_path).stem)
    return validate(Recipe, complete_tokenizer(tree), place=place)


def validate(model: type[T], tree: Any, *, place: str) -> T:
    """Build `model` from plain data, or raise an error with one clause for each wrong field.

    Raises:
        RecipeError: names each wrong field by its dotted path, its value and the correct values.
    """
    return _explained(place, lambda: TypeAdapter(model).validate_python(tree))


def validate_json(model: type[T], text: str | bytes, *, place: str) -> T:
    """`validate`, from JSON text, where each value must have its own type: no number may be a text.

    Raises:
        RecipeError: as `validate`.
    """
    try:
        json.loads(text)  # Its errors are clearer than those of pydantic.
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{place} is not valid JSON: {error}.") from error
    return _explained(place, lambda: TypeAdapter(model).validate_json(text, strict=True))


def _explained(place: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except ValidationError as error:
        clauses = _explain(error)
        more = f"; and {len(clauses) - _MOST_CLAUSES:,} more" if len(clauses) > _MOST_CLAUSES else ""
        raise RecipeError(f"{place}: {'; '.join(clauses[:_MOST_CLAUSES])}{more}.") from error


def _recipe_text(name_or_path: str | Path) -> tuple[str, str]:
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.is_file():
        try:
            return path.read_text(encoding="utf-8"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"Cannot read the recipe {path}: {error}.") from error
    shipped = _SHIPPED / f"{name_or_path}.toml"
    if str(name_or_path) not in shipped_recipes():
        raise RecipeError(
            f"There is no recipe {str(name_or_path)!r}; shipped are {', '.join(shipped_recipes())}. "
            f"Name one of these or give the path of a .toml file."
        )
    return shipped.read_text(encoding="utf-8"), f"recipe {name_or_path}"


def read_value(text: str) -> Any:
    """The value of a field that is written as TOML, or without quotes, as a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text.strip()


def _apply(tree: dict[str, Any], override: str) -> None:
    """Set `a.b=value` in place; a value that is not TOML is a string."""
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise RecipeError(
            f"The override {override!r:.80} is not of the form field.name=value, for example "
            f"tokenizer.quantizer.codebook_sizes=[1024]."
        )
    for key in keys[:-1]:
        branch = tree.setdefault(key, {})
        if not isinstance(branch, dict):
            raise RecipeError(
                f"The override {override!r:.80} fails: {key} holds {branch!r:.80}, which has no fields of its own."
            )
        tree = branch
    tree[keys[-1]] = read_value(text)


def _explain(error: ValidationError) -> list[str]:
    """One clause for each wrong field: its dotted path, the error, and its value."""
    details = error.errors()
    wrong_inside = {detail["loc"][: len(detail["loc"]) - 1] for detail in details}
    # A list with a wrong element is also reported as too short; only the element is of interest.
    return [_clause(d) for d in details if d["type"] != "too_short" or d["loc"] not in wrong_inside]


def _clause(detail: Any) -> str:
    # pydantic adds the tag of a choice to the path, which the recipe does not contain.
    place = ".".join(f"{part!s:.80}" for part in detail["loc"] if part not in _KINDS) or "the whole"
    if detail["type"] == "extra_forbidden":
        similar = get_close_matches(str(detail["loc"][-1]), _fields_inside(detail["loc"][:-1]), n=1)
        return f"{place} is not a known field{f' (did you mean {similar[0]}?)' if similar else ''}"
    if detail["type"] == "missing":
        return f"{place} is missing"
    message = detail["msg"].removeprefix("Value error, ")[:400]  # It may quote the value.
    found = detail.get("input")
    shown = "" if isinstance(found, dict | Config) else f" (found {found!r:.80})"
    return f"{place}: {message}{shown}"


def _configs(config: type[Config]) -> list[type[Config]]:
    return [config, *(one for child in config.__subclasses__() for one in _configs(child))]


def _fields_inside(loc: tuple[int | str, ...]) -> list[str]:
    """The fields of the configs that can stand at a path in an error of pydantic, which ends in a kind or a field."""
    last, configs = loc[-1] if loc else None, _configs(Config)
    fields = [field for config in configs for name, field in config.model_fields.items() if name == last]
    inside = [part for field in fields for part in (field.annotation, *get_args(field.annotation))]
    return [name for one in configs if one in inside or last in _kinds([one]) for name in one.model_fields]


def _kinds(configs: Sequence[type[Config]]) -> set[str]:
    return {config.model_fields["kind"].default for config in configs if "kind" in config.model_fields}


_KINDS = _kinds(_configs(Config))
