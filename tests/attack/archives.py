"""Compressed files: damaged, rearranged, and forged with the right checks."""

import io
import random
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from attack.engine import Reader, check_refusal
from attack.models import Files, saved, write
from attack.mutations import EXTREMES, NAMES, mutated
from tiny.codec_models import build, signal
from torch import Tensor

from codeword.codec import Codec, CompressOptions, Container, Entry, Signal
from codeword.codec.format import SEGMENT_BYTES, FileWriter, Header, Segment
from codeword.config import ConvTrunkConfig, GaussianConfig, PixelCNNConfig, ResidualQuantizerConfig, TokenizerConfig
from codeword.errors import CodewordError
from codeword.files import decompress
from codeword.media.images import read_image
from codeword.model import Model

SIZES = {1: [(500,), (3,), (130,)], 2: [(20, 15), (1, 7), (33, 2)]}
KINDS = {"tables": CompressOptions(codes=1), "prior": CompressOptions(), "lossless": CompressOptions(lossless=True)}
TEXTS = [name for name in NAMES if "\udc80" not in name] + ["a/b.png", "a/b.jpg", "0"]


SIDES: list[dict[str, bytes]] = [{"a": b"some bytes"}, {}, {"a": b"", "b": b"other bytes"}]


class Base(NamedTuple):
    """A valid file with its header, its segments and what is after them, and the signals in it."""

    codec: Codec
    content: bytes
    signals: list[Tensor]
    head: bytes
    segments: list[bytes]
    tail: bytes
    header: Header


class Read(NamedTuple):
    """One signal, as it was read."""

    entry: Entry
    x: Tensor
    damaged: list[int]
    side: dict[str, bytes]


@cache
def smallest(ndim: int, channels: int = 1) -> Model:
    """As small as a model can be that has a prior, several rates and classes."""
    config = TokenizerConfig(
        ndim=ndim,  # type: ignore[arg-type]
        channels=channels,
        trunk=ConvTrunkConfig(width=2, residual_width=2, residual_blocks=0, strides=(2,)),
        quantizer=ResidualQuantizerConfig(codebook_sizes=(4, 4), dim=2, lookup_dim=2, served_codes=(1,)),
        likelihood=GaussianConfig(),
        conditional=True,
        classes=("a", "b"),
    )
    return build(config, PixelCNNConfig(layers=1, width=2, head_width=2), classes=2)


@cache
def base(ndim: int, kind: str, channels: int = 1) -> Base:
    codec, out = Codec(smallest(ndim, channels)), io.BytesIO()
    several = [signal(codec.model, *size) for size in SIZES[ndim]]
    signals = [
        Signal(f"{i}", tuple(x.shape[1:]), lambda x=x: [x], lambda i=i: SIDES[i])  # type: ignore[misc]
        for i, x in enumerate(several)
    ]
    codec.write(out, signals, KINDS[kind])
    content = out.getvalue()
    container = Container(content, "a file")
    place, segments = container._first, []
    while place < len(content) - len(container._copy):
        length = SEGMENT_BYTES + int.from_bytes(content[place + 6 : place + 10], "little")
        segments.append(content[place : place + length])
        place += length
    right = [found.x for found in read(codec, content, salvage=False)]
    return Base(codec, content, right, content[: container._first], segments, container._copy, container.header)


def read(codec: Codec, content: bytes, *, salvage: bool) -> list[Read]:
    return [
        Read(found.entry, torch.cat(list(found.blocks), -1).long(), found.damage.blocks, found.side)
        for found in codec.read(Container(content, "a file"), salvage=salvage)
    ]


def forged(header: Header, segments: list[Segment]) -> bytes:
    """A file with the right checks of whatever is in it."""
    out = io.BytesIO()
    with FileWriter() as writer:
        for segment in segments:
            writer.add(segment)
        writer.finish(out, header)
    return out.getvalue()


def stored(segment: bytes) -> Segment:
    return Segment(segment[SEGMENT_BYTES:], struct.unpack_from("<I", segment, SEGMENT_BYTES - 4)[0])


def damage(rng: random.Random, base: Base) -> bytes:
    return mutated(rng, base.content)


def rearrange(rng: random.Random, base: Base) -> bytes:
    """Whole segments twice, elsewhere, or not at all."""
    segments = base.segments
    chosen = rng.choices(segments, k=rng.randrange(2 * len(segments)))
    return base.head + b"".join(rng.choice([chosen, rng.sample(segments, len(segments)), segments[::-1]])) + base.tail


def hostile_segments(rng: random.Random, base: Base) -> bytes:
    """Any payloads, with the right checks of what is stored, and sometimes of what it decodes to."""
    segments = [stored(segment) for segment in base.segments]
    for number, (payload, crc) in enumerate(segments):
        if rng.random() < 0.4:
            noise = [
                b"",
                rng.randbytes(len(payload)),
                payload[: len(payload) // 2],
                b"\xff" * 50,
                mutated(rng, payload),
            ]
            segments[number] = Segment(rng.choice(noise), crc)
    return forged(base.header, segments)


def any_count(rng: random.Random) -> int:
    return rng.choice([1, 2, 3, 5, 130, 500, 1 << rng.randrange(41), rng.randrange(1, 1 << 40)])


def hostile_header(rng: random.Random, base: Base) -> bytes:
    """Any claims, with the right checks, before segments that are there."""
    header, ndim = base.header, base.signals[0].ndim - 1
    changes: dict[str, Callable[[], Any]] = {
        "fingerprint": lambda: rng.randbytes(rng.choice([0, 16, 16, 17])),
        "coder": lambda: rng.choice(["uniform", "histogram", "prior", "", None]),
        "lossless": lambda: rng.choice([True, False, 1, None]),
        "codes": lambda: rng.choice([1, 2, 3, 64, *EXTREMES[:-1]]),
        "label": lambda: rng.choice([None, 0, 1, 2, 3, 1 << 20, -1, "a"]),
        "sample_rate": lambda: rng.choice([None, 1, 1 << 20, 0, -1]),
        "entries": lambda: tuple(
            Entry(rng.choice(TEXTS), tuple(any_count(rng) for _ in range(rng.choice([1, 2, ndim]))), rng.random() < 0.5)
            for _ in range(rng.choice([1, 1, 2, 9]))
        ),
        "tables": lambda: rng.choice([b"", rng.randbytes(20), bytes(5000), mutated(rng, header.tables)]),
    }
    taken = rng.sample(sorted(changes), k=rng.choice([1, 1, 2, 3]))
    changed = msgspec.structs.replace(header, **{name: changes[name]() for name in taken})
    return forged(changed, [stored(segment) for segment in base.segments])


DAMAGE = [damage, damage, damage, rearrange, hostile_segments]


def attack_archive(rng: random.Random, work: Path) -> int:
    """Decoded with and without salvage, it may be refused and may not be wrong."""
    right = base(rng.choice([1, 2]), rng.choice(list(KINDS)))
    way = rng.choice([*DAMAGE, hostile_header, hostile_header])
    content = way(rng, right)
    # Salvaged signals take longer to make, and so fewer of them are made.
    for salvage in (False, True) if rng.random() < 0.3 else (False,):
        try:
            found = read(right.codec, content, salvage=salvage)
        except CodewordError as error:
            check_refusal(error)
            continue
        for one in found:
            assert one.x.shape == (1, *one.entry.size)
            assert 0 <= int(one.x.min()) <= int(one.x.max()) < 256
        if way in DAMAGE and not any(one.damaged for one in found):
            assert [one.x.tolist() for one in found] == [x.tolist() for x in right.signals]
        if way in (damage, rearrange):
            assert all(one.side in ((side, {}) if salvage else (side,)) for one, side in zip(found, SIDES, strict=True))
    return len(content)


@cache
def model_files() -> Files:
    return saved(smallest(2, 3))


def hostile_names(rng: random.Random, base: Base) -> bytes:
    """The signals that are there, under names that lead elsewhere or are equal."""
    entries = tuple(msgspec.structs.replace(entry, name=rng.choice(TEXTS)) for entry in base.header.entries)
    header = msgspec.structs.replace(base.header, entries=entries)
    return forged(header, [stored(segment) for segment in base.segments])


def attack_names(rng: random.Random, work: Path) -> int:
    """Signals whose names lead elsewhere or are equal are written into the output folder, or refused by name."""
    right = base(2, "tables", 3)
    content = hostile_names(rng, right)
    file, out, model = work / "x.cw", work / "out", work / "model"
    write(model, model_files())
    file.write_bytes(content)
    outcome = decompress(file, out, model=model)
    written = [path for path in out.rglob("*") if not path.is_dir()]
    assert sorted(path.name for path in work.iterdir()) == ["model", *(["out"] if written else []), "x.cw"]
    assert len(written) + len(outcome.failures) >= len(outcome.results | outcome.failures)
    for path in written:
        assert path.is_file()
        assert not path.is_symlink()
        assert any(read_image(path).equal(x.byte()) for x in right.signals)
    return len(content)


READERS = [Reader("archive", attack_archive, share=0.21), Reader("names", attack_names, share=0.02)]
