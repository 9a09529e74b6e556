"""Recipes: TOML changed as text and as a tree."""

import json
import random
import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from attack.engine import Reader
from attack.mutations import another, mutated

from codeword.config import Recipe, load_recipe, shipped_recipes

LITERALS = [
    "-1", "0", "1e400", "nan", "-inf", "9" * 5000, "0x7fffffffffffffff", "1_000_000_000_000", "true", '""', '"16"',
    "[]", "[[]]", "{}", "1979-05-27T07:32:00Z", "07:32:00", "'''x\n'''", '"\\u0000"', '"\\ud800"', '"\x1b[2J"', "é",
    "[-1]", "[" * 200 + "]" * 200, "[" * 20_000, "{a = " * 900, "[1, 2, 3, 4]", "[1.5]", '"../../x"', "1.0e-320",
]  # fmt: skip
LINES = [
    "[tokenizer]", "[[tokenizer]]", "[a.b.c]", "a" + ".a" * 3000 + " = 1", "name = 1", "name.x = 1", "data = 1",
    "\0", "\r",
]  # fmt: skip


@cache
def texts() -> list[str]:
    folder = resources.files("codeword") / "recipes"
    return [(folder / f"{name}.toml").read_text() for name in shipped_recipes()]


def changed_lines(rng: random.Random, text: str) -> str:
    lines = text.splitlines()
    for _ in range(rng.choice([1, 1, 2, 5])):
        place = rng.randrange(len(lines))
        match rng.randrange(5):
            case 0:
                lines.insert(place, rng.choice(lines))
            case 1:
                lines.insert(place, rng.choice(LINES))
            case 2:
                lines.pop(place) if len(lines) > 1 else None
            case _:
                key, equals, _ = lines[place].partition("=")
                lines[place] = f"{key}= {rng.choice(LITERALS)}" if equals else lines[place] + rng.choice(LITERALS)
    return "\n".join(lines)


def as_toml(tree: Any) -> str:
    """An inline value; None has no form in TOML, and gives an invalid text."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {as_toml(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, list):
        return f"[{', '.join(map(as_toml, tree))}]"
    return json.dumps(tree, default=str)


def changed_tree(rng: random.Random, text: str) -> str:
    tree = tomllib.loads(text)
    for _ in range(rng.choice([1, 1, 2, 4])):
        tree = another(rng, tree)
    if not isinstance(tree, dict):
        return as_toml(tree)
    return "\n".join(f"{json.dumps(key)} = {as_toml(value)}" for key, value in tree.items())


def attack_recipe(rng: random.Random, work: Path) -> int:
    """A recipe that is read is valid, and the same when it is read again."""
    text = rng.choice(texts())
    match rng.randrange(3):
        case 0:
            content = mutated(rng, text.encode(), rng.choice(texts()).encode())
        case 1:
            content = changed_lines(rng, text).encode("utf-8", "surrogatepass")
        case _:
            content = changed_tree(rng, text).encode("utf-8", "surrogatepass")
    path = work / "x.toml"
    path.write_bytes(content)
    overrides = [f"{rng.choice(['seed', 'data', 'data.kind', 'x.y', '', 'tokenizer.trunk'])}={rng.choice(LITERALS)}"]
    recipe = load_recipe(path, overrides=overrides if rng.random() < 0.2 else ())
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    return len(content)


READERS = [Reader("recipe", attack_recipe, share=0.08)]
