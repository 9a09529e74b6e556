"""The container: what is written is read, and what cannot be is refused before anything is made of it."""

import io
import mmap
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny.codec_models import model, signal, speech

from codeword.codec import Codec, CompressOptions, Container, Entry, Header
from codeword.codec.format import (
    _CRC,
    _PREFIX,
    MAGIC,
    MAX_SEGMENT_BYTES,
    SEGMENT_BYTES,
    VERSION,
    Segment,
    write_header,
    write_segment,
)
from codeword.errors import CodewordError, DataError
from codeword.model import Model

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
SEGMENTS = st.lists(st.builds(Segment, st.binary(max_size=60), st.integers(0, (1 << 32) - 1)), max_size=6)


def header(*entries: Entry, **changes: Any) -> Header:
    plain = Header(b"f" * 16, "uniform", False, 1, None, None, entries or (Entry("x", (8, 8), False),))
    return msgspec.structs.replace(plain, **changes)


def file(written: Header, segments: list[Segment], garbage: bytes = b"") -> bytes:
    out = io.BytesIO()
    write_header(out, written)
    for number, segment in enumerate(segments):
        write_segment(out, number, segment)
    return out.getvalue() + garbage


def forged(body: bytes, *, deflated: bool, version: int = VERSION, length: int | None = None) -> bytes:
    """A header whose checks are right, whatever it says."""
    prefix = _PREFIX.pack(MAGIC, version, deflated, len(body) if length is None else length)
    return prefix + _CRC.pack(zlib.crc32(body, zlib.crc32(prefix))) + body


@given(
    st.lists(st.tuples(NAMES, st.integers(1, 1 << 40), st.booleans()), min_size=1, max_size=40),
    st.sampled_from([None, 0, 77]),
    st.binary(max_size=50),
    SEGMENTS,
)
def test_what_is_written_is_read(
    signals: list[tuple[str, int, bool]], label: int | None, tables: bytes, segments: list[Segment]
) -> None:
    entries = [Entry(name, (n,), grey) for name, n, grey in signals]
    written = header(*entries, label=label, tables=tables, sample_rate=16_000)
    container = Container(file(written, segments), "a file")
    assert container.header == written
    assert list(container.segments(len(segments))) == segments
    assert list(container.segments(len(segments), salvage=True)) == segments


def test_a_header_of_like_names_is_read_though_it_would_shrink_far() -> None:
    written = header(*[Entry("a" * 4000, (1,), False)] * 100)
    container = Container(file(written, []), "a file")
    assert container.header == written


def test_a_mapped_file_is_read(tmp_path: Path) -> None:
    segments = [Segment(bytes([n]) * n, n) for n in range(5)]
    (tmp_path / "x.cw").write_bytes(file(header(), segments))
    with (tmp_path / "x.cw").open("rb") as opened:
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        with mapped:
            assert list(Container(mapped, "a file").segments(5)) == segments


@given(SEGMENTS.filter(bool), st.data())
def test_what_is_lost_is_lost_alone(segments: list[Segment], data: st.DataObject) -> None:
    """Any segments cut out or overwritten: salvage finds all others, in their places."""
    content = file(header(), [])
    expected: list[Segment | None] = []
    for number, segment in enumerate(segments):
        out = io.BytesIO()
        write_segment(out, number, segment)
        fate = data.draw(st.sampled_from(["kept", "gone", "hit", "noise"]))
        piece = bytearray(out.getvalue())
        if fate == "hit":
            # Not in the CRC of its content, which does not protect the stored bytes.
            place = data.draw(st.sampled_from([*range(14), *range(SEGMENT_BYTES, len(piece))]))
            piece[place] ^= data.draw(st.integers(1, 255))
        noise = data.draw(st.binary(max_size=40)) if fate == "noise" else b""
        content += noise + (b"" if fate == "gone" else bytes(piece))
        expected.append(segment if fate in ("kept", "noise") else None)
    assert list(Container(content, "a file").segments(len(segments), salvage=True)) == expected


def test_a_whole_file_has_nothing_behind_its_end() -> None:
    content = file(header(), [Segment(b"abc", 1), Segment(b"", 2)], garbage=b"\0")
    with pytest.raises(DataError, match="has bytes after its end"):
        list(Container(content, "a file").segments(2))
    assert len(list(Container(content, "a file").segments(2, salvage=True))) == 2


def test_segments_out_of_order_are_refused_and_the_first_kept_by_salvage() -> None:
    one, other = Segment(b"one", 1), Segment(b"other", 2)
    out = io.BytesIO()
    write_header(out, header())
    for number, segment in ((1, one), (0, other), (1, other), (5, one)):
        write_segment(out, number, segment)
    container = Container(out.getvalue(), "a file")
    with pytest.raises(DataError, match="segment 1 of 2"):
        list(container.segments(2))
    assert list(container.segments(2, salvage=True)) == [None, one]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "its beginning is missing"),
        (MAGIC, "its beginning is missing"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "was not written by"),
        (forged(b"x", deflated=False, version=2), "format version 2"),
        (file(header(), [])[:-1], "header is damaged"),
        (forged(b"short", deflated=False, length=1 << 31), "header is damaged"),
        (forged(b"\xc1", deflated=False), "invalid header"),
        (forged(b"\x91" * 100_000, deflated=False), "invalid header"),
        (forged(b"\xdd\xff\xff\xff\xff", deflated=False), "invalid header"),
        (forged(b"no zlib stream", deflated=True), "invalid header"),
        (forged(zlib.compress(b"\x90" * 99)[:-5], deflated=True), "would unpack to more"),
        (forged(zlib.compress(bytes(1 << 26), 9), deflated=True), "would unpack to more"),
        (file(header(Entry("x", (8000, 8001), False)), []), "64,000,000 pixels"),
    ],
)
def test_what_is_no_file_of_ours_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        Container(content, "a file")


def test_a_bomb_of_signals_is_refused_before_it_is_unpacked() -> None:
    """A megabyte of entries that deflate to a few kilobytes."""
    entries = msgspec.msgpack.encode(header(*[Entry("", (1,), False)] * 200_000))
    content = forged(zlib.compress(entries, 9), deflated=True)
    tracemalloc.start()
    with pytest.raises(DataError, match="would unpack to more"):
        Container(content, "a file")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000


def bad_headers(chosen: Model) -> list[tuple[dict[str, Any], str]]:
    """Impossible changes to a valid header, and the error of each."""
    ndim = chosen.tokenizer.config.ndim
    huge = {1: (1 << 40,), 2: (8000, 8000)}[ndim]
    return [
        ({"entries": (Entry("x", huge, False),)}, "can hold"),
        ({"entries": (Entry("x", huge, False),) * 1000}, "can hold"),
        ({"entries": (Entry("x", (8,) * (3 - ndim), False),)}, "another rank"),
        ({"label": 0}, "does not have"),
        ({"label": 1 << 20}, "does not have"),
        ({"codes": 1}, "does not have"),
        ({"codes": 64}, "does not have"),
        ({"coder": "histogram"}, "0 bytes"),
        ({"coder": "histogram", "tables": zlib.compress(bytes(1 << 26), 9)}, "has 49 bytes|have 49 bytes"),
        ({"coder": "histogram", "tables": bytes(1 << 20)}, "damaged"),
        ({"fingerprint": bytes(16)}, "made with the model"),
    ]


def read_all(chosen: Model, content: bytes, *, salvage: bool) -> None:
    for found in Codec(chosen).read(Container(content, "a file"), salvage=salvage):
        list(found.blocks)


@pytest.mark.parametrize("salvage", [False, True])
def test_claims_that_the_bytes_do_not_bear_out_are_refused(ndim: int, salvage: bool) -> None:
    chosen = model(ndim)
    content = Codec(chosen).compress(signal(chosen, *[40] * ndim), CompressOptions(portable=True))
    right = Container(content, "a file")
    segments = list(right.segments(99, salvage=True))
    for changes, said in bad_headers(chosen):
        hostile = file(msgspec.structs.replace(right.header, **changes), [s for s in segments if s is not None])
        tracemalloc.start()
        with pytest.raises(CodewordError, match=said):
            read_all(chosen, hostile, salvage=salvage)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4_000_000 + 400 * len(hostile), changes


def test_a_prior_over_fewer_codes_than_it_foretells_is_refused() -> None:
    chosen = speech()
    content = Codec(chosen).compress(signal(chosen, 40), CompressOptions(codes=2))
    right = Container(content, "a file")
    hostile = file(msgspec.structs.replace(right.header, coder="prior"), [Segment(b"", 0)])
    with pytest.raises(DataError, match="lacks codes"):
        Codec(chosen).decompress(hostile)


def test_a_segment_that_claims_to_be_huge_is_none() -> None:
    content = bytearray(file(header(), [Segment(b"abc", 1)]))
    place = len(content) - 3 - SEGMENT_BYTES
    content[place + 6 : place + 10] = (MAX_SEGMENT_BYTES + 1).to_bytes(4, "little")
    with pytest.raises(DataError, match="segment 1 of 1"):
        list(Container(bytes(content), "a file").segments(1))
    assert list(Container(bytes(content), "a file").segments(1, salvage=True)) == [None]
