"""Signals cut into blocks for writing, and put together from blocks after reading, in bounded memory."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from codeword.codec.layout import Blocks, Tensors, regrouped
from codeword.coding import decode_signal, deterministic_steps, encode_blocks
from codeword.tokenizer import Tokenizer


@dataclass(frozen=True)
class Signal:
    """A signal to compress: `read` gives it in consecutive blocks (C, n), or in one block (C, *S). `size` is *S."""

    name: str
    size: tuple[int, ...]
    read: Callable[[], Iterable[Tensor]]


class Block(NamedTuple):
    """Codes (*Q, K) of one block, its values (C, *S) in a lossless file, and False where it is damaged."""

    codes: Tensor
    values: Tensor | None
    intact: bool


def code_blocks(tokenizer: Tokenizer, signal: Signal, block: tuple[int, ...], *, codes: int) -> Iterator[Tensors]:
    """The first `codes` codes of every cell as blocks (n, *Q, K), and the mask (n, *Q) of cells on the grid.

    Beyond the edges of the signal codes are 0.
    """
    for found, mask in _cut(encode_blocks(tokenizer, signal.read()), block):
        yield found[..., :codes] * mask[..., None], mask


def value_blocks(
    tokenizer: Tokenizer, signal: Signal, block: tuple[int, ...], *, codes: int, batch_size: int
) -> Iterator[Tensors]:
    """As `code_blocks`, of blocks that are each encoded alone; and their values (n, C, *S) with a mask (n, *S).

    Beyond the edges of the signal a block repeats the edge for the encoder; the values themselves are 0 there.
    """
    hop = tokenizer.hop
    rows = (x.movedim(0, -1) for x in signal.read())
    for values, value_mask in regrouped(_cut(rows, tuple(n * hop for n in block)), batch_size):
        x = values.movedim(-1, 1).long()
        # A cell is on the grid if its first value belongs to the signal.
        mask = value_mask[(slice(None), *(slice(None, None, hop) for _ in block))]
        found = tokenizer.encode(x)[..., :codes]
        yield found * mask[..., None], mask, x * value_mask.unsqueeze(1), value_mask


def masks(layouts: Iterable[tuple[Blocks, ...]], batch_size: int) -> Iterator[Tensors]:
    """The masks of all blocks of several signals, `batch_size` blocks at a time: one for each layout of a signal."""

    def signal_by_signal() -> Iterator[Tensors]:
        for layout in layouts:
            count = len(layout[0])
            for start in range(0, count, batch_size):
                yield tuple(blocks.mask(start, min(start + batch_size, count)) for blocks in layout)

    return regrouped(signal_by_signal(), batch_size)


def restore_signal(
    tokenizer: Tokenizer,
    blocks: Iterator[Block],
    cells: Blocks,
    *,
    size: tuple[int, ...],
    label: int | None,
    damaged: list[int],
) -> Iterator[Tensor]:
    """The signal of `size` in consecutive blocks (C, n) along its only axis, or in one block (C, *S).

    The numbers of damaged blocks are appended to `damaged`; their values become the middle value (silence, or grey).
    """
    layout = Blocks(size, tuple(n * tokenizer.hop for n in cells.block))
    noted = _noted(blocks, damaged)
    first = next(noted)
    noted, config = chain([first], noted), tokenizer.config
    parts: Iterator[Tensor]
    if len(size) == 1:
        parts = _values(noted) if first.values is not None else _decoded(tokenizer, _rows(noted, cells), size, label)
    elif first.values is not None:
        x = torch.empty(config.channels, *size, dtype=torch.uint8 if config.values <= 256 else torch.int64)
        parts = iter([_placed(x, _values(noted), layout)])
    else:
        codes = torch.empty(first.codes.shape[-1], *cells.grid, dtype=torch.int64)
        codes = _placed(codes, (block.codes.movedim(-1, 0) for block in noted), cells)
        parts = _decoded(tokenizer, iter([codes.movedim(0, -1)]), size, label)
    position = 0
    for decoded in parts:
        # The last blocks of a recording extend beyond its end.
        part = decoded[..., : size[-1] - position].clone() if len(size) == 1 else decoded
        for number in damaged:
            place = layout.place(number)
            here = slice(max(0, place[-1].start - position), max(0, place[-1].stop - position))
            part[:, *place[:-1], here] = config.values // 2
        yield part
        position += part.shape[-1]


def _cut(rows: Iterable[Tensor], block: tuple[int, ...]) -> Iterator[Tensors]:
    """Consecutive rows (n, X) along one axis, or one grid (*G, X), to blocks (m, *Q, X) and their masks (m, *Q)."""
    grids = rows if len(block) > 1 else (row for (row,) in regrouped(((r,) for r in rows), block[0]))
    for grid in grids:
        blocks = Blocks(tuple(grid.shape[: len(block)]), block)
        yield blocks.cut(grid), blocks.mask()


def _noted(blocks: Iterator[Block], damaged: list[int]) -> Iterator[Block]:
    for number, block in enumerate(blocks):
        if not block.intact:
            damaged.append(number)
        yield block


def _values(blocks: Iterable[Block]) -> Iterator[Tensor]:
    for block in blocks:
        assert block.values is not None
        yield block.values


def _rows(blocks: Iterable[Block], cells: Blocks) -> Iterator[Tensor]:
    """Codes (g, K) of consecutive blocks, without the cells beyond the grid."""
    return (block.codes[: cells.grid[0] - i * cells.block[0]] for i, block in enumerate(blocks))


def _decoded(
    tokenizer: Tokenizer, codes: Iterator[Tensor], size: tuple[int, ...], label: int | None
) -> Iterator[Tensor]:
    return deterministic_steps(decode_signal(tokenizer, codes, size=size, label=label))


def _placed(x: Tensor, blocks: Iterable[Tensor], layout: Blocks) -> Tensor:
    """Fill x (C, *G) with blocks (C, *Q) one after another, so that a photo is never in memory twice."""
    for number, block in enumerate(blocks):
        here = x[:, *layout.place(number)]
        here.copy_(block[:, *(slice(n) for n in here.shape[1:])])
    return x
