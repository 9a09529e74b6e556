"""Tiny models and the data they are for, at both ranks, for tests of tokens."""

from pathlib import Path

import numpy as np
import soundfile
import torch
from PIL import Image
from tiny.tokenizers import SPEECH

from codeword.config import ConvTrunkConfig, GaussianConfig, TokenizerConfig, VectorQuantizerConfig
from codeword.store.shards import Shard, ShardInfo, TokenRow
from codeword.tokenizer import Tokenizer

assert SPEECH.sample_rate is not None
RATE = SPEECH.sample_rate
IMAGES = TokenizerConfig(
    trunk=ConvTrunkConfig(width=8, residual_width=4, residual_blocks=1),
    quantizer=VectorQuantizerConfig(codebook_sizes=(16, 8), dim=8),
    likelihood=GaussianConfig(),
)
CONFIGS = {1: SPEECH, 2: IMAGES}


def save_tokenizer(folder: Path, ndim: int, *, seed: int = 0) -> Tokenizer:
    """Untrained, but with a codebook that the data reaches."""
    torch.manual_seed(seed)
    config = CONFIGS[ndim]
    tokenizer = Tokenizer(config)
    tokenizer(torch.randint(config.values, (4, config.channels, *[40 * tokenizer.hop // (1 + 4 * (ndim - 1))] * ndim)))
    tokenizer.eval().save_pretrained(folder)
    return tokenizer


def write_files(folder: Path, ndim: int, count: int) -> list[str]:
    """Images of two sizes or recordings of any, in two subfolders; returns their ids."""
    generator = np.random.default_rng(0)
    names = [f"{'ab'[i % 2]}/{i:03}{'.wav' if ndim == 1 else '.png'}" for i in range(count)]
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if ndim == 1:
            soundfile.write(path, generator.uniform(-0.5, 0.5, 300 + 41 * i), RATE)
        else:
            pixels = generator.integers(0, 256, (12, 16 if i % 5 else 9, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
    return sorted(names)


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file by its name, left-over temporary files included."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def info(*, ndim: int = 2, codebook_sizes: tuple[int, ...] = (7, 5), hop: int = 2) -> ShardInfo:
    return ShardInfo(
        fingerprint="f" * 64,
        ndim=ndim,  # type: ignore[arg-type]
        hop=hop,
        codebook_sizes=codebook_sizes,
        sample_rate=RATE if ndim == 1 else None,
        part="0" * 64,
    )


def rows(about: ShardInfo, sizes: list[tuple[int, ...]], *, seed: int = 0) -> tuple[TokenRow, ...]:
    generator = torch.Generator().manual_seed(seed)
    made = []
    for i, size in enumerate(sizes):
        grid = [-(-n // about.hop) for n in size]
        codes = torch.stack([torch.randint(n, grid, generator=generator) for n in about.codebook_sizes], -1)
        made.append(TokenRow(f"a/{i}.png", codes, size, "a" if i % 2 else None, f"/data/a/{i}.png"))
    return tuple(made)


def assert_same(read: Shard, written: Shard) -> None:
    assert read.info == written.info
    for a, b in zip(read.rows, written.rows, strict=True):
        assert (a.id, a.size, a.label, a.source) == (b.id, b.size, b.label, b.source)
        assert torch.equal(a.codes, b.codes)
