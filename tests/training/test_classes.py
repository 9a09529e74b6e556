"""The classifier in a recipe: its training, alone or as a loss of the tokenizer."""

from pathlib import Path

import pytest
from PIL import Image
from tiny.recipes import JUDGE, TINY, TRAINING, tiny

from codeword.config import Recipe, load_recipe
from codeword.errors import DataError
from codeword.nn.classifier import Classifier
from codeword.training import train


def test_next_to_an_identity_the_classifier_alone_is_trained(tmp_path: Path) -> None:
    run = train(Recipe.model_validate(JUDGE), tmp_path / "run")
    (last,) = run.records("perception", "valid")
    assert last["accuracy"] > 0.3  # Of ten classes.
    assert not list(run.records("tokenizer", "train"))
    assert len(Classifier.from_pretrained(run.perception_path).config.classes) == 10


def test_data_without_classes_is_refused(tmp_path: Path) -> None:
    for n in range(40):
        Image.new("RGB", (8, 8), (n, n, n)).save(tmp_path / f"{n}.png")
    folder = {"kind": "image-folder", "root": str(tmp_path), "size": 8}
    with pytest.raises(DataError, match="needs data of two classes or more, not 0"):
        train(Recipe.model_validate(JUDGE | {"data": folder}), tmp_path / "run")


def test_recordings_are_refused() -> None:
    with pytest.raises(ValueError, match="perception needs images, spoken digits or synthetic speech"):
        Recipe.model_validate(JUDGE | {"data": {"kind": "librispeech"}})


def test_the_loss_of_classes_changes_the_tokenizer_from_its_first_step_on(tmp_path: Path) -> None:
    perception = [f"perception_training.{name}={value}" for name, value in TRAINING.items() if name != "precision"]
    kind = 'perception={kind="classes",stem=4,widths=[4,8],start=%d}'
    fingerprints = {
        start: train(load_recipe("demo-images", overrides=[*TINY, *perception, kind % start]), tmp_path / str(start))
        .tokenizer()
        .fingerprint
        for start in (0, 6, 12)
    }
    assert len(set(fingerprints.values())) == 3
    assert fingerprints[12] == train(tiny(), tmp_path / "without").tokenizer().fingerprint
