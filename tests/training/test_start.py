"""A training that goes on from a trained model: what it takes, keeps, refuses, and that it needs the model once."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny.recipes import PRIOR, SPEECH, SPLITS, TOKENIZER, TRAINING, tiny
from tiny.weights import assert_equal

from codeword import load
from codeword.cli import app
from codeword.config import Recipe, load_recipe, recipe_toml, validate
from codeword.errors import ModelError, RecipeError
from codeword.evaluation.report.card import card
from codeword.model import Model
from codeword.training import Run, train
from codeword.training.start import take_weights


def recipe_of_rank(ndim: int) -> Recipe:
    """A recipe at either rank, with classes."""
    if ndim == 2:
        return tiny()
    trainings = {"tokenizer_training": TRAINING, "prior_training": TRAINING}
    tree = {"name": "tiny-speech", "data": SPEECH | SPLITS, "tokenizer": TOKENIZER, "prior": PRIOR} | trainings
    return validate(Recipe, tree, place="tiny")


def started(recipe: Recipe, model: Path, **fields: Any) -> Recipe:
    return validate(Recipe, recipe.model_dump(mode="json") | {"start": {"model": str(model)} | fields}, place="tiny")


@pytest.fixture(scope="module", params=[1, 2], ids=["1-D", "2-D"])
def parent(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(recipe_of_rank(request.param), tmp_path_factory.mktemp("parent") / "run")


def state(run: Run) -> dict[str, torch.Tensor]:
    return dict(run.tokenizer().state_dict())


def test_a_model_that_is_frozen_stays_the_same_model(parent: Run, tmp_path: Path) -> None:
    run = train(started(parent.recipe(), parent.folder, freeze=["tokenizer", "prior"]), tmp_path / "run")
    assert Model.load(run.folder).fingerprint == Model.load(parent.folder).fingerprint
    assert not list(run.records("tokenizer", "valid"))


def test_frozen_parts_stay_and_the_others_learn(parent: Run, tmp_path: Path) -> None:
    run = train(started(parent.recipe(), parent.folder, freeze=["encoder", "quantizer"]), tmp_path / "run")
    before, after = state(parent), state(run)
    assert run.start().fingerprint == Model.load(parent.folder).fingerprint
    fixed = {name: tensor for name, tensor in before.items() if name.startswith(("encoder.", "quantizer."))}
    assert_equal(fixed, {name: after[name] for name in fixed})
    assert any(not torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_a_stopped_training_ends_the_same_without_the_model_it_started_from(parent: Run, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(parent.folder, model)
    whole = train(started(parent.recipe(), model), tmp_path / "whole")
    stopped = tmp_path / "stopped"
    shutil.copytree(whole.folder, stopped)
    shutil.rmtree(stopped / "prior")
    (stopped / "checkpoints" / "prior.safetensors").unlink()
    shutil.rmtree(model)
    resumed = train(whole.recipe(), stopped, resume=True)
    assert_equal(dict(whole.prior().state_dict()), dict(resumed.prior().state_dict()))


def test_one_part_alone_is_taken(parent: Run, tmp_path: Path) -> None:
    narrow = parent.recipe().prior.model_copy(update={"width": 12})
    recipe = parent.recipe().model_copy(update={"prior": narrow})
    with pytest.raises(RecipeError, match=r"The prior of .* does not fit the recipe .* not \[.*start\.parts"):
        train(started(recipe, parent.folder), tmp_path / "refused")
    assert not (tmp_path / "refused" / "recipe.json").exists()
    run = train(started(recipe, parent.folder, parts=["tokenizer"], freeze=["tokenizer"]), tmp_path / "run")
    assert run.tokenizer().fingerprint == parent.tokenizer().fingerprint
    assert run.prior().config.architecture == narrow


def test_training_goes_on_where_the_model_stood(parent: Run, tmp_path: Path) -> None:
    """After a training with a learning rate near 0, the loss is the one that the model had."""
    recipe = started(parent.recipe(), parent.folder)
    still = {"learning_rate": 1e-12, "ema_decay": 0.0, "steps": 1, "precision": "32"}
    changes = {
        f"{part}_training": getattr(recipe, f"{part}_training").model_copy(update=still)
        for part in ("tokenizer", "prior")
    }
    quiet = started(recipe.model_copy(update=changes), parent.folder, freeze=["quantizer"])
    run = train(quiet, tmp_path / "run")
    for part in ("tokenizer", "prior"):
        (*_, before), (*_, after) = parent.records(part, "valid"), run.records(part, "valid")
        assert after["loss"] == pytest.approx(before["loss"], rel=1e-3)


def test_other_classes_begin_as_the_unknown_one(parent: Run) -> None:
    prior = parent.prior()
    other = type(prior)(prior.config.model_copy(update={"classes": 2}))
    take_weights(other, prior)
    codes = torch.zeros(1, *prior.grid, len(prior.codebook_sizes), dtype=torch.int64)
    for label in (0, 1):
        torch.testing.assert_close(other.log_prob(codes, torch.tensor([label])), prior.log_prob(codes))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["tokenizer.quantizer.codebook_sizes=[8,8]"], r"have \[16, 8\] codewords, .* asks for \[8, 8\]"),
        (["tokenizer.trunk.width=12"], r"tokenizer\.trunk of the recipe differs"),
        (
            ["tokenizer.quantizer.kind='residual'", "tokenizer.quantizer.lookup_dim=4"],
            r"it has no quantizer.*and \d+ more",
        ),
        (
            ["start.freeze=['prior']", "start.parts=['tokenizer']"],
            r"start\.freeze has prior, which start\.parts leaves out",
        ),
        (["start.freeze=['heart']"], r"start\.freeze.*encoder"),
        (["start.parts=[]"], r"start\.parts"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_before_training(
    overrides: list[str], message: str, tmp_path: Path, pictures: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        train(tiny(f"start.model='{pictures}'", *overrides), tmp_path / "run")
    assert not (tmp_path / "run" / "recipe.json").exists()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    short = ["tokenizer_training.steps=2", "prior_training.steps=2"]
    return train(tiny(*short), tmp_path_factory.mktemp("pictures") / "run").folder


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no model folder"):
        train(tiny("start.model='./gone'"), tmp_path / "run")


def test_targets_and_a_trained_encoder_do_not_go_together() -> None:
    with pytest.raises(RecipeError, match=r"would learn its targets again; leave targets out"):
        load_recipe("librispeech-voices", overrides=["start.model=speech"])


def test_the_command_names_model_and_frozen_parts_and_the_card_the_fingerprint_alone(
    pictures: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(recipe_toml(tiny("tokenizer_training.steps=2", "prior_training.steps=2")))
    words = ["train", str(recipe), "--from", str(pictures), "--freeze", "encoder", "--freeze", "quantizer"]
    app([*words, "--out", str(tmp_path / "run")], exit_on_error=False, result_action="return_value")
    run = Run.open(tmp_path / "run")
    assert run.recipe().start is not None
    assert run.recipe().start.freeze == ("encoder", "quantizer")  # type: ignore[union-attr]
    text = card(run, Model.load(run.folder), weights_bytes=1)
    assert Model.load(pictures).fingerprint in text
    assert str(pictures) not in text


@pytest.mark.parametrize("medium", ["images", "speech"])
def test_the_recipes_for_own_data_describe_the_models_in_the_package(medium: str) -> None:
    recipe, model = load_recipe(f"own-{medium}"), load(medium)
    assert recipe.start is not None
    assert (recipe.start.model, recipe.tokenizer, recipe.prior) == (
        medium,
        model.tokenizer.config,
        model.prior.config.architecture,
    )
