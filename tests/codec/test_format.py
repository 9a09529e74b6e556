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
    MAGIC,
    MAX_SEGMENT_BYTES,
    SEGMENT_BYTES,
    VERSION,
    FileWriter,
    Segment,
    pack_fields,
    pack_segment,
)
from codeword.errors import CodewordError, DataError, UsageError
from codeword.model import Model

FIELDS_BYTES = 10
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
SEGMENTS = st.lists(st.builds(Segment, st.binary(max_size=60), st.integers(0, (1 << 32) - 1)), max_size=6)


def header(*entries: Entry, **changes: Any) -> Header:
    plain = Header(b"f" * 16, "uniform", False, 1, None, None, entries or (Entry("x", (8, 8), False),))
    return msgspec.structs.replace(plain, **changes)


def file(written: Header, segments: list[Segment], garbage: bytes = b"") -> bytes:
    out = io.BytesIO()
    with FileWriter() as writer:
        for segment in segments:
            writer.add(segment)
        writer.finish(out, written)
    return out.getvalue() + garbage


def front(content: bytes) -> bytes:
    """Magic, fields and header of a file."""
    return content[: Container(content, "a file")._first]


def rear(content: bytes) -> bytes:
    """The copy of the header."""
    return front(content)[len(MAGIC) + FIELDS_BYTES :] + front(content)[len(MAGIC) :][:FIELDS_BYTES]


def found(container: Container, count: int) -> list[Segment | None]:
    """The segments that salvage finds."""
    segments = container.segments(count, salvage=True)
    assert segments.count(0, count) == sum(segments.get(i) is not None for i in range(count))
    return [segments.get(i) for i in range(count)]


def forged(body: bytes, *, deflated: bool, version: int = VERSION) -> bytes:
    """A header whose checks are right, whatever it says."""
    return MAGIC + pack_fields(body, deflated=deflated, version=version) + body


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
    assert msgspec.structs.replace(container.header, content_crc=0) == written
    whole = container.segments(len(segments))
    assert [whole.get(i) for i in range(len(segments))] == segments
    assert found(container, len(segments)) == segments


def test_a_header_of_like_names_is_read_though_it_would_shrink_far() -> None:
    written = header(*[Entry("a" * 4000, (1,), False)] * 100)
    container = Container(file(written, []), "a file")
    assert container.header == written


def test_a_header_that_could_not_be_read_is_not_written() -> None:
    entries = [Entry("x" * 4096, (1,), False)] * 17_000
    for written, said in [(header(*entries), "to several files"), (header(Entry("x" * 4097, (1,), False)), "stored")]:
        with pytest.raises(UsageError, match=said):
            file(written, [])


def test_a_mapped_file_is_read(tmp_path: Path) -> None:
    segments = [Segment(bytes([n]) * n, n) for n in range(5)]
    (tmp_path / "x.cw").write_bytes(file(header(), segments))
    with (tmp_path / "x.cw").open("rb") as opened:
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        with mapped:
            assert found(Container(mapped, "a file"), 5) == segments


@given(SEGMENTS.filter(bool), st.data())
def test_what_is_lost_is_lost_alone(segments: list[Segment], data: st.DataObject) -> None:
    """Any segments cut out or overwritten: salvage finds all others, in their places."""
    whole = file(header(*[Entry("x", (8, 8), False)] * 2), segments)
    content, seed = front(whole), zlib.crc32(front(whole))
    expected: list[Segment | None] = []
    for number, segment in enumerate(segments):
        fate = data.draw(st.sampled_from(["kept", "gone", "hit", "noise"]))
        piece = bytearray(pack_segment(number, segment, seed))
        if fate == "hit":
            piece[data.draw(st.integers(0, len(piece) - 1))] ^= data.draw(st.integers(1, 255))
        noise = data.draw(st.binary(max_size=40)) if fate == "noise" else b""
        content += noise + (b"" if fate == "gone" else bytes(piece))
        expected.append(segment if fate in ("kept", "noise") else None)
    # The first kilobyte may be lost, because the header is there twice.
    if data.draw(st.booleans()):
        content = bytes(1000) + content[data.draw(st.integers(1, len(front(whole)))) :] + rear(whole)
        with pytest.raises(DataError, match="damaged in its header"):
            Container(content, "a file").segments(len(segments))
    assert found(Container(content, "a file"), len(segments)) == expected


@given(st.integers(0), st.integers(0, 7), SEGMENTS)
def test_a_flipped_bit_in_either_header_loses_nothing_but_is_damage(
    place: int, bit: int, segments: list[Segment]
) -> None:
    several = header(*[Entry("x", (8, 8), False)] * 2)
    content = bytearray(file(several, segments))
    places = [*range(len(front(content))), *range(len(content) - len(rear(content)), len(content))]
    content[places[place % len(places)]] ^= 1 << bit
    container = Container(bytes(content), "a file")
    assert container.header.entries == several.entries
    assert found(container, len(segments)) == segments
    with pytest.raises(DataError, match="damaged"):
        container.segments(len(segments))


def test_only_a_file_of_one_signal_in_one_segment_is_brief() -> None:
    one, several = [Segment(b"abc", 1)], header(*[Entry("x", (8, 8), False)] * 2)
    assert file(header(), one) == front(file(header(), one)) + b"abc"
    for written, segments in [(header(), one * 2), (several, one)]:
        content = file(written, segments)
        assert content.endswith(b"abc" + rear(content))
        Container(content, "a file").segments(len(segments))


@given(st.binary(max_size=60), st.integers(0), st.integers(1, 255), st.binary(min_size=1, max_size=9))
def test_any_damage_to_a_brief_file_is_found(payload: bytes, place: int, change: int, more: bytes) -> None:
    content = file(header(), [Segment(payload, 1)])
    hit, place = bytearray(content), place % len(content)
    hit[place] ^= change
    for damaged in (bytes(hit), content[:place], content + more):
        with pytest.raises(DataError):
            Container(damaged, "a file")


def test_a_brief_file_has_one_segment_of_bounded_size() -> None:
    content = file(header(), [Segment(b"abc", 1)])
    with pytest.raises(DataError, match="form of a file of one"):
        Container(content, "a file").segments(2)
    with pytest.raises(DataError, match="is damaged"):
        Container(file(header(), [Segment(bytes(MAX_SEGMENT_BYTES + 1), 1)]), "a file")


def test_a_segment_of_another_file_is_damage() -> None:
    """Also where both files have signals of the same names and sizes."""
    segments = [Segment(b"one", 1), Segment(b"two", 2)]
    one, other = file(header(), segments), file(header(), [Segment(b"one", 1), Segment(b"too", 3)])
    start = len(front(one)) + SEGMENT_BYTES + 3
    mixed = one[:start] + other[start : start + SEGMENT_BYTES + 3] + rear(one)
    assert len(mixed) == len(one)
    with pytest.raises(DataError, match="segment 2 of 2"):
        Container(mixed, "a file").segments(2)
    assert found(Container(mixed, "a file"), 2) == [segments[0], None]


def test_a_whole_file_has_nothing_behind_its_end() -> None:
    content = file(header(), [Segment(b"abc", 1), Segment(b"", 2)], garbage=b"\0")
    with pytest.raises(DataError, match="has bytes after its end"):
        Container(content, "a file").segments(2)
    assert None not in found(Container(content, "a file"), 2)


def test_segments_out_of_order_are_refused_and_the_first_kept_by_salvage() -> None:
    one, other = Segment(b"one", 1), Segment(b"other", 2)
    content = front(file(header(), []))
    pieces = [pack_segment(n, s, zlib.crc32(content)) for n, s in ((1, one), (0, other), (1, other), (5, one))]
    container = Container(content + b"".join(pieces), "a file")
    with pytest.raises(DataError, match="segment 1 of 2"):
        container.segments(2)
    assert found(container, 2) == [None, one]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "its beginning is missing"),
        (MAGIC, "its beginning is missing"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "was not written by"),
        (forged(b"x", deflated=False, version=VERSION + 1), f"format version {VERSION + 1}"),
        (front(file(header(), []))[:-1], "header is damaged"),
        (MAGIC + pack_fields(b"long", deflated=False, version=VERSION) + b"lon", "header is damaged"),
        (forged(b"\xc1", deflated=False), "invalid header"),
        (forged(b"\x91" * 100_000, deflated=False), "invalid header"),
        (forged(b"\xdd\xff\xff\xff\xff", deflated=False), "invalid header"),
        (forged(b"no zlib stream", deflated=True), "invalid header"),
        (forged(zlib.compress(b"\x90" * 99)[:-5], deflated=True), "would unpack to more"),
        (forged(zlib.compress(bytes(1 << 26), 9), deflated=True), "would unpack to more"),
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
        ({"entries": (Entry("x", huge, False),)}, "has the form of a file of one"),
        ({"entries": (Entry("x", huge, False),) * 1000}, "can hold|of x, too many"),
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
    for decoded in Codec(chosen).read(Container(content, "a file"), salvage=salvage):
        list(decoded.blocks)


@pytest.mark.parametrize("salvage", [False, True])
def test_claims_that_the_bytes_do_not_bear_out_are_refused(ndim: int, salvage: bool) -> None:
    chosen = model(ndim)
    content = Codec(chosen).compress(signal(chosen, *[40] * ndim))
    right = Container(content, "a file")
    segments = found(right, 1)
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
    segments = [Segment(b"abc", 1), Segment(b"def", 2)]
    content = bytearray(file(header(), segments))
    place = len(front(content))
    content[place + 6 : place + 10] = (MAX_SEGMENT_BYTES + 1).to_bytes(4, "little")
    with pytest.raises(DataError, match="segment 1 of 2"):
        Container(bytes(content), "a file").segments(2)
    assert found(Container(bytes(content), "a file"), 2) == [None, segments[1]]
