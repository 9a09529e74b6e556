"""The division of signals into blocks for writing, and their restoration from blocks after reading.

The layout is part of the format: writer and reader derive it from the model and the sizes alone. Memory is bounded by a
batch of blocks, except for signals of several axes whose values are not coded one by one: they are held as a whole.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from math import prod
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.codec.format import Header
from codeword.coding import codes_each_value_alone, decode_signal, deterministic, deterministic_steps
from codeword.coding.tiles import decode_tiles
from codeword.errors import UnsupportedError
from codeword.media.base import Signal as Signal  # noqa: PLC0414 - also exported by the package.
from codeword.media.base import Tensors, regroup
from codeword.media.facts import MAX_PIXELS
from codeword.model import Model
from codeword.tokenizer import Tokenizer

# Cells of a block along each axis, for signals of one axis and of several. 512 cells are about 10 s of speech at 50
# cells per second: a longer block loses more to one damaged segment, a shorter one gives the prior less context.
_CELLS_1D, _CELLS_ND = 512, 16
# Values of a lossless block along each axis. Each lossless block is encoded and decoded without its neighbours.
_VALUES_1D, _VALUES_ND = 16_384, 64

_MAX_BLOCKS_PER_SEGMENT = 64
_MAX_POSITIONS, _MAX_BLOCK_POSITIONS = 1 << 16, 1 << 18
# Blocks of a lossy file are coded with any number of others to the same bytes; more at a time are faster.
_BATCH = 256


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
        most = _MAX_BLOCKS_PER_SEGMENT
        if lossless and not model.tokenizer.likelihood.sequential:
            # The logits of all positions of a batch are in memory at the same time.
            positions = prod(n * hop for n in block)
            if positions > _MAX_BLOCK_POSITIONS:
                raise UnsupportedError(
                    f"Lossless coding of blocks of {positions} values, the size that the prior was trained on, needs "
                    f"too much memory; store the codes alone, or train a prior on smaller signals."
                )
            most = max(1, min(most, _MAX_POSITIONS // positions))
        count = min(most, 1 << max(0, blocks - 1).bit_length())
        # One block per segment limits the loss in a damaged recording; for images, fewer segments save more bytes.
        return cls(block, count if lossless else _BATCH, 1 if len(block) == 1 else count)


def block_size(model: Model, *, lossless: bool) -> tuple[int, ...]:
    """The cells of a block: the grid that the prior was trained on, or a fixed size.

    A fixed size is that of sequences of any length, and of codes without a trained prior.
    """
    prior, hop = model.prior, model.tokenizer.hop
    rank = len(prior.grid)
    if not prior.any_grid or (rank > 1 and prod(prior.grid) > 1):
        return prior.grid
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
        # By numpy, because unravel_index of torch imports sympy.
        indices = map(torch.from_numpy, np.unravel_index(numbers.numpy(), self.counts))
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

    def join(self, blocks: Tensor) -> Tensor:
        """The inverse of `cut`: blocks (N, *Q, ...) to (*G, ...)."""
        rank = len(self.grid)
        x = blocks.reshape(*self.counts, *self.block, -1)
        # (N_1, N_2, ..., Q_1, Q_2, ..., -1) to (N_1, Q_1, N_2, Q_2, ..., -1) to (*G, -1).
        x = x.permute(
            *(axis for pair in zip(range(rank), range(rank, 2 * rank), strict=True) for axis in pair), 2 * rank
        )
        x = x.reshape(*(n * q for n, q in zip(self.counts, self.block, strict=True)), *blocks.shape[1 + rank :])
        return x[tuple(slice(n) for n in self.grid)]


def pad_batch(blocks: Tensor, batch_size: int) -> Tensor:
    """(n, ...) to (batch_size, ...): blocks of zeros are appended."""
    return F.pad(blocks, [0, 0] * (blocks.ndim - 1) + [0, batch_size - len(blocks)])


class Block(NamedTuple):
    """Codes (*Q, K) of one block, and in a lossless file its values (C, *S)."""

    codes: Tensor
    values: Tensor | None


def code_blocks(codes: Iterable[Tensor], block: tuple[int, ...]) -> Iterator[Tensors]:
    """Consecutive codes (g, ..., K) of a signal as blocks (n, *Q, K), and the mask (n, *Q) of cells on the grid.

    The codes of cells beyond the grid are 0.
    """
    for blocks, mask in _cut(codes, block):
        yield blocks * mask[..., None], mask


def value_blocks(
    tokenizer: Tokenizer, signal: Signal, *, block: tuple[int, ...], codes: int, batch_size: int
) -> Iterator[Tensors]:
    """Encode each block of a signal alone: yields its first `codes` codes and the mask as `code_blocks`, and then the
    values (n, C, *S) and their mask (n, *S).

    Beyond the end of the signal the encoder gets repeated edge values, but the yielded values are 0.
    """
    hop = tokenizer.hop
    rows = (x.movedim(0, -1) for x in signal.read())
    for values, value_mask in regroup(_cut(rows, tuple(n * hop for n in block)), batch_size):
        x = values.movedim(-1, 1).long()
        # A cell is on the grid if its first value is inside the signal.
        mask = value_mask[(slice(None), *(slice(None, None, hop) for _ in block))]
        yield tokenizer.encode(x)[..., :codes] * mask[..., None], mask, x * value_mask.unsqueeze(1), value_mask


class FileBlocks:
    """The blocks of all signals of a file, numbered one signal after another.

    `divide` returns the division of a signal of size *S into blocks: that of its cells, and in a lossless file also
    that of its values.
    """

    def __init__(
        self, sizes: Sequence[tuple[int, ...]], divide: Callable[[tuple[int, ...]], tuple[Blocks, ...]]
    ) -> None:
        self._sizes, self._divide = sizes, divide
        # The divisions themselves would need much memory for a million signals.
        self._starts = [0, *accumulate(len(divide(size)[0]) for size in sizes)]
        self.total = self._starts[-1]

    def span(self, signal: int) -> range:
        """The numbers of the blocks of one signal."""
        return range(self._starts[signal], self._starts[signal + 1])

    def masks(self, start: int, stop: int) -> Tensors:
        """The masks of the blocks from number `start` to `stop`, one for each division of `divide`."""
        parts = []
        for signal in range(bisect_right(self._starts, start) - 1, bisect_left(self._starts, stop)):
            first, last = self.span(signal).start, self.span(signal).stop
            division = self._divide(self._sizes[signal])
            parts.append([blocks.mask(max(0, start - first), min(stop, last) - first) for blocks in division])
        return tuple(map(torch.cat, zip(*parts, strict=True)))


def restore_signal(
    tokenizer: Tokenizer,
    read: Callable[[Iterable[int]], Iterator[Block]],
    cells: Blocks,
    *,
    header: Header,
    size: tuple[int, ...],
    damaged: Sequence[int],
) -> Iterator[Tensor]:
    """Decode the blocks of one signal to consecutive parts (C, n, ...) along its first axis.

    `cells` is the division of the code grid into blocks, and `read` returns those with the given numbers. The numbers
    `damaged` are not read; their values become the middle value (silence, or grey) without a run of the decoder.
    """
    values, lost, config = Blocks(size, tuple(n * tokenizer.hop for n in cells.block)), set(damaged), tokenizer.config
    if len(size) > 1:
        for first, slab_cells, slab_values in _slabs(tokenizer, cells, values):
            slab = range(first, first + len(slab_cells))
            numbers = [number for number in slab if number not in lost]
            places = (number - first for number in numbers)
            with deterministic():
                x = _restore_slab(tokenizer, zip(places, read(numbers), strict=True), slab_cells, slab_values, header)
            for number in lost.intersection(slab):
                x[:, *slab_values.region(number - first)] = config.values // 2
            yield x
        return
    for is_lost, run in groupby(range(len(cells)), key=lost.__contains__):
        numbers = list(run)
        regions = [values.region(number)[0] for number in numbers]
        if is_lost:
            yield from (torch.full((config.channels, r.stop - r.start), config.values // 2) for r in regions)
        elif header.lossless:
            for block, r in zip(read(numbers), regions, strict=True):
                assert block.values is not None
                yield block.values[:, : r.stop - r.start]
        else:
            # The decoder gets the intact blocks between two gaps as a signal of their own.
            grids = (cells.region(number)[0] for number in numbers)
            codes = (block.codes[: g.stop - g.start] for block, g in zip(read(numbers), grids, strict=True))
            length = regions[-1].stop - regions[0].start
            yield from deterministic_steps(decode_signal(tokenizer, codes, size=(length,), label=header.label))


def is_too_large(tokenizer: Tokenizer, size: tuple[int, ...], block: tuple[int, ...]) -> bool:
    """True if more than `MAX_PIXELS` values of a signal of this size, in blocks of this size, are restored at once."""
    rows = block[0] if codes_each_value_alone(tokenizer) else size[0]
    return len(size) > 1 and min(rows, size[0]) * prod(size[1:]) > MAX_PIXELS


def _slabs(tokenizer: Tokenizer, cells: Blocks, values: Blocks) -> Iterator[tuple[int, Blocks, Blocks]]:
    """The parts of a signal along its first axis that are decoded at once: the number of the first block, and the
    division of the cells and of the values.

    They are rows of blocks where each value is coded alone, and otherwise the whole.
    """
    if not codes_each_value_alone(tokenizer):
        yield 0, cells, values
        return
    depth, blocks_per_row = cells.block[0], prod(cells.counts[1:])
    for row in range(cells.counts[0]):
        grid = (min(depth, cells.grid[0] - row * depth), *cells.grid[1:])
        yield row * blocks_per_row, replace(cells, grid=grid), replace(values, grid=grid)


def _restore_slab(
    tokenizer: Tokenizer, blocks: Iterable[tuple[int, Block]], cells: Blocks, values: Blocks, header: Header
) -> Tensor:
    """A signal (C, *S) of numbered blocks; where there are none, its values are arbitrary."""
    config = tokenizer.config
    # The blocks are copied one after another, so that a photo is never in memory twice.
    if header.lossless:
        x = torch.empty(config.channels, *values.grid, dtype=torch.uint8 if config.values <= 256 else torch.int64)
        for number, block in blocks:
            assert block.values is not None
            _copy(block.values, x[:, *values.region(number)])
        return x
    codes = torch.zeros(header.codes, *cells.grid, dtype=torch.int64)
    present = torch.zeros(cells.grid, dtype=torch.bool)
    for number, block in blocks:
        _copy(block.codes.movedim(-1, 0), codes[:, *cells.region(number)])
        present[cells.region(number)] = True
    return decode_tiles(tokenizer, codes.movedim(0, -1), size=values.grid, label=header.label, present=present)


def _copy(block: Tensor, region: Tensor) -> None:
    """Copy a block (C, *Q) into a region (C, *R) of a signal or grid, which may be smaller at its end."""
    region.copy_(block[:, *(slice(n) for n in region.shape[1:])])


def _cut(rows: Iterable[Tensor], block: tuple[int, ...]) -> Iterator[Tensors]:
    """Consecutive rows (n, ..., X) along the first axis to blocks (m, *Q, X) and their masks (m, *Q)."""
    for (grid,) in regroup(((row,) for row in rows), block[0]):
        blocks = Blocks(tuple(grid.shape[: len(block)]), block)
        yield blocks.cut(grid), blocks.mask()
