"""Encoding and decoding of large photos in bounded memory, with the same result as for the whole photo.

The algorithm is that of `stream`, along every axis: the signal is cut into tiles, each tile is extended to a window by
the receptive field of the networks (the context), and the output for the context is discarded. Windows end at the edges
of the signal, so the padding there is the same as for the whole signal.
"""

from collections.abc import Iterator
from itertools import product
from math import ceil, inf
from typing import NamedTuple

import torch
from torch import Tensor

from codeword.errors import UnsupportedError
from codeword.nn.conv import reach
from codeword.tokenizer import Tokenizer

TILE = 256
"""Values along each axis. The shipped networks need tens of MiB for a tile; ConvNeXt, and likelihoods with 768 logits
per pixel, need less than 1 GiB."""


def encode_tiles(tokenizer: Tokenizer, x: Tensor, *, tile: int = TILE) -> Tensor:
    """Encode a signal (C, *S) of integers to codes (*G, K) int64 on the CPU.

    These are the codes of `encode` up to rounding of float32: a vector halfway between two codewords may get the other
    one. A signal of one tile is encoded as a whole.

    Raises:
        UnsupportedError: the tokenizer has a spectral frontend or head, or an autoregressive likelihood.
    """
    _check_convolutional(tokenizer)
    hop, grid = tokenizer.hop, tokenizer.grid(tuple(x.shape[1:]))
    codes: Tensor | None = None
    for spans in tiles_of(grid, tile=tile // hop, context=ceil(reach(tokenizer.encoder) / hop)):
        # `encode` pads an incomplete last cell, in the same way as for the whole signal.
        window = x[:, *(slice(span.first * hop, span.last * hop) for span in spans)]
        window_codes = tokenizer.encode(window[None].to(tokenizer.device))[0].cpu()
        if codes is None:
            codes = window_codes.new_empty(*grid, window_codes.shape[-1])
        codes[*(slice(span.start, span.stop) for span in spans)] = window_codes[*(span.in_window(1) for span in spans)]
    assert codes is not None
    return codes


@torch.no_grad()
def decode_tiles(
    tokenizer: Tokenizer,
    codes: Tensor,
    *,
    size: tuple[int, ...],
    label: int | None = None,
    tile: int = TILE,
    present: Tensor | None = None,
) -> Tensor:
    """Decode codes (*G, K) to a signal (C, *S) of `size` on the CPU, equal to that of `decode` up to rounding.

    The dtype is uint8 if the signal has at most 256 values, else int64. K may be a smaller number of leading codes if
    `leading_codes` accepts it. `label` conditions the decoder on a class. On one machine, with the same number of
    threads, the bits are reproducible. Tiles without a cell of the mask `present` (*G) are not decoded; their values
    are arbitrary.

    Raises:
        UsageError: the codes are not those of a signal of this size.
        UnsupportedError: as `encode_tiles`.
    """
    _check_convolutional(tokenizer)
    codes = tokenizer.check_codes(codes, size=size, batched=False)
    hop, grid, config = tokenizer.hop, tuple(codes.shape[:-1]), tokenizer.config
    device, margin = tokenizer.device, ceil(tokenizer.likelihood.reach / hop)
    labels = None if label is None else torch.tensor([label], device=device)
    x = torch.empty(config.channels, *size, dtype=torch.uint8 if config.values <= 256 else torch.int64)
    for spans in tiles_of(grid, tile=tile // hop, context=ceil(reach(tokenizer.decoder)) + margin):
        if present is not None and not present[*(slice(span.start, span.stop) for span in spans)].any():
            continue
        window = codes[*(slice(span.first, span.last) for span in spans)]
        # The last cells may extend beyond the signal.
        end = tuple(min(n, span.last * hop) - span.first * hop for n, span in zip(size, spans, strict=True))
        features = tokenizer.features(window[None].to(device), labels, size=end)
        decoded = tokenizer.likelihood.mean(features[:, :, *(span.in_window(hop, margin) for span in spans)])[0].round()
        region = x[:, *(slice(span.start * hop, span.stop * hop) for span in spans)]
        firsts = [min(margin, span.start - span.first) * hop for span in spans]
        region.copy_(decoded[:, *(slice(i, i + n) for i, n in zip(firsts, region.shape[1:], strict=True))])
    return x


class Span(NamedTuple):
    """A tile and its window along one axis, in cells: the tile is [start, stop), the window [first, last)."""

    start: int
    stop: int
    first: int
    last: int

    def in_window(self, hop: int, margin: int = 0) -> slice:
        """Slice of the tile relative to its window: in samples with the tokenizer's hop, in cells with a hop of 1.

        It has `margin` more cells at each end that is not an end of the window.
        """
        return slice(max(0, self.start - self.first - margin) * hop, (self.stop - self.first + margin) * hop)


def tiles_of(grid: tuple[int, ...], *, tile: int, context: int) -> Iterator[tuple[Span, ...]]:
    """Divide the grid into tiles of at most `tile` cells along each axis, in row-major order."""
    return product(*(_spans(cells, max(1, tile), context) for cells in grid))


def _spans(cells: int, tile: int, context: int) -> list[Span]:
    # All tiles have about the same size, and all windows the same size (at the edges they are shifted inward). So all
    # windows run the same kernels, and no tile is so small that its window is mostly context.
    tile = ceil(cells / ceil(cells / tile))
    window = min(cells, tile + 2 * context)
    firsts = {start: max(0, min(start - context, cells - window)) for start in range(0, cells, tile)}
    return [Span(start, min(start + tile, cells), first, first + window) for start, first in firsts.items()]


def _check_convolutional(tokenizer: Tokenizer) -> None:
    frontend, head, likelihood = tokenizer.frontend, tokenizer.head, tokenizer.likelihood
    are_spectral = max(frontend.reach, head.reach) > 0 or max(frontend.hop, head.hop, likelihood.hop) > 1
    # Windows start at whole cells.
    follows = likelihood.phases_are_synthesised or likelihood.reach == inf
    if are_spectral or follows or tokenizer.hop % likelihood.period:
        raise UnsupportedError(
            "This tokenizer has a spectral frontend or head, or an autoregressive likelihood, so it cannot work on "
            "tiles; stream the recording, or code it whole."
        )
