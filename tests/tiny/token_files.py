"""Grids of tokens in files of every form, and tiny models of tokens."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from codeword.config import (
    IdentityLikelihoodConfig,
    IdentityQuantizerConfig,
    IdentityTrunkConfig,
    PixelCNNConfig,
    PriorConfig,
    PriorModelConfig,
    TokenizerConfig,
    UniformPriorConfig,
)
from codeword.model import Model
from codeword.priors import build_prior
from codeword.store.npz import CodedSignal, write_codes
from codeword.store.shards import Shard, ShardInfo, TokenRow, write_shard
from codeword.tokenizer import Tokenizer

VALUES, COUNT = 9, 20
GRIDS = {1: (12,), 2: (4, 3)}


def random_tokens(ndim: int, codes: int) -> np.ndarray:
    """Many signals of one size (N, *S, K); each token of signal i is at most i % VALUES."""
    generator = np.random.default_rng(0)
    most = np.arange(COUNT).reshape(-1, *[1] * (ndim + 1)) % VALUES
    return generator.integers(0, most + 1, size=(COUNT, *GRIDS[ndim], codes))


def identity(ndim: int, codes: int, values: int = VALUES) -> TokenizerConfig:
    return TokenizerConfig(
        ndim=ndim,  # type: ignore[arg-type]
        channels=codes,
        values=values,
        trunk=IdentityTrunkConfig(),
        quantizer=IdentityQuantizerConfig(codebook_sizes=(values,) * codes),
        likelihood=IdentityLikelihoodConfig(),
    )


@cache
def tokens_model(ndim: int, codes: int, kind: str = "uniform", side: int = 4) -> Model:
    """A model of tokens with an untrained prior on crops of `side` cells along each axis."""
    torch.manual_seed(0)
    architecture: PriorConfig = (
        UniformPriorConfig() if kind == "uniform" else PixelCNNConfig(layers=1, width=4, kernel=3, head_width=4)
    )
    sizes = (VALUES,) * codes
    prior = build_prior(PriorModelConfig(architecture=architecture, grid=(side,) * ndim, codebook_sizes=sizes))
    return Model(Tokenizer(identity(ndim, codes)).eval(), prior.eval())


def codes_file(path: Path, signals: np.ndarray) -> None:
    """As `codeword encode` writes it, for a tokenizer with a hop of 4."""
    rows = [
        CodedSignal(f"{i}.png", tuple(4 * n for n in one.shape[:-1]), torch.from_numpy(one))
        for i, one in enumerate(signals)
    ]
    write_codes(path, rows, codebook_sizes=(VALUES,) * signals.shape[-1])


def shard(path: Path, signals: np.ndarray) -> None:
    """As `codeword tokenize` writes it, for a tokenizer with a hop of 4."""
    info = ShardInfo(
        fingerprint="f" * 64,
        ndim=signals.ndim - 2,  # type: ignore[arg-type]
        hop=4,
        codebook_sizes=(VALUES,) * signals.shape[-1],
        sample_rate=None,
        part="0" * 64,
    )
    rows = [
        TokenRow(f"{i}.png", torch.from_numpy(one), tuple(4 * n for n in one.shape[:-1]), None, f"/data/{i}.png")
        for i, one in enumerate(signals)
    ]
    write_shard(path, Shard(info, tuple(rows)))


def bare(signals: np.ndarray) -> np.ndarray:
    """Without the axis of K where it is 1, as 16-bit integers."""
    return (signals[..., 0] if signals.shape[-1] == 1 else signals).astype(np.uint16)


def save_data_set(path: Path, signals: np.ndarray) -> None:
    datasets = pytest.importorskip("datasets", reason="needs codeword[tokens]")
    datasets.Dataset.from_dict({"other": [0] * len(signals), "grid": bare(signals).tolist()}).save_to_disk(path)


FORMS: dict[str, Callable[[Path, np.ndarray], None]] = {
    "x.npy": lambda path, signals: np.save(path, bare(signals)),
    "x.npz": lambda path, signals: np.savez(path, grid=bare(signals)),
    "packed.npz": lambda path, signals: np.savez_compressed(path, a=np.zeros(3), grid=np.asfortranarray(bare(signals))),
    "several.npz": lambda path, signals: np.savez(path, **{str(i): bare(x) for i, x in enumerate(signals)}),
    "codes.npz": codes_file,
    "x.parquet": shard,
    "saved": save_data_set,
}
