"""Tokens of other tokenizers: each form gives the same grids, divided into splits, and their number of values."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny.recipes import TRAINING
from tiny.token_files import COUNT, FORMS, GRIDS, VALUES, random_tokens, shard

from codeword.config import Recipe, TokensConfig, load_recipe
from codeword.data import open_dataset
from codeword.data import token_files as module
from codeword.errors import DataError, RecipeError
from codeword.media.token_forms import TokenShape, open_tokens
from codeword.training import train


@pytest.fixture(params=[(1, 1), (1, 2), (2, 1), (2, 2)], ids=lambda p: f"{p[0]}-D, {p[1]} codes")
def kind(request: pytest.FixtureRequest) -> tuple[int, int]:
    ndim, codes = request.param
    return ndim, codes


@pytest.fixture
def signals(kind: tuple[int, int]) -> np.ndarray:
    return random_tokens(*kind)


def config(path: Path, kind: tuple[int, int], **changes: object) -> TokensConfig:
    column = "grid" if path.name in ("packed.npz", "saved") else None
    tree = {"root": path, "crop": GRIDS[kind[0]], "codes": kind[1], "column": column, "test_fraction": 0.2}
    return TokensConfig.model_validate(tree | changes)


def found(config: TokensConfig, split: str) -> torch.Tensor:
    data = open_dataset(config, split)  # type: ignore[arg-type]
    return data.take(range(len(data))).x


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_same_signals_once_in_one_split(
    form: str, kind: tuple[int, int], signals: np.ndarray, tmp_path: Path
) -> None:
    FORMS[form](tmp_path / form, signals)
    splits = {split: found(config(tmp_path / form, kind), split) for split in ("train", "valid", "test")}
    assert {split: len(x) for split, x in splits.items()} == {"train": 14, "valid": 2, "test": 4}
    rows = torch.cat([x.movedim(1, -1).flatten(1) for x in splits.values()])
    assert sorted(rows.tolist()) == sorted(signals.reshape(COUNT, -1).tolist())


@pytest.mark.parametrize("form", FORMS)
def test_the_number_of_values_is_found(form: str, kind: tuple[int, int], signals: np.ndarray, tmp_path: Path) -> None:
    FORMS[form](tmp_path / form, signals)
    assert open_dataset(config(tmp_path / form, kind), "train").count_values() == int(signals.max()) + 1
    assert open_dataset(config(tmp_path / form, kind, values=300), "train").count_values() is None
    with pytest.raises(DataError, match=r"this is for 3 from 0 on; \d would fit \(data.values in a recipe\)"):
        found(config(tmp_path / form, kind, values=3), "train")


@pytest.mark.parametrize("form", FORMS)
def test_grids_of_other_shapes_are_refused(
    form: str, kind: tuple[int, int], signals: np.ndarray, tmp_path: Path
) -> None:
    FORMS[form](tmp_path / form, signals)
    with pytest.raises(DataError, match=r"this is for integers on 3 axes with 5 codes in each cell \(data.crop and"):
        found(config(tmp_path / form, kind, crop=(4, 3, 2), codes=5), "train")


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from([".npy", ".npz"]),
)
def test_blocks_of_any_length_make_the_array(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, ...], rows: int, fortran: bool, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("forms") / f"x{suffix}"
    expected = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    stored = np.asfortranarray(expected) if fortran else expected
    np.save(path, stored) if suffix == ".npy" else np.savez_compressed(path, stored)
    ndim = max(1, len(shape) - 1)
    file = open_tokens(path, TokenShape(ndim, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("codeword.media.token_forms._BLOCK_TOKENS", rows * int(np.prod(shape[1:], dtype=int)))
        read = [np.concatenate(list(file.blocks(i))) for i in range(len(file.names))]
    assert np.array_equal(np.array(read).ravel(), expected.ravel())
    assert all(np.array_equal(file.array(i), one) for i, one in enumerate(read))
    assert [file.size(i) for i in range(len(read))] == [one.shape[:-1] for one in read]


def test_long_signals_of_all_forms_are_divided_along_their_first_axis(tmp_path: Path) -> None:
    tokens = np.arange(300).reshape(100, 3)
    np.savez(tmp_path / "a.npz", tokens)
    np.save(tmp_path / "b.npy", tokens + 300)
    shard(tmp_path / "c.parquet", tokens[None, :, :, None] % VALUES)
    tree = {"root": tmp_path, "crop": [5, 3], "test_fraction": 0.2}
    x = found(TokensConfig.model_validate(tree), "test")
    assert len(x) == 3 * 4
    assert torch.equal(x[4:8].flatten(), torch.arange(300 + 240, 600))
    np.save(tmp_path / "d.npy", tokens.reshape(5, 20, 3))
    # Next to a file of several signals, all signals are divided as a whole.
    assert len(found(TokensConfig.model_validate(tree), "valid")) in (4, 20)
    with pytest.raises(DataError, match="has no test crop"):
        found(TokensConfig.model_validate(tree | {"crop": [101, 3]}), "test")


def test_a_recipe_for_tokens_needs_only_its_data(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(600).reshape(300, 2) % 7)
    small = [f"prior_training.{name}={value}" for name, value in TRAINING.items() if name != "precision"]
    shape = [f"data.root={tmp_path / 'x.npy'}", "data.crop=[10]", "data.codes=2"]
    overrides = [*shape, "prior.layers=1", *small]
    recipe = load_recipe("tokens", overrides=overrides)
    run = train(recipe, tmp_path / "run")
    resolved = run.recipe()
    assert isinstance(resolved.data, TokensConfig)
    assert (resolved.data.values, resolved.tokenizer.values) == (7, 7)
    assert run.tokenizer().quantizer.codebook_sizes == run.prior().codebook_sizes == (7, 7)
    assert train(recipe, tmp_path / "run", resume=True).recipe() == resolved
    more = load_recipe("tokens", overrides=[*overrides, "tokenizer.values=8"])
    assert train(more, tmp_path / "more").tokenizer().quantizer.codebook_sizes == (8, 8)
    fewer = load_recipe("tokens", overrides=[*overrides, "tokenizer.values=5"])
    with pytest.raises(RecipeError, match=r"tokens up to 6, but tokenizer.values is 5; set it and .* to 7"):
        train(fewer, tmp_path / "fewer")


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    def refused(said: str, name: str, **changes: object) -> None:
        tree = {"root": tmp_path / name, "crop": [2], **changes}
        with pytest.raises(DataError, match=said):
            found(TokensConfig.model_validate(tree), "train")

    np.savez(tmp_path / "two.npz", a=np.zeros(300, int), b=np.zeros(300))
    refused(r"two.npz: b holds float64 of shape \[300\]", "two.npz")
    refused("has no array 'c', only a, b; name one of them", "two.npz", column="c")
    assert len(found(TokensConfig(root=tmp_path / "two.npz", crop=(2,), column="a"), "train")) == 120
    np.savez(tmp_path / "none.npz")
    refused("holds no array", "none.npz")
    (tmp_path / "x.npz").write_bytes(b"PK")
    refused("is not a readable .npz file", "x.npz")
    (tmp_path / "x.txt").write_text("1 2 3")
    refused("is no file of tokens by its suffix; there are .npy, .npz, .parquet", "x.txt")
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    refused("has no x.parquet.sha256 next to it", "x.parquet")
    np.save(tmp_path / "few.npy", np.zeros((2, 5), int))
    with pytest.raises(DataError, match=r"holds too few signals \(2\) for a test split"):
        found(TokensConfig(root=tmp_path / "few.npy", crop=(2,)), "test")


def test_rows_that_are_no_grids_are_refused(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="needs codeword[tokens]")
    rows = {"ragged": [[[1, 2], [3]]] * 5, "flat": [[1, 2]] * 5, "text": ["x"] * 5}
    datasets.Dataset.from_dict(rows).save_to_disk(tmp_path / "saved")
    for column, said in (
        ("ragged", "row . cannot be read as one grid of tokens"),
        ("flat", r"holds int64 of shape \[2\]"),
        ("text", "holds <U1 of shape"),
        ("other", "has no column 'other', only ragged, flat, text; name the one that holds the tokens"),
        (None, "has no column None"),
    ):
        with pytest.raises(DataError, match=said):
            found(TokensConfig(root=tmp_path / "saved", crop=(1, 2), column=column), "train")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_file_that_is_written_again_is_read_again(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    for value in (3, 4):
        tokens = np.full((30, 2, 2), value)
        np.save(path, tokens) if suffix == ".npy" else np.savez(path, tokens)
        file = open_tokens(path, TokenShape(2, 1))
        assert int(file.array(5).max()) == int(next(file.blocks(5)).max()) == value


def test_tokens_that_memory_cannot_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "x.npz", np.zeros((30, 5), int))
    monkeypatch.setattr(module, "MOST_TOKENS", 60)
    with pytest.raises(DataError, match="has more than 60 tokens, too many to be held in memory"):
        found(TokensConfig(root=tmp_path / "x.npz", crop=(2,)), "train")


def test_the_recipe_for_tokens_is_complete_without_sizes() -> None:
    recipe: Recipe = load_recipe("tokens", overrides=["data.crop=[6]", "data.codes=3"])
    assert (recipe.tokenizer.ndim, recipe.tokenizer.channels, recipe.tokenizer.values) == (1, 3, 65536)
    given = load_recipe("tokens", overrides=["data.values=50"])
    assert (given.tokenizer.values, given.tokenizer.quantizer.codebook_sizes) == (50, (50,))  # type: ignore[union-attr]
