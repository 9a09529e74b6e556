"""Models of format 1: refused with the way out, converted without changing a number, and still named by old files."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny.cli import run_cli
from tiny.golden import GOLDEN

from codeword.errors import ModelError, UsageError
from codeword.model import Model
from codeword.store import WEIGHTS_FILE
from codeword.tokenizer import Tokenizer
from codeword.upgrade import upgrade

OLD = GOLDEN / "format-1"


def test_an_old_model_is_refused_with_the_way_out() -> None:
    with pytest.raises(ModelError, match="has format 1, and this version of Codeword reads 2; convert it with"):
        Tokenizer.from_pretrained(OLD / "tokenizer")


def test_a_converted_model_has_the_same_numbers(tmp_path: Path) -> None:
    assert run_cli("upgrade", OLD, "--out", tmp_path / "new") == 0
    found, expected = Model.load(tmp_path / "new"), Model.load(GOLDEN)
    assert found.fingerprint == expected.fingerprint
    assert found.aliases == expected.aliases
    for part in ("tokenizer", "prior"):
        before, after = (load_file(folder / part / WEIGHTS_FILE) for folder in (OLD, tmp_path / "new"))
        assert len(before) == len(after)
        for old, new in zip(before.values(), after.values(), strict=True):
            assert old.shape == new.shape
        sums = [sorted(float(t.double().sum()) for t in tensors.values()) for tensors in (before, after)]
        assert sums[0] == sums[1]


def test_a_saved_copy_keeps_the_names_that_old_files_use(tmp_path: Path) -> None:
    model = Model.load(GOLDEN)
    model.save_pretrained(tmp_path / "copy")
    assert Model.load(tmp_path / "copy").aliases == model.aliases
    model.save_pretrained(tmp_path / "compact", compact=True)
    assert Model.load(tmp_path / "compact").aliases == (), (
        "a compact model computes other numbers, so it must not read old files"
    )
    assert model.is_named_by(model.aliases[0][:32])
    assert not model.is_named_by("0" * 32)


def test_what_is_no_old_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        upgrade(OLD, GOLDEN)
    with pytest.raises(UsageError, match="no model of format 1"):
        upgrade(GOLDEN / "tokenizer", tmp_path / "new")
    with pytest.raises(UsageError, match="There is no folder"):
        upgrade(tmp_path / "gone", tmp_path / "new")
    (tmp_path / "old").mkdir()
    torch.save({}, tmp_path / "old" / WEIGHTS_FILE)
    (tmp_path / "old" / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        upgrade(tmp_path / "old", tmp_path / "new")
