"""Invalid files: an error of ours or the right signal, soon, and in little memory."""

import io
import random
import resource
import struct
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import msgspec
import pytest
import torch
from tiny.codec_models import build, signal
from torch import Tensor

from codeword.codec import Codec, CompressOptions, Container, Entry, Signal
from codeword.codec.format import SEGMENT_BYTES, FileWriter, Header, Segment
from codeword.config import ConvTrunkConfig, GaussianConfig, PixelCNNConfig, ResidualQuantizerConfig, TokenizerConfig
from codeword.errors import CodewordError
from codeword.model import Model

# A header may claim an image of 61 MiB, one byte a pixel here, and this test itself holds it more than once.
MOST_GROWTH_MIB = 256
SIZES = {1: [(500,), (3,), (130,)], 2: [(20, 15), (1, 7), (33, 2)]}
SIDES: list[dict[str, bytes]] = [{"a": b"some bytes"}, {}, {"a": b"", "b": b"other bytes"}]
KINDS = {
    "tables": CompressOptions(portable=True),
    "prior": CompressOptions(),
    "lossless": CompressOptions(lossless=True, portable=True),
}


class Base(NamedTuple):
    """A right file, from which others are made."""

    codec: Codec
    content: bytes
    signals: list[Tensor]
    parts: list[bytes]


@cache
def smallest(ndim: int) -> Model:
    """As small as a model can be that has a prior, several rates and classes."""
    config = TokenizerConfig(
        ndim=ndim,  # type: ignore[arg-type]
        channels=1,
        trunk=ConvTrunkConfig(width=2, residual_width=2, residual_blocks=0, strides=(2,)),
        quantizer=ResidualQuantizerConfig(codebook_sizes=(4, 4), dim=2, lookup_dim=2, served_codes=(1,)),
        likelihood=GaussianConfig(),
        conditional=True,
        classes=("a", "b"),
    )
    return build(config, PixelCNNConfig(layers=1, width=2, head_width=2), classes=2)


@cache
def base(ndim: int, kind: str) -> Base:
    codec, out = Codec(smallest(ndim)), io.BytesIO()
    several = [signal(codec.model, *size) for size in SIZES[ndim]]
    signals = [
        Signal(f"{i}", tuple(x.shape[1:]), lambda x=x: [x], lambda i=i: SIDES[i])  # type: ignore[misc]
        for i, x in enumerate(several)
    ]
    codec.write(out, signals, KINDS[kind])
    content = out.getvalue()
    container = Container(content, "a file")
    parts, place = [content[: container._first]], container._first
    while place < len(content) - len(container._copy):
        length = SEGMENT_BYTES + int.from_bytes(content[place + 6 : place + 10], "little")
        parts.append(content[place : place + length])
        place += length
    parts.append(container._copy)
    return Base(codec, content, [found.x for found in read(codec, content, salvage=False)], parts)


class Read(NamedTuple):
    """One signal, as it was read."""

    entry: Entry
    x: Tensor
    damaged: list[int]
    side: dict[str, bytes]


def read(codec: Codec, content: bytes, *, salvage: bool) -> list[Read]:
    return [
        Read(found.entry, torch.cat(list(found.blocks), -1).long(), found.damage.blocks, found.side)
        for found in codec.read(Container(content, "a file"), salvage=salvage)
    ]


def flip(rng: random.Random, base: Base) -> bytes:
    content = bytearray(base.content)
    for _ in range(rng.choice([1, 1, 2, 9])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def cut(rng: random.Random, base: Base) -> bytes:
    return base.content[: rng.randrange(len(base.content))]


def splice(rng: random.Random, base: Base) -> bytes:
    """A piece taken out, put in, or overwritten by another piece of the file or by noise."""
    start, stop = sorted(rng.randrange(len(base.content)) for _ in range(2))
    first, last = sorted(rng.randrange(len(base.content)) for _ in range(2))
    piece = rng.choice([b"", base.content[first:last], rng.randbytes(last - first)])
    return base.content[:start] + piece + base.content[stop if rng.random() < 0.7 else start :]


def rearrange(rng: random.Random, base: Base) -> bytes:
    """Whole segments twice, elsewhere, or not at all."""
    header, segments, copy = base.parts[0], base.parts[1:-1], base.parts[-1]
    chosen = rng.choices(segments, k=rng.randrange(2 * len(segments)))
    return header + b"".join(rng.choice([chosen, rng.sample(segments, len(segments)), segments[::-1]])) + copy


def packed(header: Header, segments: list[Segment]) -> bytes:
    out = io.BytesIO()
    with FileWriter() as writer:
        for segment in segments:
            writer.add(segment)
        writer.finish(out, header)
    return out.getvalue()


def stored(part: bytes) -> Segment:
    """The segment in these bytes."""
    return Segment(part[SEGMENT_BYTES:], struct.unpack_from("<I", part, SEGMENT_BYTES - 4)[0])


def any_count(rng: random.Random) -> int:
    return rng.choice([1, 2, 3, 5, 130, 500, 1 << rng.randrange(41), rng.randrange(1, 1 << 40)])


def hostile_header(rng: random.Random, base: Base) -> bytes:
    """Any claims, with the right checks, before segments that are there."""
    header = Container(base.content, "a file").header
    changes: dict[str, Callable[[], Any]] = {
        "fingerprint": lambda: rng.randbytes(16),
        "coder": lambda: rng.choice(["uniform", "histogram", "prior"]),
        "lossless": lambda: rng.random() < 0.5,
        "codes": lambda: rng.choice([1, 2, 3, 64]),
        "label": lambda: rng.choice([None, 0, 1, 2, 3, 1 << 20]),
        "sample_rate": lambda: rng.choice([None, 1, 1 << 20]),
        "entries": lambda: tuple(
            Entry(
                rng.choice(["", "../../x", "\0", "x" * 4096]),
                tuple(any_count(rng) for _ in range(rng.choice([1, 2, base.signals[0].ndim - 1]))),
                rng.random() < 0.5,
            )
            for _ in range(rng.choice([1, 1, 2, 9]))
        ),
        "tables": lambda: rng.choice([b"", rng.randbytes(20), bytes(5000)]),
    }
    taken = rng.sample(sorted(changes), k=rng.choice([1, 1, 2, 3]))
    changed = msgspec.structs.replace(header, **{name: changes[name]() for name in taken})
    return packed(changed, [stored(part) for part in base.parts[1:-1]])


def hostile_segments(rng: random.Random, base: Base) -> bytes:
    """Any payloads, with the right checks of what is stored, and sometimes of what it says."""
    segments = [stored(part) for part in base.parts[1:-1]]
    for number, (payload, crc) in enumerate(segments):
        if rng.random() < 0.4:
            other = rng.choice([b"", rng.randbytes(len(payload)), payload[: len(payload) // 2], b"\xff" * 50])
            segments[number] = Segment(other, crc)
    return packed(Container(base.content, "a file").header, segments)


DAMAGE = [flip, cut, splice, rearrange, hostile_segments]
SHARES = [*DAMAGE, hostile_header]


def try_one(rng: random.Random) -> None:
    """One file made of a right one: read with and without salvage, it may be refused and may not be wrong."""
    right = base(rng.choice([1, 2]), rng.choice(list(KINDS)))
    way = rng.choice(SHARES)
    content = way(rng, right)
    # What salvage gives takes longer to make, and so it is made of fewer.
    for salvage in (False, True) if rng.random() < 0.3 else (False,):
        try:
            found = read(right.codec, content, salvage=salvage)
        except CodewordError:
            continue
        for one in found:
            assert one.x.shape == (1, *one.entry.size)
            assert 0 <= int(one.x.min()) <= int(one.x.max()) < 256
        if way in DAMAGE:
            assert all(one.side in ((side, {}) if salvage else (side,)) for one, side in zip(found, SIDES, strict=True))
            if not any(one.damaged for one in found):
                assert [one.x.tolist() for one in found] == [x.tolist() for x in right.signals]


def try_many(count: int, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(50):  # What is only loaded once does not count.
        try_one(rng)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        state = rng.getstate()
        try:
            try_one(rng)
        except Exception as error:
            error.add_note(f"file {number} of seed {seed}: random state hash {hash(state)}")
            raise
    growth_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert growth_mib < MOST_GROWTH_MIB


def test_files_that_nobody_wrote() -> None:
    try_many(1_000, seed=0)


@pytest.mark.slow
def test_a_hundred_thousand_files_that_nobody_wrote() -> None:
    try_many(100_000, seed=1)
