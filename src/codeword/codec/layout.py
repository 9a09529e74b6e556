"""The division of signals into blocks for writing, and their restoration from blocks after reading.

The layout is part of the format: writer and reader derive it from the model and the sizes alone. Memory is bounded by a
batch of blocks, except for images, which are held as a whole.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.coding import decode_signal, deterministic_steps, encode_blocks
from codeword.media.base import Tensors, regroup
from codeword.model import Model
from codeword.tokenizer import Tokenizer

# Cells of a block along each axis, for signals of one axis and of several. 512 cells are about 10 s of speech at 50
# cells per second: a longer block loses more to one damaged segment, a shorter one gives the prior less context.
_CELLS_1D, _CELLS_ND = 512, 16
# Values of a lossless block along each axis. Each lossless block is encoded and decoded without its neighbours.
_VALUES_1D, _VALUES_ND = 16_384, 64

_MAX_BATCH = 64
_MAX_POSITIONS = 1 << 16


@dataclass(frozen=True)
class Layout:
    """Size `block` of each block in cells *Q, number of blocks coded in one batch, and in one segment."""

    block: tuple[int, ...]
    batch_size: int
    blocks_per_segment: int

    @classmethod
    def of(cls, model: Model, *, blocks: int, lossless: bool) -> "Layout":
        """The layout of a file of `blocks` blocks, each of the size given by `block_size`."""
        block, hop = block_size(model, lossless=lossless), model.tokenizer.hop
        max_batch = _MAX_BATCH
        if lossless and not model.tokenizer.likelihood.sequential:
            # The logits of all positions of a batch are in memory at the same time.
            max_batch = max(1, min(max_batch, _MAX_POSITIONS // prod(n * hop for n in block)))
        batch_size = min(max_batch, 1 << max(0, blocks - 1).bit_length())
        # One block per segment limits the loss in a damaged recording; for images, fewer segments save more bytes.
        return cls(block, batch_size, 1 if len(block) == 1 else batch_size)


def block_size(model: Model, *, lossless: bool) -> tuple[int, ...]:
    """The cells of a block: the grid that the prior was trained on, or a fixed size where it takes any grid."""
    prior, hop = model.prior, model.tokenizer.hop
    if not prior.any_grid:
        return prior.grid
    rank = len(prior.grid)
    if lossless:
        return (max(1, (_VALUES_1D if rank == 1 else _VALUES_ND) // hop),) * rank
    return (_CELLS_1D if rank == 1 else _CELLS_ND,) * rank


@dataclass(frozen=True)
class Blocks:
    """The division of a grid *G into N blocks *Q in raster order; the last blocks extend beyond the grid."""

    grid: tuple[int, ...]
    block: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of blocks along each axis."""
        return tuple(-(-n // q) for n, q in zip(self.grid, self.block, strict=True))

    def __len__(self) -> int:
        return prod(self.counts)

    def mask(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Mask (n, *Q) bool of the blocks from `start` to `stop`, True for the cells on the grid."""
        numbers = torch.arange(start, len(self) if stop is None else stop)
        mask = torch.ones(len(numbers), *self.block, dtype=torch.bool)
        indices = torch.unravel_index(numbers, self.counts)
        for axis, (index, q, n) in enumerate(zip(indices, self.block, self.grid, strict=True)):
            on_grid = index[:, None] * q + torch.arange(q) < n
            mask &= on_grid.view(-1, *[q if a == axis else 1 for a in range(len(self.block))])
        return mask

    def region(self, number: int) -> tuple[slice, ...]:
        """The slices of the grid that block `number` covers."""
        starts = [int(i) * q for i, q in zip(np.unravel_index(number, self.counts), self.block, strict=True)]
        return tuple(slice(start, min(start + q, n)) for start, q, n in zip(starts, self.block, self.grid, strict=True))

    def cut(self, x: Tensor) -> Tensor:
        """(*G, ...) to blocks (N, *Q, ...); beyond the grid the values at its edges are repeated."""
        rank, shape_of_cell = len(self.grid), x.shape[len(self.grid) :]
        for axis, (n, count, q) in enumerate(zip(self.grid, self.counts, self.block, strict=True)):
            x = x.index_select(axis, torch.arange(count * q).clamp(max=n - 1))
        # (*G, ...) to (N_1, Q_1, N_2, Q_2, ..., -1) to (N_1, N_2, ..., Q_1, Q_2, ..., -1).
        counts_and_sizes = [n for pair in zip(self.counts, self.block, strict=True) for n in pair]
        order = [*range(0, 2 * rank, 2), *range(1, 2 * rank, 2)]
        x = x.reshape(*counts_and_sizes, -1).permute(*order, 2 * rank)
        return x.reshape(len(self), *self.block, *shape_of_cell)


def pad_batch(blocks: Tensor, batch_size: int) -> Tensor:
    """(n, ...) to (batch_size, ...): blocks of zeros are appended."""
    return F.pad(blocks, [0, 0] * (blocks.ndim - 1) + [0, batch_size - len(blocks)])


@dataclass(frozen=True)
class Signal:
    """A signal of size *S to compress; `read` returns consecutive blocks (C, n) of it, or one block (C, *S)."""

    name: str
    size: tuple[int, ...]
    read: Callable[[], Iterable[Tensor]]


class Block(NamedTuple):
    """Codes (*Q, K) of one block, its values (C, *S) in a lossless file, and `intact`, False if it is damaged."""

    codes: Tensor
    values: Tensor | None
    intact: bool


def code_blocks(tokenizer: Tokenizer, signal: Signal, block: tuple[int, ...], *, codes: int) -> Iterator[Tensors]:
    """Encode a signal: the first `codes` codes of each cell as blocks (n, *Q, K), and the mask (n, *Q) of cells on
    the grid.

    The codes of cells beyond the grid are 0.
    """
    for all_codes, mask in _cut(encode_blocks(tokenizer, signal.read()), block):
        yield all_codes[..., :codes] * mask[..., None], mask


def value_blocks(
    tokenizer: Tokenizer, signal: Signal, block: tuple[int, ...], *, codes: int, batch_size: int
) -> Iterator[Tensors]:
    """As `code_blocks`, but each block is encoded alone; yields also the values (n, C, *S) and their mask (n, *S).

    Beyond the end of the signal the encoder gets repeated edge values, but the yielded values are 0.
    """
    hop = tokenizer.hop
    rows = (x.movedim(0, -1) for x in signal.read())
    for values, value_mask in regroup(_cut(rows, tuple(n * hop for n in block)), batch_size):
        x = values.movedim(-1, 1).long()
        # A cell is on the grid if its first value is inside the signal.
        mask = value_mask[(slice(None), *(slice(None, None, hop) for _ in block))]
        yield tokenizer.encode(x)[..., :codes] * mask[..., None], mask, x * value_mask.unsqueeze(1), value_mask


def masks(divisions: Iterable[tuple[Blocks, ...]], batch_size: int) -> Iterator[Tensors]:
    """The masks of all blocks of several signals, `batch_size` blocks at a time.

    Each signal has a tuple of divisions with equally many blocks, of its cells and perhaps of its values; each item of
    the result has a mask for each of these.
    """

    def masks_of_signals() -> Iterator[Tensors]:
        for division in divisions:
            count = len(division[0])
            for start in range(0, count, batch_size):
                yield tuple(blocks.mask(start, min(start + batch_size, count)) for blocks in division)

    return regroup(masks_of_signals(), batch_size)


def restore_signal(
    tokenizer: Tokenizer,
    blocks: Iterator[Block],
    cells: Blocks,
    *,
    size: tuple[int, ...],
    label: int | None,
    damaged: list[int],
) -> Iterator[Tensor]:
    """Decode all blocks of one signal to consecutive parts (C, n) along its only axis, or to one part (C, *S).

    `cells` is the division of the code grid into these blocks. The numbers of damaged blocks are appended to `damaged`;
    their values become the middle value (silence, or grey).
    """
    values_division, config = Blocks(size, tuple(n * tokenizer.hop for n in cells.block)), tokenizer.config
    blocks = _record_damage(blocks, damaged)
    first = next(blocks)
    blocks = chain([first], blocks)
    parts: Iterator[Tensor]
    codes: Tensor | Iterator[Tensor]
    if first.values is not None:
        parts = _values(blocks)
        if len(size) > 1:
            x = torch.empty(config.channels, *size, dtype=torch.uint8 if config.values <= 256 else torch.int64)
            parts = iter([_assemble(x, parts, values_division)])
    else:
        if len(size) == 1:
            codes = (block.codes[: cells.grid[0] - i * cells.block[0]] for i, block in enumerate(blocks))
        else:
            grid = torch.empty(first.codes.shape[-1], *cells.grid, dtype=torch.int64)
            grid = _assemble(grid, (block.codes.movedim(-1, 0) for block in blocks), cells)
            codes = grid.movedim(0, -1)
        parts = deterministic_steps(decode_signal(tokenizer, codes, size=size, label=label))
    position = 0
    for decoded in parts:
        # The last blocks of a recording extend beyond its end.
        part = decoded[..., : size[-1] - position].clone() if len(size) == 1 else decoded
        for number in damaged:
            *other_axes, last_axis = values_division.region(number)
            in_part = slice(max(0, last_axis.start - position), max(0, last_axis.stop - position))
            part[:, *other_axes, in_part] = config.values // 2
        yield part
        position += part.shape[-1]


def _cut(rows: Iterable[Tensor], block: tuple[int, ...]) -> Iterator[Tensors]:
    """Consecutive rows (n, X) along one axis, or one grid (*G, X), to blocks (m, *Q, X) and their masks (m, *Q)."""
    grids = rows if len(block) > 1 else (grid for (grid,) in regroup(((row,) for row in rows), block[0]))
    for grid in grids:
        blocks = Blocks(tuple(grid.shape[: len(block)]), block)
        yield blocks.cut(grid), blocks.mask()


def _record_damage(blocks: Iterator[Block], damaged: list[int]) -> Iterator[Block]:
    """The same blocks; the numbers of damaged ones are appended to `damaged`."""
    for number, block in enumerate(blocks):
        if not block.intact:
            damaged.append(number)
        yield block


def _values(blocks: Iterable[Block]) -> Iterator[Tensor]:
    for block in blocks:
        assert block.values is not None
        yield block.values


def _assemble(x: Tensor, blocks: Iterable[Tensor], division: Blocks) -> Tensor:
    """Copy blocks (C, *Q) into x (C, *G) one after another, so that a photo is never in memory twice."""
    for number, block in enumerate(blocks):
        region = x[:, *division.region(number)]
        region.copy_(block[:, *(slice(n) for n in region.shape[1:])])
    return x
