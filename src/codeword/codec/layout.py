"""The division of a signal into blocks, and the number of blocks that are coded together.

It is part of the format: writer and reader derive it from the model and the sizes alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.model import Model

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
