"""A damaged file is an error, or with salvage everything but what was hit; never another signal."""

from functools import cache
from math import ceil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny.codec_models import GRID, model, signal
from torch import Tensor

from codeword.codec import Codec, CompressOptions, Container
from codeword.codec.format import SEGMENT_BYTES
from codeword.errors import CodewordError
from codeword.model import Model
from codeword.nn.conv import reach

OPTIONS = {
    "tables": CompressOptions(portable=True),
    "prior": CompressOptions(),
    "lossless": CompressOptions(lossless=True),
}
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
    with pytest.raises(CodewordError):
        Codec(chosen).decompress(bytes(damaged))


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
