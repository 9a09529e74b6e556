"""A third medium is one class and one row: grey volumes in .npy files, through every command on files."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny.cli import run_cli
from torch import Tensor

from codeword.config import (
    ConvTrunkConfig,
    GaussianConfig,
    PixelCNNConfig,
    PriorConfig,
    PriorModelConfig,
    TokenizerConfig,
    UniformPriorConfig,
    VectorQuantizerConfig,
)
from codeword.errors import DataError
from codeword.files import read
from codeword.media import MEDIA, Medium, medium_of
from codeword.media.base import EMPTY, Side
from codeword.model import Model
from codeword.priors import build_prior
from codeword.store.shards import read_shard, shard_paths
from codeword.tokenizer import Tokenizer

SIZES = {"a.npy": (9, 12, 10), "below/b.npy": (5, 7, 300)}


class Volumes(Medium):
    """Grey volumes (D, H, W) of 8 bits."""

    name, singular, plural, ndim = "volumes", "a volume", "volumes", 3
    axes, cell_axes = ("depth", "height", "width"), ("layers", "rows", "columns")
    suffixes, formats = frozenset({".npy"}), ("npy",)

    def fits(self, config: TokenizerConfig) -> bool:
        return (config.channels, config.values) == (1, 256)

    def size(self, path: Path, config: TokenizerConfig) -> tuple[int, ...]:
        return tuple(self._open(path).shape)

    def read(self, path: Path, config: TokenizerConfig, notes: list[str] | None = None) -> Iterator[Tensor]:
        yield torch.from_numpy(np.array(self._open(path)))[None]

    def write(
        self, path: Path, blocks: Iterable[Tensor], config: TokenizerConfig, *, replace: bool = True, side: Side = EMPTY
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, torch.cat(list(blocks), 1)[0].numpy().astype(np.uint8))

    def _open(self, path: Path) -> np.ndarray:
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read as a volume ({error}); write it again.") from error


@pytest.fixture(autouse=True)
def volumes(monkeypatch: pytest.MonkeyPatch) -> Medium:
    medium = Volumes()
    # Tokens have the same suffix.
    for name in [name for name, other in MEDIA.items() if ".npy" in other.suffixes]:
        monkeypatch.delitem(MEDIA, name)
    monkeypatch.setitem(MEDIA, medium.name, medium)
    return medium


@pytest.fixture(params=["uniform", "pixelcnn"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    tokenizer = Tokenizer(
        TokenizerConfig(
            ndim=3,
            channels=1,
            trunk=ConvTrunkConfig(width=4, residual_width=2, residual_blocks=1, strides=(2, 2)),
            quantizer=VectorQuantizerConfig(codebook_sizes=(16,), dim=4),
            likelihood=GaussianConfig(),
        )
    )
    tokenizer(torch.randint(256, (4, 1, 8, 8, 8)))
    architecture: PriorConfig = (
        UniformPriorConfig() if request.param == "uniform" else PixelCNNConfig(layers=2, width=4, head_width=4)
    )
    prior = build_prior(PriorModelConfig(architecture=architecture, grid=(2, 3, 2), codebook_sizes=(16,)))
    Model(tokenizer.eval(), prior.eval()).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for name, size in SIZES.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, generator.integers(0, 256, size, dtype=np.uint8))
    (tmp_path / "in" / "broken.npy").write_bytes(b"no volume")
    return tmp_path / "in"


def decoded(model: Path, path: Path) -> np.ndarray:
    """The volume that a model makes of a file, in one piece."""
    tokenizer, x = Model.load(model).tokenizer, read(path, model)
    return tokenizer.decode(tokenizer.encode(x[None]), size=tuple(x.shape[1:]))[0, 0].numpy()


def test_its_files_go_through_every_command(model: Path, folder: Path, tmp_path: Path) -> None:
    assert medium_of(Model.load(model).tokenizer.config).name == "volumes"
    expected = {name: decoded(model, folder / name) for name in SIZES}
    assert run_cli("compress", folder, "--out", tmp_path / "a.cw", "--model", model) == 1, "one file is broken"
    assert run_cli("decompress", tmp_path / "a.cw", "--out", tmp_path / "files", "--model", model) == 0
    assert run_cli("encode", model, folder, "--out", tmp_path / "codes.npz") == 1
    assert run_cli("decode", model, tmp_path / "codes.npz", "--out", tmp_path / "codes") == 0
    assert run_cli("reconstruct", model, folder, "--out", tmp_path / "same") == 1
    assert run_cli("tokenize", model, folder, "--out", tmp_path / "tokens") == 1
    assert run_cli("detokenize", model, tmp_path / "tokens", "--out", tmp_path / "again") == 0
    for name, volume in expected.items():
        for out in ("files", "codes", "same", "again"):
            found = np.load(tmp_path / out / name)
            assert found.shape == volume.shape
            assert int(np.abs(found.astype(int) - volume).max()) <= 1
    (shard,) = (read_shard(path) for path in shard_paths(tmp_path / "tokens"))
    assert {row.id: row.size for row in shard.rows} == SIZES


def test_its_files_come_back_exactly(model: Path, folder: Path, tmp_path: Path) -> None:
    source, archive = folder / "a.npy", tmp_path / "a.cw"
    assert run_cli("compress", source, "--out", archive, "--model", model, "--lossless") == 0
    assert run_cli("decompress", archive, "--out", tmp_path / "back.npy", "--model", model) == 0
    assert np.array_equal(np.load(tmp_path / "back.npy"), np.load(source))


def test_without_a_model_in_the_package_one_must_be_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("compress", folder, "--out", tmp_path / "a.cw") == 2
    assert "No model for volumes comes with Codeword; give a model." in capsys.readouterr().err
