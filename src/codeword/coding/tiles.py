"""Large photos through a tokenizer in bounded memory, with the same result as in one piece.

As `streaming`, along every axis: the signal is cut into tiles, each is handed over inside a window of as much of its
neighbourhood as the networks see, and what came out of that neighbourhood is cut off again. Windows stop at the true
edges, so that the padding there is that of the whole.
"""

from collections.abc import Iterator
from itertools import product
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

from codeword.config import SamplesConfig, SpectrogramConfig
from codeword.errors import UsageError
from codeword.nn.conv import reach
from codeword.tokenizer import Tokenizer

TILE = 256
"""Values along each axis: ours take tens of MiB for it, and ConvNeXt blocks or 768 logits a pixel less than a GiB."""


def encode_tiles(tokenizer: Tokenizer, x: Tensor, *, tile: int = TILE) -> Tensor:
    """(C, *S) integers to codes (*G, K) int64 on the CPU: those of `encode`.

    They are the whole signal's up to rounding of float32: a vector that lies between two codewords may fall to the
    other side. A signal of one tile is encoded as a whole.

    Raises:
        UsageError: this tokenizer analyses or synthesises frames of a recording, or draws sample after sample.
    """
    _must_be_convolutional(tokenizer)
    hop, grid = tokenizer.hop, tokenizer.grid(tuple(x.shape[1:]))
    codes = torch.empty(*grid, len(tokenizer.quantizer.codebook_sizes), dtype=torch.int64)
    for spans in _tiles(grid, tile=tile // hop, context=ceil(reach(tokenizer.encoder) / hop)):
        # A last cell that is not full is padded by `encode`, as the whole signal's is.
        window = x[:, *(slice(span.first * hop, span.last * hop) for span in spans)]
        found = tokenizer.encode(window[None].to(_device(tokenizer)))[0].cpu()
        codes[*(slice(span.start, span.stop) for span in spans)] = found[*(span.inside(1) for span in spans)]
    return codes


@torch.no_grad()
def decode_tiles(
    tokenizer: Tokenizer, codes: Tensor, *, size: tuple[int, ...], label: int | None = None, tile: int = TILE
) -> Tensor:
    """Codes (*G, K) to the signal (C, *S) of `size` on the CPU: that of `decode`, up to rounding.

    It is uint8 where `values` allow, else int64. A residual quantizer also takes a prefix of the K codes. `label` tells
    a conditional decoder the class. On one machine, with as many threads, the same tiles give the same bits.

    Raises:
        UsageError: the codes are not those of a signal of this size, or as `encode_tiles`.
    """
    _must_be_convolutional(tokenizer)
    hop, grid, config = tokenizer.hop, tuple(codes.shape[:-1]), tokenizer.config
    if grid != tokenizer.grid(size):
        raise UsageError(
            f"A signal of size {list(size)} has a grid of {list(tokenizer.grid(size))} cells, but the codes one of "
            f"{list(grid)}; give the size that was encoded."
        )
    device = _device(tokenizer)
    labels = None if label is None else torch.tensor([label], device=device)
    x = torch.empty(config.channels, *size, dtype=torch.uint8 if config.values <= 256 else torch.int64)
    for spans in _tiles(grid, tile=tile // hop, context=ceil(reach(tokenizer.decoder))):
        window = codes[*(slice(span.first, span.last) for span in spans)]
        features = tokenizer.features(window[None].to(device), labels)
        place = x[:, *(slice(span.start * hop, span.stop * hop) for span in spans)]
        decoded = tokenizer.likelihood.mean(features[:, :, *(span.inside(hop) for span in spans)])[0].round()
        # The last cells may reach beyond the signal.
        place.copy_(decoded[:, *(slice(n) for n in place.shape[1:])])
    return x


class _Span(NamedTuple):
    """A tile along one axis, in cells from `start` to `stop`, inside its window from `first` to `last`."""

    start: int
    stop: int
    first: int
    last: int

    def inside(self, hop: int) -> slice:
        """Where the tile lies in its window, in steps of which a cell has `hop`."""
        return slice((self.start - self.first) * hop, (self.stop - self.first) * hop)


def _tiles(grid: tuple[int, ...], *, tile: int, context: int) -> Iterator[tuple[_Span, ...]]:
    """Tiles of at most `tile` cells along each axis that together are the grid, in row-major order."""
    return product(*(_spans(cells, max(1, tile), context) for cells in grid))


def _spans(cells: int, tile: int, context: int) -> list[_Span]:
    # Even tiles, and windows of one length, which move inward at the edges: all of them then run the same kernels on
    # the same shapes, and no sliver is left that would be mostly context.
    tile = ceil(cells / ceil(cells / tile))
    window = min(cells, tile + 2 * context)
    firsts = {start: max(0, min(start - context, cells - window)) for start in range(0, cells, tile)}
    return [_Span(start, min(start + tile, cells), first, first + window) for start, first in firsts.items()]


def _device(tokenizer: Tokenizer) -> torch.device:
    return next(tokenizer.parameters()).device


def _must_be_convolutional(tokenizer: Tokenizer) -> None:
    config = tokenizer.config
    if (
        not isinstance(config.frontend, SamplesConfig)
        or not isinstance(config.head, SamplesConfig)
        or isinstance(config.likelihood, SpectrogramConfig)
        or tokenizer.likelihood.sequential
    ):
        raise UsageError(
            "This tokenizer codes recordings by their frames or draws them sample after sample, so it cannot work on "
            "tiles; stream them, or give it whole recordings."
        )
