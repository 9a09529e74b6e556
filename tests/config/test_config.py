"""Recipes: the shipped ones are right, and a wrong one is refused with its place and the way out."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeword.config import Recipe, VectorQuantizerConfig, load_recipe, shipped_recipes, validate
from codeword.errors import RecipeError

TINY = '[data]\nkind = "synthetic-images"\n'


def test_shipped_recipes_are_valid_and_short() -> None:
    assert {"demo-images", "cifar10", "cifar10-bits"} <= set(shipped_recipes())
    for name in shipped_recipes():
        recipe = load_recipe(name)
        assert recipe.name == name
        assert recipe.description


def test_a_recipe_survives_its_own_json() -> None:
    for name in shipped_recipes():
        recipe = load_recipe(name)
        assert validate(Recipe, recipe.model_dump(mode="json"), place="copy") == recipe


def test_a_file_is_named_after_itself(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TINY)
    assert load_recipe(path).name == "mine"


def test_overrides_reach_any_depth() -> None:
    recipe = load_recipe(
        "cifar10",
        overrides=[
            "tokenizer.quantizer.codebook_sizes=[1024]",
            "data.root=/my/data",
            "seed=7",
            "tokenizer_training.learning_rate=1e-4",
        ],
    )
    assert isinstance(recipe.tokenizer.quantizer, VectorQuantizerConfig)
    assert recipe.tokenizer.quantizer.codebook_sizes == (1024,)
    assert recipe.data.root == Path("/my/data")  # type: ignore[union-attr]
    assert (recipe.seed, recipe.tokenizer_training.learning_rate) == (7, 1e-4)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("tokenizer.quantiser.codebook_sizes=[4]", r"tokenizer.quantiser is not a known field .did you mean quantizer"),
        ("prior.layer=3", r"prior.layer is not a known field \(did you mean layers\?\)"),
        ("tokenizer.wxyz=3", r"tokenizer.wxyz is not a known field\.$"),
        (
            "tokenizer.quantizer.codebook_sizes=[1]",
            r"tokenizer.quantizer.codebook_sizes.0.*greater than or equal to 2.*found 1",
        ),
        ("tokenizer.quantizer.codebook_sizes=many", "tokenizer.quantizer.codebook_sizes.*tuple.*many"),
        ("tokenizer.quantizer.kind=magic", "tokenizer.quantizer.*'magic'.*'vector', 'residual', 'finite-scalar'"),
        ("tokenizer.quantizer.codebook_sizes=[4,4,4]", "64 numbers must divide into 3"),
        ("tokenizer_training.steps=-1", "tokenizer_training.steps.*greater than 0.*-1"),
        ("tokenizer_training.learning_rate=nan", "learning_rate"),
        ("prior.kernel=4", "prior.kernel: a kernel must be odd.*5"),
        ('tokenizer.trunk={kind="residual", strides=[2]}', "as many values as strides, 1, or one more .*, not 3"),
        ('tokenizer.trunk={kind="residual", encoder_blocks=[1]}', "encoder_blocks needs 3 values"),
        ("seed", "The override 'seed' is not of the form"),
        ("name.x=1", "which has no fields of its own"),
    ],
)
def test_wrong_overrides_are_refused_with_their_place(override: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says) as caught:
        load_recipe("cifar10", overrides=[override])
    assert "\n" not in str(caught.value)


def test_an_unknown_recipe_names_those_there_are() -> None:
    with pytest.raises(RecipeError, match=", ".join(shipped_recipes())):
        load_recipe("cifar11")


def test_broken_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"Cannot read.*gone\.toml"):
        load_recipe(tmp_path / "gone.toml")
    path = tmp_path / "bad.toml"
    path.write_text("a = = 1")
    with pytest.raises(RecipeError, match=r"bad\.toml is not valid TOML"):
        load_recipe(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match=r"bad\.toml"):
        load_recipe(path)


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 20_000, "{a = " * 2000])
def test_numbers_and_lists_that_are_too_long_are_refused(value: str, tmp_path: Path) -> None:
    path = tmp_path / "long.toml"
    path.write_text(f"seed = {value}")
    with pytest.raises(RecipeError, match=r"long\.toml is not valid TOML"):
        load_recipe(path)
    with pytest.raises(RecipeError, match=r"seed: (Input should be a valid|Unable to parse)"):
        load_recipe("demo-images", overrides=[f"seed={value}"])


def test_a_message_is_short_however_much_is_wrong() -> None:
    for overrides in (
        ["x" * 9000 + "=1"],
        ["[" * 9000],
        ["seed.x=" + "1" * 99],
        ["data.kind=" + "x" * 9000],
        [f"x{i}=1" for i in range(999)],
    ):
        with pytest.raises(RecipeError) as caught:
            load_recipe("demo-images", overrides=overrides)
        assert len(str(caught.value)) < 1000


@given(st.text(max_size=40))
def test_any_override_is_taken_or_refused_in_our_words(text: str) -> None:
    with suppress(RecipeError):
        load_recipe("demo-images", overrides=[text])
