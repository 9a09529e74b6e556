"""A second reader, written from docs/format.md alone, reads what the codec writes; it shares no code with the first."""

import io
import struct
import zlib
from functools import partial
from itertools import product
from math import ceil
from typing import Any

import constriction
import msgspec
import numpy as np
import pytest
import torch
from tiny import codec_models
from tiny.codec_models import codes_of, signal

from codeword.codec import Codec, CompressOptions
from codeword.media.base import Signal
from codeword.model import Model
from codeword.nn.integers import softmax_weights
from codeword.priors import walk

MAGIC = bytes.fromhex("93 43 57 4F 52 44 0D 0A")


def container(content: bytes) -> tuple[list[Any], list[bytes]]:
    """The header and the payloads of all segments, with every CRC checked."""
    assert content[:8] == MAGIC
    version, form, length, crc = struct.unpack("<BBII", content[8:18])
    stored = content[18 : 18 + length]
    header = msgspec.msgpack.decode(zlib.decompress(stored) if form & 1 else stored)
    rest = content[18 + length :]
    assert version == 4
    assert crc == zlib.crc32(content[:14] + stored + (rest if form & 2 else b""))
    if form & 2:
        return header, [rest]
    assert rest.endswith(stored + content[8:18])
    payloads, rest = [], rest[: -length - 10]
    while rest:
        sync, number, size, crc, _ = struct.unpack("<2sIIII", rest[:18])
        payload = rest[18 : 18 + size]
        assert (sync, number) == (b"\xd7\x5a", len(payloads))
        assert crc == zlib.crc32(content[:18] + stored + rest[:10] + rest[14:18] + payload)
        payloads.append(payload)
        rest = rest[18 + size :]
    return header, payloads


def blocks_of(grid: tuple[int, ...], block: tuple[int, ...]) -> list[tuple[range, ...]]:
    """For each block the cells on the grid that it covers, along each axis."""
    starts = product(*(range(0, n, q) for n, q in zip(grid, block, strict=True)))
    return [tuple(range(s, min(s + q, n)) for s, q, n in zip(at, block, grid, strict=True)) for at in starts]


def symbols(payload: bytes) -> constriction.stream.queue.RangeDecoder:
    words = np.frombuffer(payload + bytes(-len(payload) % 4), ">u4").astype(np.uint32)
    return constriction.stream.queue.RangeDecoder(words)


def table(weights: np.ndarray) -> Any:
    return constriction.stream.model.Categorical(weights.astype(np.float32), perfect=False)


def read(content: bytes, model: Model) -> list[torch.Tensor]:
    """The codes (*G, n) of all signals of a lossy file."""
    (fingerprint, coder, lossless, n, label, _, entries, tables, _), payloads = container(content)
    assert bytes.fromhex(model.fingerprint)[:8] == fingerprint
    assert not lossless
    sizes = model.tokenizer.quantizer.codebook_sizes[:n]
    prior, ndim = model.exact_prior, len(entries[0][1])
    grids = [tuple(ceil(s / model.tokenizer.hop) for s in size) for _, size, _, _ in entries]
    found = [torch.zeros(*grid, n, dtype=torch.int64) for grid in grids]
    fixed = prior.any_grid and (ndim == 1 or set(prior.grid) == {1})
    block = (512,) * ndim if ndim == 1 and fixed else (16,) * ndim if fixed else prior.grid
    blocks = [(codes, cells) for codes, grid in zip(found, grids, strict=True) for cells in blocks_of(grid, block)]
    together = 1
    while ndim > 1 and together < min(len(blocks), 64):
        together *= 2
    for first in range(0, len(blocks), together):
        own, decoder = blocks[first : first + together], symbols(payloads.pop(0))
        if coder == "prior":
            read_under_prior(prior, decoder, own, block, label)
            continue
        weights = [np.ones(s) for s in sizes]
        if coder == "histogram":
            weights = np.split(np.frombuffer(zlib.decompress(tables), "<u2"), np.cumsum(sizes)[:-1])
        cells = [(codes, cell) for codes, ranges in own for cell in product(*ranges)]
        for k in range(n):
            for (codes, cell), symbol in zip(cells, decoder.decode(table(weights[k]), len(cells)), strict=True):
                codes[(*cell, k)] = int(symbol)
    assert payloads == []
    return found


def read_under_prior(
    prior: Any,
    decoder: Any,
    blocks: list[tuple[torch.Tensor, tuple[range, ...]]],
    size: tuple[int, ...],
    label: int | None,
) -> None:
    n = blocks[0][0].shape[-1]

    def choose(logits: torch.Tensor, i: int) -> torch.Tensor:
        cell, k = divmod(i, n)
        place, chosen = np.unravel_index(cell, size), torch.zeros(len(blocks), dtype=torch.int64)
        for b, ((codes, ranges), weights) in enumerate(zip(blocks, softmax_weights(logits), strict=True)):
            if all(p < len(r) for p, r in zip(place, ranges, strict=True)):
                chosen[b] = int(decoder.decode(table(weights.numpy())))
                codes[(*(r[int(p)] for p, r in zip(place, ranges, strict=True)), k)] = chosen[b]
        return chosen

    labels = None if label is None else torch.full((len(blocks),), label)
    walk(prior, len(blocks), choose, label=labels, grid=size, codes=n)


@pytest.mark.parametrize(
    ("model", "size", "options"),
    [
        (codec_models.model(2), (44, 30), CompressOptions()),
        (codec_models.model(2, classes=2), (16, 12), CompressOptions(label=1)),
        (codec_models.model(2, "uniform"), (90, 130), CompressOptions()),
        (codec_models.speech(), (640,), CompressOptions()),
        (codec_models.speech(), (20_000,), CompressOptions(codes=2)),
    ],
)
def test_the_specification_is_enough_to_read_files(
    model: Model, size: tuple[int, ...], options: CompressOptions
) -> None:
    signals = [signal(model, *size, seed=seed) for seed in range(3)]
    out = io.BytesIO()
    Codec(model).write(out, [Signal(str(i), size, partial(iter, [x])) for i, x in enumerate(signals)], options)
    for content, written in ((Codec(model).compress(signals[0], options), signals[:1]), (out.getvalue(), signals)):
        for codes, x in zip(read(content, model), written, strict=True):
            assert torch.equal(codes, codes_of(model, x)[..., : options.codes])
