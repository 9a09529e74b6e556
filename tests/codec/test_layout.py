"""Blocks cut from a grid cover it exactly, and blocks that are copied back restore it."""

from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codeword.codec.layout import Blocks, FileBlocks, Layout, pad_batch
from codeword.config import ConvTrunkConfig, PixelCNNConfig, PriorModelConfig, TokenizerConfig
from codeword.errors import UnsupportedError
from codeword.media.base import regroup
from codeword.model import Model
from codeword.priors import build_prior
from codeword.tokenizer import Tokenizer


@st.composite
def divisions(draw: st.DrawFn) -> Blocks:
    rank = draw(st.integers(1, 2))
    sides = st.tuples(*[st.integers(1, 20)] * rank)
    return Blocks(draw(sides), draw(sides))


@given(divisions(), st.lists(st.integers(1, 3), max_size=2))
def test_cut_blocks_copied_to_their_regions_restore_the_grid(blocks: Blocks, rest: list[int]) -> None:
    x = torch.arange(prod([*blocks.grid, *rest])).view(*blocks.grid, *rest)
    cut = blocks.cut(x)
    assert cut.shape == (len(blocks), *blocks.block, *rest)
    again = torch.full_like(x, -1)
    for number, block in enumerate(cut):
        region = again[*blocks.region(number)]
        region.copy_(block[*(slice(n) for n in region.shape[: len(blocks.grid)])])
    assert torch.equal(again, x)


@given(divisions(), st.data())
def test_mask_is_true_exactly_on_the_grid(blocks: Blocks, data: st.DataObject) -> None:
    mask = blocks.mask()
    assert mask.shape == (len(blocks), *blocks.block)
    assert int(mask.sum()) == prod(blocks.grid)
    # Each cell of the grid occurs once under the mask; the cells beyond the grid repeat some of them.
    cell_numbers = blocks.cut(torch.arange(prod(blocks.grid)).view(blocks.grid))
    assert sorted(cell_numbers[mask].tolist()) == list(range(prod(blocks.grid)))
    start = data.draw(st.integers(0, len(blocks)))
    stop = data.draw(st.integers(start, len(blocks)))
    assert torch.equal(blocks.mask(start, stop), mask[start:stop])


@given(st.lists(st.integers(1, 20), min_size=1, max_size=5), st.data())
def test_masks_of_several_signals_are_in_order(sizes: list[int], data: st.DataObject) -> None:
    of_file = FileBlocks([(n,) for n in sizes], lambda size: (Blocks(size, (3,)), Blocks((2 * size[0],), (6,))))
    all_masks = [torch.cat([Blocks((m * n,), (m * 3,)).mask() for n in sizes]) for m in (1, 2)]
    assert of_file.total == len(all_masks[0])
    assert [i for number in range(len(sizes)) for i in of_file.span(number)] == list(range(of_file.total))
    start = data.draw(st.integers(0, of_file.total - 1))
    stop = data.draw(st.integers(start + 1, of_file.total))
    for found, expected in zip(of_file.masks(start, stop), all_masks, strict=True):
        assert torch.equal(found, expected[start:stop])


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 7))
def test_regrouped_pieces_hold_the_same_rows(lengths: list[int], count: int) -> None:
    rows = torch.arange(sum(lengths))
    pieces = [piece for (piece,) in regroup(((part,) for part in rows.split(lengths)), count)]
    assert torch.equal(torch.cat(pieces), rows)
    assert {len(piece) for piece in pieces[:-1]} <= {count}


def test_padding_is_zeros_behind() -> None:
    assert pad_batch(torch.ones(2, 3, 2), 5).sum((1, 2)).tolist() == [6, 6, 0, 0, 0]


def test_lossless_blocks_too_large_for_memory_are_refused() -> None:
    """At most 512 x 512 pixels: the grid of the prior sets the size of a block, and the hop is 8."""
    tokenizer = Tokenizer(TokenizerConfig(trunk=ConvTrunkConfig(width=4, strides=(2, 2, 2))))
    for cells, fits in ((64, True), (65, False)):
        tiny = PixelCNNConfig(layers=1, width=4, head_width=4)
        config = PriorModelConfig(
            architecture=tiny, grid=(64, cells), codebook_sizes=tokenizer.quantizer.codebook_sizes
        )
        large = Model(tokenizer, build_prior(config))
        if fits:
            assert Layout.of(large, blocks=1, lossless=True).batch_size == 1
        else:
            with pytest.raises(UnsupportedError, match="needs too much memory"):
                Layout.of(large, blocks=1, lossless=True)
        Layout.of(large, blocks=1, lossless=False)
