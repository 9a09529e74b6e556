"""Every shipped recipe trains: one step of each of its parts, on data made here."""

from pathlib import Path

import numpy as np
import pytest

from codeword.config import Recipe, load_recipe, shipped_recipes
from codeword.training import train

SMALL = {"train": 4, "valid": 2, "test": 2}
ONCE = {"steps": 1, "batch_size": 2, "valid_signals": 2, "precision": "32"}
OF_RECORDINGS = ("sample_rate", "crop_samples", "values", "speed", "gain_db", "colour_db")


def shortened(name: str, folder: Path) -> Recipe:
    """The recipe with one step of each training and with few signals of its medium."""
    tree = load_recipe(name).model_dump()
    data = tree["data"]
    if data["kind"] == "tokens":
        np.save(folder / "tokens.npy", np.random.default_rng(0).integers(8, size=(8, *data["crop"])))
        tree["data"] = data | {"root": folder / "tokens.npy"}
    elif "crop_samples" in data:
        kept = {field: data[field] for field in OF_RECORDINGS}
        tree["data"] = {"kind": "synthetic-speech", **kept, **SMALL}
    else:
        tree["data"] = {"kind": "synthetic-images", **SMALL}
    for part in ("perception", "encoder", "tokenizer", "prior"):
        tree[f"{part}_training"] |= ONCE
    if tree["start"] and (before := Path(tree["start"]["model"]).name) in shipped_recipes():
        tree["start"]["model"] = str(train(shortened(before, folder), folder / before).folder)
    return Recipe.model_validate(tree)


def made_here(recipe: Recipe) -> bool:
    """True if drawn pictures or synthetic speech can stand for the data of a recipe.

    Those of pairs, and recordings that a judge classifies, are spoken and written digits; tests/training/test_pairs.py
    trains both on tiny ones.
    """
    judged = recipe.perception is not None and recipe.perception.kind == "classes"
    return recipe.data.kind != "pairs" and not (judged and hasattr(recipe.data, "crop_samples"))


ALONE = [name for name in shipped_recipes() if made_here(load_recipe(name))]


@pytest.mark.slow
@pytest.mark.parametrize("name", ALONE)
def test_a_shipped_recipe_trains(name: str, tmp_path: Path) -> None:
    run = train(shortened(name, tmp_path), tmp_path / "run")
    assert run.tokenizer().config.ndim == run.recipe().tokenizer.ndim
    assert run.holds(run.prior_path)
