"""A grid cut into equal blocks: what is walked together, and lost alone."""

from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Blocks:
    """A grid *G in blocks *Q, in raster order; those at the far edges reach beyond it."""

    grid: tuple[int, ...]
    block: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """How many blocks lie along each axis."""
        return tuple(-(-n // q) for n, q in zip(self.grid, self.block, strict=True))

    def __len__(self) -> int:
        return prod(self.counts)

    def inside(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Which places of blocks `start` to `stop` lie on the grid, (N, *Q) bool."""
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
        """Where on the grid one block lies."""
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
    """(n, ...) to (count, ...) with zeros behind."""
    return F.pad(blocks, [0, 0] * (blocks.ndim - 1) + [0, count - len(blocks)])
