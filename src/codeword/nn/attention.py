"""Attention over the cells of a grid, as far along each axis as in training: causal in raster order, or to all."""

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.linear import Linear

# Numbers of queries that are computed at a time, to bound the memory of long sequences.
QUERIES = 512
EPSILON = 1e-6


class Window(NamedTuple):
    """Some cells that attend (the queries) and all cells that they may attend to (the keys), as slices of a grid.

    `offsets` (queries, keys) int64 is the number of the offset of each pair, and `hidden` (queries, keys) is True for
    keys that are not visible to the query.
    """

    queries: slice
    keys: slice
    offsets: Tensor
    hidden: Tensor


class Neighbourhood:
    """The cells that each cell of `grid` attends to: itself, and others at an offset that `trained` has.

    With `causal`, the others are those before it in raster order.

    Attributes:
        count: the number of different offsets between the cells of `trained`.
        span: the largest distance in raster order between a cell and one that it attends to.
    """

    def __init__(self, grid: tuple[int, ...], trained: tuple[int, ...], *, causal: bool = True) -> None:
        self.grid, self._trained, self._causal = grid, trained, causal
        self.strides = tuple(prod(grid[axis + 1 :]) for axis in range(len(grid)))
        self._widths = (trained[0] if causal else 2 * trained[0] - 1, *(2 * n - 1 for n in trained[1:]))
        self.count = prod(self._widths)
        reaches = [min(n, t) - 1 for n, t in zip(grid, trained, strict=True)]
        self.span = min(prod(grid) - 1, sum(r * s for r, s in zip(reaches, self.strides, strict=True)))

    def windows(self) -> Iterator[Window]:
        """All cells in raster order, at most `QUERIES` at a time."""
        cells = prod(self.grid)
        for first in range(0, cells, QUERIES):
            yield self.window(first, min(first + QUERIES, cells))

    def end(self) -> Window:
        """One more cell after all others, which attends to all of them, at the offset of number `count`."""
        cells = prod(self.grid)
        offsets = torch.full((1, cells + 1), self.count)
        return Window(
            slice(cells, cells + 1), slice(0, cells + 1), offsets, torch.zeros(1, cells + 1, dtype=torch.bool)
        )

    def window(self, first: int, last: int) -> Window:
        """The cells from number `first` to before `last`."""
        start = max(0, first - self.span)
        stop = last if self._causal else min(prod(self.grid), last + self.span)
        queries, keys = np.arange(first, last)[:, None], np.arange(start, stop)
        offsets = np.zeros((last - first, stop - start), np.int64)
        hidden = queries < keys if self._causal else np.zeros_like(offsets, bool)
        places = zip(np.unravel_index(queries, self.grid), np.unravel_index(keys, self.grid), strict=True)
        for axis, (query, key) in enumerate(places):
            reach = self._trained[axis] - 1
            step = query - key
            hidden |= np.abs(step) > reach
            # A causal step along the first axis is never negative.
            offsets = offsets * self._widths[axis] + (step if self._causal and axis == 0 else step + reach)
        offsets[hidden] = 0
        return Window(slice(first, last), slice(start, stop), torch.from_numpy(offsets), torch.from_numpy(hidden))


def places(cells: int, trained: int) -> Tensor:
    """The place of each cell of an axis (cells,) among those of training, by its distance from the nearer end.

    Cells further from both ends than any cell of training have the place in the middle.
    """
    place = torch.arange(cells)
    from_end = trained - cells + place
    middle = trained // 2
    return torch.where(place < middle, place, from_end.clamp(min=min(middle, trained - 1))).clamp(max=trained - 1)


def normalise(h: Tensor) -> Tensor:
    """Vectors (..., W) to vectors of root mean square 1 (Zhang and Sennrich 2019, RMSNorm), without a gain."""
    return F.rms_norm(h, h.shape[-1:], eps=EPSILON)


class Memory(NamedTuple):
    """Keys and values (layer, B, heads, cells, W / heads) of another sequence, all of which is visible."""

    keys: Tensor
    values: Tensor

    def of_layer(self, n: int) -> "Memory":
        """The keys and values (B, heads, cells, W / heads) of layer n."""
        return Memory(self.keys[n], self.values[n])

    def before(self, own: "Memory") -> "Memory":
        """These keys and values of one layer (B, heads, m, d), followed by those of `own`."""
        return Memory(torch.cat([self.keys, own.keys], 2), torch.cat([self.values, own.values], 2))


class AttentionLayer(nn.Module):
    """A residual layer with attention and hidden units side by side (Wang and Komatsuzaki 2021, GPT-J)."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads, self._widths = heads, (width, width, width, hidden)
        self.project_in = Linear(width, 3 * width + hidden, bias=False)
        self.project_out = Linear(width + hidden, width, bias=False)
        nn.init.zeros_(self.project_out.weight)

    def forward(self, h: Tensor, windows: list[Window], table: Tensor, memory: Memory | None) -> tuple[Tensor, Memory]:
        """The stream h (B, cells, W) of all cells to what is added to it, and the keys and values of this layer.

        `table` (heads, offsets) is added to the attention logits for the offset of query and key (Raffel et al. 2020,
        T5, sec. 2.1). `memory` is that of this layer.
        """
        query, key, value, hidden = self.project(h)
        attended = []
        for window in windows:
            own = Memory(key[:, :, window.keys], value[:, :, window.keys])
            attended.append(attend(query[:, :, window.queries], own, biases(table, window), memory))
        return self.update(torch.cat(attended, 2), hidden), Memory(key, value)

    def project(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The stream (B, n, W) to queries, keys, values (B, heads, n, W / heads) and hidden units (B, n, hidden)."""
        *parts, hidden = self.project_in(normalise(h)).split(self._widths, -1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        return query, key, value, F.relu(hidden)

    def update(self, attended: Tensor, hidden: Tensor) -> Tensor:
        """The update (B, n, W) by what is attended (B, heads, n, W / heads) and by the hidden units (B, n, hidden)."""
        update: Tensor = self.project_out(torch.cat([attended.transpose(1, 2).flatten(2), hidden], -1))
        return update


def biases(table: Tensor, window: Window) -> Tensor:
    """The biases (..., queries, keys) of a table (..., offsets); those of hidden keys are minus infinity."""
    return biases_by_offset(table, window).masked_fill(window.hidden.to(table.device), -torch.inf)


def biases_by_offset(table: Tensor, window: Window) -> Tensor:
    """The biases (..., queries, keys) of a table (..., offsets); those of hidden keys have no meaning."""
    offsets = window.offsets.to(table.device)
    found: Tensor = table.index_select(-1, offsets.flatten()).unflatten(-1, offsets.shape)
    return found


def attend(query: Tensor, own: Memory, bias: Tensor, memory: Memory | None = None) -> Tensor:
    """Softmax attention of queries (B, heads, n, d) to keys and values (B, heads, m, d): (B, heads, n, d).

    The bias (heads, n, m) is that of the keys of `own`; those of `memory` have none.
    """
    if memory is not None:
        own = memory.before(own)
        bias = F.pad(bias, (own.keys.shape[2] - bias.shape[-1], 0))
    return F.scaled_dot_product_attention(query, *own, attn_mask=bias.to(query.dtype))
