"""Large photos through a tokenizer in bounded memory, with the same result as in one piece.

As in `stream`, along every axis: the signal is cut into tiles, each tile is extended to a window by as much context as
the networks see, and the output of the context is cut off again. Windows stop at the edges of the signal, so the
padding there is the same as for the whole signal.
"""

from collections.abc import Iterator
from itertools import product
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

from codeword.errors import UnsupportedError, UsageError
from codeword.nn.conv import reach
from codeword.tokenizer import Tokenizer

TILE = 256
"""Values along each axis: the shipped networks need tens of MiB for a tile, ConvNeXt or 768 logits a pixel < 1 GiB."""


def encode_tiles(tokenizer: Tokenizer, x: Tensor, *, tile: int = TILE) -> Tensor:
    """(C, *S) integers to codes (*G, K) int64 on the CPU, equal to those of `encode`.

    They equal those of the whole signal up to rounding of float32: a vector halfway between two codewords may get the
    other one. A signal of one tile is encoded as a whole.

    Raises:
        UnsupportedError: this tokenizer codes a recording in frames, or draws one sample after another.
    """
    _must_be_convolutional(tokenizer)
    hop, grid = tokenizer.hop, tokenizer.grid(tuple(x.shape[1:]))
    codes = torch.empty(*grid, len(tokenizer.quantizer.codebook_sizes), dtype=torch.int64)
    for spans in _tiles(grid, tile=tile // hop, context=ceil(reach(tokenizer.encoder) / hop)):
        # `encode` pads a last cell that is not full, as it does for the whole signal.
        window = x[:, *(slice(span.first * hop, span.last * hop) for span in spans)]
        found = tokenizer.encode(window[None].to(tokenizer.device))[0].cpu()
        codes[*(slice(span.start, span.stop) for span in spans)] = found[*(span.in_window(1) for span in spans)]
    return codes


@torch.no_grad()
def decode_tiles(
    tokenizer: Tokenizer, codes: Tensor, *, size: tuple[int, ...], label: int | None = None, tile: int = TILE
) -> Tensor:
    """Codes (*G, K) to the signal (C, *S) of `size` on the CPU, equal to that of `decode` up to rounding.

    It is uint8 where `values` allow, else int64. A residual quantizer also takes the first few of the K codes. `label`
    conditions the decoder on a class. On one machine, with the same number of threads, the bits are reproducible.

    Raises:
        UsageError: the codes are not those of a signal of this size.
        UnsupportedError: as `encode_tiles`.
    """
    _must_be_convolutional(tokenizer)
    hop, grid, config = tokenizer.hop, tuple(codes.shape[:-1]), tokenizer.config
    if grid != tokenizer.grid(size):
        raise UsageError(
            f"A signal of size {list(size)} has a grid of {list(tokenizer.grid(size))} cells, but the codes one of "
            f"{list(grid)}; give the size that was encoded."
        )
    device = tokenizer.device
    labels = None if label is None else torch.tensor([label], device=device)
    x = torch.empty(config.channels, *size, dtype=torch.uint8 if config.values <= 256 else torch.int64)
    for spans in _tiles(grid, tile=tile // hop, context=ceil(reach(tokenizer.decoder))):
        window = codes[*(slice(span.first, span.last) for span in spans)]
        features = tokenizer.features(window[None].to(device), labels)
        place = x[:, *(slice(span.start * hop, span.stop * hop) for span in spans)]
        decoded = tokenizer.likelihood.mean(features[:, :, *(span.in_window(hop) for span in spans)])[0].round()
        # The last cells may reach beyond the signal.
        place.copy_(decoded[:, *(slice(n) for n in place.shape[1:])])
    return x


class _Span(NamedTuple):
    """A tile along one axis, in cells from `start` to `stop`, inside its window from `first` to `last`."""

    start: int
    stop: int
    first: int
    last: int

    def in_window(self, hop: int) -> slice:
        """The tile inside its window, in units of which a cell has `hop`."""
        return slice((self.start - self.first) * hop, (self.stop - self.first) * hop)


def _tiles(grid: tuple[int, ...], *, tile: int, context: int) -> Iterator[tuple[_Span, ...]]:
    """Tiles of at most `tile` cells along each axis that together are the grid, in row-major order."""
    return product(*(_spans(cells, max(1, tile), context) for cells in grid))


def _spans(cells: int, tile: int, context: int) -> list[_Span]:
    # Tiles of even size, in windows of one length that move inward at the edges: all windows then run the same kernels
    # on the same shapes, and no tile is so small that its window is mostly context.
    tile = ceil(cells / ceil(cells / tile))
    window = min(cells, tile + 2 * context)
    firsts = {start: max(0, min(start - context, cells - window)) for start in range(0, cells, tile)}
    return [_Span(start, min(start + tile, cells), first, first + window) for start, first in firsts.items()]


def _must_be_convolutional(tokenizer: Tokenizer) -> None:
    reaches = (tokenizer.frontend.reach, tokenizer.head.reach, tokenizer.likelihood.reach)
    if max(*reaches, tokenizer.frontend.hop - 1, tokenizer.head.hop - 1) > 0:
        raise UnsupportedError(
            "This tokenizer codes a recording in frames or draws one sample after another, so it cannot work on tiles; "
            "stream the recording, or code it whole."
        )
