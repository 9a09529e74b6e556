"""The division of signals into blocks for writing, and their restoration from blocks after reading.

The layout is part of the format: writer and reader derive it from the model and the sizes alone. Memory is bounded by a
batch of blocks, except for images, which are held as a whole.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.coding import decode_signal, deterministic_steps, encode_blocks
from codeword.model import Model
from codeword.tokenizer import Tokenizer

# About 10 s of speech at 50 cells a second: the loss of one damaged segment, and the context of a prior.
_ROW_CELLS = 512
_AREA_CELLS = 16
# Lossless blocks are decoded without their neighbours; in samples, and in values along each axis.
_ROW_VALUES, _AREA_VALUES = 16_384, 64

_MAX_BATCH = 64
_MAX_PLACES = 1 << 16

Tensors = tuple[Tensor, ...]
"""Tensors whose first axis counts the same blocks."""


@dataclass(frozen=True)
class Layout:
    """Blocks of `block` cells, `batch_size` of them coded together, `blocks_per_segment` of these in one segment."""

    block: tuple[int, ...]
    batch_size: int
    blocks_per_segment: int

    @classmethod
    def of(cls, model: Model, *, blocks: int, lossless: bool) -> "Layout":
        """The layout of a file of so many blocks, of the size given by `block_size`."""
        block, hop = block_size(model, lossless=lossless), model.tokenizer.hop
        most = _MAX_BATCH
        if lossless and not model.tokenizer.likelihood.sequential:
            # The probabilities of all values at all places of a batch are in memory at once.
            most = max(1, min(most, _MAX_PLACES // prod(n * hop for n in block)))
        batch_size = min(most, 1 << max(0, blocks - 1).bit_length())
        # Segments of a recording are lost one by one; for images, fewer segments save more bytes.
        return cls(block, batch_size, 1 if len(block) == 1 else batch_size)


def block_size(model: Model, *, lossless: bool) -> tuple[int, ...]:
    """The cells of a block: the grid that the prior was trained on, or a fixed size where it takes any grid."""
    prior, hop = model.prior, model.tokenizer.hop
    if not prior.any_grid:
        return prior.grid
    rank = len(prior.grid)
    if lossless:
        return (max(1, (_ROW_VALUES if rank == 1 else _AREA_VALUES) // hop),) * rank
    return (_ROW_CELLS if rank == 1 else _AREA_CELLS,) * rank


@dataclass(frozen=True)
class Blocks:
    """A grid *G cut into blocks *Q, in raster order; blocks at the far edges extend beyond the grid."""

    grid: tuple[int, ...]
    block: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Blocks along each axis."""
        return tuple(-(-n // q) for n, q in zip(self.grid, self.block, strict=True))

    def __len__(self) -> int:
        return prod(self.counts)

    def mask(self, start: int = 0, stop: int | None = None) -> Tensor:
        """True at the places of blocks `start` to `stop` that lie on the grid, (N, *Q) bool."""
        numbers = torch.arange(start, len(self) if stop is None else stop)
        within = torch.ones(len(numbers), *[1] * len(self.block), dtype=torch.bool)
        for axis in reversed(range(len(self.block))):
            numbers, place = (torch.div(numbers, self.counts[axis], rounding_mode="floor"), numbers % self.counts[axis])
            along = place[:, None] * self.block[axis] + torch.arange(self.block[axis])
            within = within & (along < self.grid[axis]).view(
                -1, *[self.block[axis] if a == axis else 1 for a in range(len(self.block))]
            )
        return within

    def place(self, number: int) -> tuple[slice, ...]:
        """The part of the grid that one block covers."""
        starts = []
        for count, q in zip(reversed(self.counts), reversed(self.block), strict=True):
            number, along = divmod(number, count)
            starts.append(along * q)
        return tuple(
            slice(start, min(start + q, n)) for start, q, n in zip(reversed(starts), self.block, self.grid, strict=True)
        )

    def cut(self, x: Tensor) -> Tensor:
        """(*G, ...) to (N, *Q, ...); beyond the edges the last places are repeated."""
        rank, rest = len(self.grid), x.shape[len(self.grid) :]
        for axis, (n, count, q) in enumerate(zip(self.grid, self.counts, self.block, strict=True)):
            x = x.index_select(axis, torch.arange(count * q).clamp(max=n - 1))
        pairs = [n for pair in zip(self.counts, self.block, strict=True) for n in pair]
        order = [*range(0, 2 * rank, 2), *range(1, 2 * rank, 2)]
        x = x.reshape(*pairs, -1).permute(*order, 2 * rank)
        return x.reshape(len(self), *self.block, *rest)


def padded(blocks: Tensor, count: int) -> Tensor:
    """(n, ...) to (count, ...), filled up with zeros."""
    return F.pad(blocks, [0, 0] * (blocks.ndim - 1) + [0, count - len(blocks)])


def regrouped(pieces: Iterable[Tensors], count: int) -> Iterator[Tensors]:
    """The same blocks in the same order, `count` at a time, the last time fewer."""
    held: list[Tensors] = []
    have = 0
    for piece in pieces:
        held.append(piece)
        have += len(piece[0])
        if have < count:
            continue
        joined = tuple(torch.cat(parts) for parts in zip(*held, strict=True))
        full = have - have % count
        for start in range(0, full, count):
            yield tuple(part[start : start + count] for part in joined)
        held, have = [tuple(part[full:] for part in joined)], have - full
    if have:
        yield tuple(torch.cat(parts) for parts in zip(*held, strict=True))


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
