"""A damaged file is an error, or with salvage everything but what was hit; never another signal."""

import io
from functools import cache
from math import ceil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny.codec_models import GRID, model, signal
from tiny.golden import GOLDEN
from torch import Tensor

from codeword.codec import Codec, CompressOptions, Container, Signal
from codeword.codec.format import SEGMENT_BYTES, FileWriter, Segment
from codeword.codec.segments import MAX_FILL
from codeword.errors import CodewordError, DataError, ModelError
from codeword.model import Model
from codeword.nn.conv import reach

OPTIONS = {"tables": CompressOptions(codes=2), "prior": CompressOptions(), "lossless": CompressOptions(lossless=True)}
BLOCKS = 12
SAMPLES = GRID[1][0] * 4 * BLOCKS - 5


@cache
def written(chosen: Model, kind: str) -> tuple[bytes, Tensor]:
    """A file, and what it gives."""
    x = signal(chosen, *{1: (SAMPLES,), 2: (70, 50)}[chosen.tokenizer.config.ndim])
    content = Codec(chosen).compress(x, OPTIONS[kind])
    return content, Codec(chosen).decompress(content)


def places(content: bytes, count: int) -> list[tuple[int, int]]:
    """From where to where the segments lie."""
    container, spans = Container(content, "a file"), []
    place, segments = container._first, container.segments(count)
    for number in range(count):
        segment = segments.get(number)
        assert segment is not None
        spans.append((place, place + SEGMENT_BYTES + len(segment.payload)))
        place = spans[-1][1]
    return spans


def read(chosen: Model, content: bytes) -> list[Tensor]:
    return [torch.cat(list(found.blocks), -1) for found in Codec(chosen).read(Container(content, "a file"))]


def salvaged(chosen: Model, content: bytes) -> tuple[Tensor, list[int], int]:
    (found,) = (
        (torch.cat(list(found.blocks), -1).long(), found.damage.blocks, found.block_size[0])
        for found in Codec(chosen).read(Container(content, "a file"), salvage=True)
    )
    return found


@pytest.mark.parametrize("kind", OPTIONS)
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_found(kind: str, data: st.DataObject) -> None:
    chosen = model(data.draw(st.sampled_from([1, 2])), rates=True)
    content, _ = written(chosen, kind)
    damaged = bytearray(content)
    damaged[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DataError, match=r"is damaged|was not written by"):
        Codec(chosen).decompress(bytes(damaged))


def test_a_flipped_bit_anywhere_in_a_file_of_version_1_is_found() -> None:
    chosen, content = Model.load(GOLDEN), (GOLDEN / "compressed-format-1.bin").read_bytes()
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DataError):
            read(chosen, bytes(damaged))


def repacked(content: bytes, segments: list[Segment]) -> bytes:
    """The file with other segments, and the right checks of the stored bytes."""
    out = io.BytesIO()
    with FileWriter() as writer:
        for segment in segments:
            writer.add(segment)
        writer.finish(out, Container(content, "a file").header)
    return out.getvalue()


@pytest.mark.parametrize(("kind", "error"), [("tables", DataError), ("prior", DataError), ("lossless", ModelError)])
def test_only_an_intact_segment_that_a_network_decodes_otherwise_is_of_another_machine(
    ndim: int, kind: str, error: type[CodewordError]
) -> None:
    chosen = model(ndim, rates=True)
    content, _ = written(chosen, kind)
    stored = Container(content, "a file").segments(1, salvage=True).get(0)
    assert stored is not None
    other = repacked(content, [Segment(stored.payload, stored.content_crc ^ 1)] * (BLOCKS if ndim == 1 else 1))
    with pytest.raises(error, match=r"written on a machine|damaged in its codes"):
        Codec(chosen).decompress(other)
    with pytest.raises(DataError, match="too many to salvage"):
        salvaged(chosen, other)


@pytest.mark.parametrize("kind", OPTIONS)
@given(data=st.data())
def test_only_the_segments_that_are_hit_are_silent(kind: str, data: st.DataObject) -> None:
    """All other samples are as they were: to the last bit where the decoder does not see into what was hit."""
    chosen = model(1, rates=True)
    content, whole = written(chosen, kind)
    spans = places(content, BLOCKS)
    hit = data.draw(st.sets(st.integers(0, BLOCKS - 1), min_size=1, max_size=4))
    damaged = bytearray(content)
    for number in hit:
        start, stop = spans[number]
        damaged[data.draw(st.integers(start, stop - 1))] ^= 1 << data.draw(st.integers(0, 7))
    back, lost, block = salvaged(chosen, bytes(damaged))
    assert lost == sorted(hit)
    assert back.shape == whole.shape
    silent = torch.zeros(SAMPLES, dtype=torch.bool)
    near = silent.clone()
    # A lossless block stands alone; else the decoder of a neighbour sees some cells of it.
    tokenizer = chosen.tokenizer
    context = 0 if kind == "lossless" else ceil(reach(tokenizer.decoder)) * tokenizer.hop
    for number in hit:
        silent[number * block : (number + 1) * block] = True
        near[max(0, number * block - context) : (number + 1) * block + context] = True
    assert (back[:, silent] == tokenizer.config.values // 2).all()
    assert torch.equal(back[:, ~near], whole[:, ~near])


@given(st.integers(1, 400))
def test_of_a_file_that_is_cut_short_the_beginning_is_saved(lost_bytes: int) -> None:
    chosen = model(1, rates=True)
    content, whole = written(chosen, "lossless")
    spans = places(content, BLOCKS)
    kept = max(len(content) - lost_bytes, spans[0][1])
    with pytest.raises(CodewordError, match="cut short"):
        Codec(chosen).decompress(content[:kept])
    back, lost, block = salvaged(chosen, content[:kept])
    arrived = sum(stop <= kept for _, stop in spans)
    assert lost == list(range(arrived, BLOCKS))
    assert torch.equal(back[:, : arrived * block], whole[:, : arrived * block])
    assert (back[:, arrived * block :] == 128).all()


@pytest.mark.parametrize("kind", OPTIONS)
def test_of_a_photo_the_blocks_that_are_hit_are_grey(kind: str) -> None:
    """The first 64 blocks make a segment, the last few another."""
    chosen = model(2, rates=True)
    x = signal(chosen, 40, 400)
    content = Codec(chosen).compress(x, OPTIONS[kind])
    whole = Codec(chosen).decompress(content)
    container = Container(content, "a file")
    damaged = bytearray(content)
    damaged[container._first + SEGMENT_BYTES] ^= 1
    back, lost, _ = salvaged(chosen, bytes(damaged))
    assert lost == list(range(64))
    assert (back[:, :16, :] == 128).all()
    # Block 64 is the 31st of the second row of 34, and each is 16 by 12.
    later = torch.zeros(40, 400, dtype=torch.bool)
    context = 0 if kind == "lossless" else ceil(reach(chosen.tokenizer.decoder)) * chosen.tokenizer.hop
    later[32 + context :] = True
    assert torch.equal(back[:, later], whole[:, later])


def erased(content: bytes, kept: list[tuple[int, int]]) -> bytes:
    """The file with zeros in place of its segments, except for these spans."""
    container = Container(content, "a file")
    damaged = bytearray(content)
    stop = len(content) - len(container._copy)
    damaged[container._first : stop] = bytes(stop - container._first)
    for start, end in kept:
        damaged[start:end] = content[start:end]
    return bytes(damaged)


@pytest.mark.parametrize("kind", ["tables", "prior"])
def test_of_a_signal_that_is_lost_nothing_is_decoded_and_the_others_are_saved(ndim: int, kind: str) -> None:
    chosen, out = model(ndim, rates=True), io.BytesIO()
    # In rank 2 the first signal has 64 blocks, and they fill a segment.
    several = [signal(chosen, *size) for size in {1: [(700,), (300,)], 2: [(8 * 16, 8 * 12), (40, 30)]}[ndim]]
    signals = [Signal(name, tuple(x.shape[1:]), lambda x=x: [x]) for name, x in zip("ab", several, strict=True)]  # type: ignore[misc]
    Codec(chosen).write(out, signals, OPTIONS[kind])
    whole = read(chosen, out.getvalue())
    of_first, of_second = {1: (11, 5), 2: (1, 1)}[ndim]
    spans = places(out.getvalue(), of_first + of_second)
    damaged = Container(erased(out.getvalue(), spans[of_first:]), "a file")
    first, second = Codec(chosen).read(damaged, salvage=True)
    assert str(first.damage) == f"{of_first} of {of_first} segments"
    with pytest.raises(DataError, match=f"lost {of_first} of {of_first} segments of a, too many"):
        next(first.blocks)
    assert second.damage.blocks == []
    assert torch.equal(torch.cat(list(second.blocks), -1), whole[1])


def runs_of_decoder(chosen: Model, content: bytes) -> int:
    """The cells that go through the decoder when a file is salvaged."""
    seen: list[int] = []
    hook = chosen.tokenizer.decoder.register_forward_hook(lambda *pass_: seen.append(pass_[2].shape[2:].numel()))
    try:
        salvaged(chosen, content)
    finally:
        hook.remove()
    return sum(seen)


def test_silence_is_bounded_by_what_is_intact_and_needs_no_decoder() -> None:
    chosen = model(1, rates=True)
    samples = GRID[1][0] * chosen.tokenizer.hop
    for blocks, is_saved in [(MAX_FILL + 1, True), (MAX_FILL + 2, False)]:
        content = Codec(chosen).compress(signal(chosen, blocks * samples))
        span = places(content, blocks)[7]
        left = erased(content, [span])
        if not is_saved:
            with pytest.raises(DataError, match=f"lost {blocks - 1} of {blocks} segments"):
                salvaged(chosen, left)
            continue
        back, lost, _ = salvaged(chosen, left)
        assert back.shape == (1, blocks * samples)
        assert lost == [n for n in range(blocks) if n != 7]
        assert (back[:, : 7 * samples] == 128).all()
        assert (back[:, 8 * samples :] == 128).all()
        assert runs_of_decoder(chosen, left) * (blocks - 1) < runs_of_decoder(chosen, content)
