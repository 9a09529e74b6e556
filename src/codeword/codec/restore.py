"""Blocks that came back, put together to signals again."""

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from codeword.codec.blocks import Blocks
from codeword.coding.determinism import deterministic
from codeword.coding.stream import decode_stream
from codeword.coding.tiles import decode_tiles
from codeword.errors import UnsupportedError
from codeword.tokenizer import Tokenizer


class Block(NamedTuple):
    """Codes (*Q, K) of one block, its values (C, *S) where those were written, and whether it came back whole."""

    codes: Tensor
    values: Tensor | None
    whole: bool


def restored(
    tokenizer: Tokenizer,
    blocks: Iterator[Block],
    cells: Blocks,
    *,
    size: tuple[int, ...],
    label: int | None,
    damaged: list[int],
) -> Iterator[Tensor]:
    """The signal of `size`, block after block (C, n) along its only axis, or whole (C, H, W).

    The numbers of blocks that are not whole are noted in `damaged`, and their values are silence, or grey.
    """
    layout = Blocks(size, tuple(n * tokenizer.hop for n in cells.block))
    taken = _noted(blocks, damaged)
    if len(size) == 2:
        yield _image(tokenizer, taken, cells, layout, label=label, damaged=damaged)
        return
    position = 0
    for decoded in _row(tokenizer, taken, cells, samples=size[0], label=label):
        part = decoded[:, : size[0] - position].clone()
        for number in damaged:
            start = number * layout.block[0] - position
            part[:, max(0, start) : max(0, start + layout.block[0])] = tokenizer.config.values // 2
        yield part
        position += part.shape[1]


def _noted(blocks: Iterator[Block], damaged: list[int]) -> Iterator[Block]:
    for number, block in enumerate(blocks):
        if not block.whole:
            damaged.append(number)
        yield block


def _row(
    tokenizer: Tokenizer, blocks: Iterator[Block], cells: Blocks, *, samples: int, label: int | None
) -> Iterator[Tensor]:
    """Blocks along one axis to the signal (C, n), piece by piece; the last may reach beyond it."""
    first = next(blocks)
    if first.values is not None:
        yield first.values
        yield from (block.values for block in blocks if block.values is not None)
        return
    rows = (block.codes[: cells.grid[0] - i * cells.block[0]] for i, block in enumerate(chain([first], blocks)))
    with deterministic():
        try:
            parts = decode_stream(tokenizer, rows, label=label, size=samples)
        except UnsupportedError:  # A decoder that draws sample after sample takes a recording whole.
            labels = None if label is None else torch.tensor([label])
            parts = iter([tokenizer.decode(torch.cat(list(rows))[None], labels, size=(samples,))[0]])
        yield from parts


def _image(
    tokenizer: Tokenizer,
    blocks: Iterator[Block],
    cells: Blocks,
    layout: Blocks,
    *,
    label: int | None,
    damaged: list[int],
) -> Tensor:
    """All blocks of an image to (C, H, W), each put in its place as it comes: a photo need not be held twice."""
    config, first = tokenizer.config, next(blocks)
    if first.values is not None:
        x = torch.empty(config.channels, *layout.grid, dtype=torch.uint8 if config.values <= 256 else torch.int64)
        for number, block in enumerate(chain([first], blocks)):
            assert block.values is not None
            place = x[:, *layout.place(number)]
            place.copy_(block.values[:, *(slice(n) for n in place.shape[1:])])
    else:
        codes = torch.empty(*cells.grid, first.codes.shape[-1], dtype=torch.int64)
        for number, block in enumerate(chain([first], blocks)):
            here = codes[*cells.place(number)]
            here.copy_(block.codes[*(slice(n) for n in here.shape[:-1])])
        with deterministic():
            x = decode_tiles(tokenizer, codes, size=layout.grid, label=label)
    for number in damaged:
        x[:, *layout.place(number)] = config.values // 2
    return x
