"""Tokens of another tokenizer, in .npy files: trained on, compressed, sampled and measured without loss."""

import json
import lzma
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import token_files
from tiny.cli import run_cli
from tiny.recipes import TRAINING

from codeword.codec import Container
from codeword.config import Recipe, TokenizerConfig
from codeword.data import open_dataset
from codeword.errors import DataError, RecipeError
from codeword.evaluation import evaluate, report
from codeword.media import medium_of
from codeword.model import Model, uniform
from codeword.tokenizer import Tokenizer
from codeword.training import Run, train

VALUES = 12
SHAPES = {1: (3000,), 2: (600, 5), 3: (250, 3, 4)}
# On one axis, blocks of any length: each block of a recording is a segment of its own, with a head of 18 bytes.
PRIORS = {
    1: {"kind": "wavenet", "dilations": (1, 2), "width": 16, "skip_width": 16, "head_width": 16},
    2: {"kind": "pixelcnn", "layers": 2, "width": 16, "head_width": 16},
}
CROPS = {1: (20,), 2: (8, 5), 3: (4, 3, 4)}


identity = partial(token_files.identity, values=VALUES)


def recipe(root: Path, ndim: int, codes: int) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "tiny-tokens",
            "data": {"kind": "tokens", "root": root, "crop": CROPS[ndim], "codes": codes, "values": VALUES},
            "tokenizer": identity(ndim, codes).model_dump(),
            "prior": PRIORS[min(ndim, 2)],
            "prior_training": TRAINING | {"steps": 80, "batch_size": 8, "learning_rate": 0.01, "warmup_steps": 0},
        }
    )


@pytest.fixture(params=[(1, 1), (1, 3), (2, 1), (3, 2)], ids=lambda p: f"{p[0]}-D, {p[1]} codes")
def kind(request: pytest.FixtureRequest) -> tuple[int, int]:
    ndim, codes = request.param
    return ndim, codes


@pytest.fixture
def path(kind: tuple[int, int], tmp_path: Path) -> Path:
    """Tokens that mostly repeat those before them along the first axis."""
    ndim, codes = kind
    generator = np.random.default_rng(0)
    shape = (*SHAPES[ndim], codes) if codes > 1 else SHAPES[ndim]
    tokens = generator.integers(VALUES, size=shape)
    for i in range(1, len(tokens)):
        tokens[i] = np.where(generator.random(shape[1:]) < 0.9, tokens[i - 1], tokens[i])
    np.save(tmp_path / "tokens.npy", tokens.astype(np.uint16))
    return tmp_path / "tokens.npy"


@pytest.fixture
def run(kind: tuple[int, int], path: Path, tmp_path: Path) -> Run:
    return train(recipe(path, *kind), tmp_path / "run")


def test_a_prior_over_tokens_compresses_them_without_loss(run: Run, path: Path, tmp_path: Path) -> None:
    packed, back = tmp_path / "tokens.cw", tmp_path / "back.npy"
    assert run_cli("compress", path, "--out", packed, "--model", run.folder) == 0
    assert run_cli("decompress", packed, "--out", back, "--model", run.folder) == 0
    tokens = np.load(path)
    assert np.load(back).dtype == np.uint16
    assert np.array_equal(np.load(back), tokens)
    assert Container(packed.read_bytes(), "tokens.cw").header.coder == "prior"
    assert packed.stat().st_size < tokens.size * np.log2(VALUES) / 8, "the prior has learned something"


def test_samples_and_codes_are_tokens_too(run: Run, path: Path, tmp_path: Path, kind: tuple[int, int]) -> None:
    assert run_cli("sample", run.folder, "-n", "2", "--out", tmp_path / "samples") == 0
    assert np.load(tmp_path / "samples" / "sample-0002.npy").shape[: kind[0]] == CROPS[kind[0]]
    assert run_cli("encode", run.folder, path, "--out", tmp_path / "codes.npz") == 0
    assert run_cli("decode", run.folder, tmp_path / "codes.npz", "--out", tmp_path / "decoded") == 0
    assert np.array_equal(np.load(tmp_path / "decoded" / "tokens.npy"), np.load(path))


def test_an_evaluation_compares_with_other_compressors_of_the_same_tokens(
    run: Run, kind: tuple[int, int], path: Path
) -> None:
    evaluation = evaluate(run, files=True)
    value = {name: metric.value for name, metric in evaluation.metrics.items()}
    config = run.recipe().data
    splits = {split: open_dataset(config, split) for split in ("train", "test")}  # type: ignore[arg-type]
    train_tokens, tokens = (data.take(range(len(data))).x.movedim(1, -1).numpy() for data in splits.values())
    codes = kind[1]
    counts = [1 + np.bincount(train_tokens[..., k].ravel(), minlength=VALUES) for k in range(codes)]
    bits = [-np.log2(c / c.sum())[tokens[..., k]].mean() for k, c in enumerate(counts)]
    assert value["order0_bits_per_token"] == pytest.approx(np.mean(bits))
    transposed = np.moveaxis(tokens.astype(np.uint8), (0, 1), (-2, -1))
    assert len(set(transposed.reshape(-1, *transposed.shape[-2:])[0].ravel().tolist())) > 1
    for name, array in (("lzma", tokens.astype(np.uint8)), ("lzma_transposed", transposed)):
        size = len(lzma.compress(array.tobytes(), preset=9 | lzma.PRESET_EXTREME))
        assert value[f"{name}_bits_per_token"] == 8 * size / tokens.size
    assert 0 < value["zstd_bits_per_token"] < 8.5
    assert value["bits_per_token"] < value["order0_bits_per_token"] < np.log2(VALUES) + 0.1
    ours, *others = evaluation.files
    assert (ours.name, ours.kind, ours.bytes) == ("Codeword", "lossless", round(ours.rate.value * tokens.size / 8))
    assert [(file.name, file.rate.unit) for file in others] == [("lzma", "bit/token")] * 2 + [("zstd", "bit/token")]
    assert [file.rate.value for file in others] == [
        value[f"{name}_bits_per_token"] for name in ("lzma", "lzma_transposed", "zstd")
    ]


def test_the_report_and_the_card_show_the_table(run: Run, tmp_path: Path) -> None:
    evaluate(run)
    page = report(run, samples=1).read_text()
    assert run_cli("export", run.folder, "--out", tmp_path / "model") == 0
    card = (tmp_path / "model" / "README.md").read_text()
    for text in (page, card):
        assert "Bits per token, under the prior" in text
        assert "in lzma, each place through time" in text


def test_the_splits_are_consecutive_parts_of_the_first_axis(path: Path, kind: tuple[int, int]) -> None:
    config = recipe(path, *kind).data
    tokens = torch.from_numpy(np.load(path).astype(np.int64)).view(*SHAPES[kind[0]], kind[1]).movedim(-1, 0)
    crop, (count, *_) = CROPS[kind[0]], SHAPES[kind[0]]
    valid, test = round(0.8 * count), round(0.9 * count)
    for split, first in (("train", 0), ("valid", valid), ("test", test)):
        data = open_dataset(config, split)  # type: ignore[arg-type]
        assert data.shape == (kind[1], *crop)
        assert torch.equal(data.take([0]).x[0], tokens[:, first : first + crop[0]])
        drawn = data.take([0] * 20, generator=torch.Generator().manual_seed(0)).x
        if split == "train":
            assert len({tuple(x.flatten().tolist()) for x in drawn}) > 5


def test_a_folder_gives_the_tokens_of_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name in ("a.npy", "below/b.npy"):
        np.save(tmp_path / name, np.full(300, len(name)))
    data = open_dataset(recipe(tmp_path, 1, 1).data, "train")
    assert {int(data.take([i]).x.unique()) for i in range(len(data))} == {5, 11}
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no tokens"):
        open_dataset(recipe(tmp_path / "empty", 1, 1).data, "train")


@pytest.mark.parametrize("values", [2, 1024, 65536])
def test_every_token_comes_back(values: int) -> None:
    tokenizer = Tokenizer(identity(1, 2, values=values)).eval()
    tokens = torch.arange(values).repeat(2, 1)
    codes = tokenizer.encode(tokens[None])
    assert torch.equal(codes[0].T, tokens)
    assert torch.equal(tokenizer.decode(codes)[0], tokens)
    assert float(tokenizer.log_prob(tokens[None])) == 0
    assert medium_of(tokenizer.config).name == "tokens-1d"


def test_a_saved_tokenizer_of_tokens_is_the_same_loaded(tmp_path: Path) -> None:
    tokenizer = Tokenizer(identity(2, 1)).eval()
    tokenizer.save_pretrained(tmp_path)
    assert Tokenizer.from_pretrained(tmp_path).fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (np.zeros((30, 2)), "holds float64 of shape"),
        (np.zeros((30, 2, 3), np.int64), "is for integers on 1 axes with 2 codes"),
        (
            np.full((30, 2), VALUES),
            r"holds tokens from 12 to 12, but this is for 12 from 0 on; 13 would fit \(data.values",
        ),
        (np.full((30, 2), -1), "holds tokens from -1"),
        (np.zeros((0, 2), np.int64), "holds int64 of shape"),
        (np.array([{}, {}], dtype=object), "no readable .npy file"),
        (b"\x93NUMPY", "no readable .npy file"),
        (np.zeros((3, 2), np.int64), "has no train crop"),
    ],
)
def test_files_that_are_no_such_tokens_are_refused(tokens: np.ndarray | bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    if isinstance(tokens, bytes):
        path.write_bytes(tokens)
    else:
        np.save(path, tokens, allow_pickle=True)
    with pytest.raises(DataError, match=said):
        open_dataset(recipe(path, 1, 2).data, "train")


def test_parts_of_a_tokenizer_of_tokens_belong_together() -> None:
    tree = identity(1, 2).model_dump()
    for changes in ({"values": 8}, {"channels": 1}, {"trunk": {"kind": "conv"}}, {"likelihood": {"kind": "gaussian"}}):
        with pytest.raises(ValueError, match="tokens need"):
            TokenizerConfig.model_validate(tree | changes)
    tree["quantizer"]["codebook_sizes"] = (12, 8)
    with pytest.raises(ValueError, match="must be equal"):
        TokenizerConfig.model_validate(tree)


def test_the_sizes_of_data_and_tokenizer_must_agree(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((300, 2), np.int64))
    wrong = recipe(tmp_path / "x.npy", 1, 2)
    other = wrong.model_copy(update={"data": wrong.data.model_copy(update={"values": 11})})
    with pytest.raises(RecipeError, match=r"data\.values is 11, but tokenizer\.values is 12"):
        train(other, tmp_path / "run")


def test_equal_codes_in_all_cells_come_back(tmp_path: Path) -> None:
    tokenizer = Tokenizer(identity(1, 2)).eval()
    Model(tokenizer, uniform(tokenizer)).save_pretrained(tmp_path / "model")
    np.save(tmp_path / "x.npy", np.repeat(np.arange(VALUES)[:, None], 2, 1))
    assert run_cli("compress", tmp_path / "x.npy", "--out", tmp_path / "x.cw", "--model", tmp_path / "model") == 0
    back = tmp_path / "back.npy"
    assert run_cli("decompress", tmp_path / "x.cw", "--out", back, "--model", tmp_path / "model") == 0
    assert np.array_equal(np.load(back), np.load(tmp_path / "x.npy"))


def test_info_tells_the_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "x.npy", np.zeros((30, 4), np.uint16))
    assert run_cli("info", tmp_path / "x.npy", "--json") == 0
    size = (tmp_path / "x.npy").stat().st_size
    expected = {"holds": "a grid of tokens", "bytes": size, "numbers": "uint16", "shape": [30, 4]}
    assert json.loads(capsys.readouterr().out) == expected
    np.savez(tmp_path / "x.npz", np.zeros(3))
    (tmp_path / "x.npz").rename(tmp_path / "x.npy")
    assert run_cli("info", tmp_path / "x.npy") == 1
    assert "x.npy is no readable .npy file" in capsys.readouterr().err
