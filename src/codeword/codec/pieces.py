"""Signals cut into blocks, and blocks gathered into batches, a bounded number of them in memory."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.codec.blocks import Blocks
from codeword.coding.stream import encode_stream
from codeword.coding.tiles import encode_tiles
from codeword.errors import UnsupportedError
from codeword.tokenizer import Tokenizer

Piece = tuple[Tensor, ...]
"""Tensors whose first axis counts the same blocks."""


@dataclass(frozen=True)
class Signal:
    """What is compressed: `read` gives it anew each time, along its only axis in blocks (C, n), or whole (C, H, W).

    `size` is *S; `grey` says that all channels are alike, and one of them is to come back.
    """

    name: str
    size: tuple[int, ...]
    read: Callable[[], Iterable[Tensor]]
    grey: bool = False


def code_blocks(tokenizer: Tokenizer, signal: Signal, block: tuple[int, ...], *, codes: int) -> Iterator[Piece]:
    """The first `codes` codes of every cell as blocks (n, *Q, K), and which cells there are (n, *Q).

    Beyond the signal's edges codes are 0.
    """
    pieces: Iterable[Piece]
    if len(block) == 2:
        (x,) = signal.read()
        grid = encode_tiles(tokenizer, x)
        blocks = Blocks(tuple(grid.shape[:-1]), block)
        pieces = [(blocks.cut(grid), blocks.inside())]
    else:
        pieces = _row_blocks(_stream(tokenizer, signal), block)
    for found, inside in pieces:
        yield found[..., :codes] * inside[..., None], inside


def value_blocks(
    tokenizer: Tokenizer, signal: Signal, block: tuple[int, ...], *, codes: int, lanes: int
) -> Iterator[Piece]:
    """As `code_blocks`, of blocks that are each encoded alone; and their values (n, C, *S), and where there are any.

    Values of a block beyond the signal repeat its edge for the encoder, and are 0 afterwards.
    """
    hop = tokenizer.hop
    size = tuple(n * hop for n in block)
    if len(block) == 2:
        (x,) = signal.read()
        blocks = Blocks(tuple(x.shape[1:]), size)
        pieces: Iterable[Piece] = [(blocks.cut(x.movedim(0, -1)), blocks.inside())]
    else:
        pieces = _row_blocks((x.T for x in signal.read()), size)
    for values, present in gathered(pieces, lanes):
        whole = values.movedim(-1, 1).long()
        # A cell is there where its first value is.
        inside = present[(slice(None), *(slice(None, None, hop) for _ in block))]
        found = tokenizer.encode(whole)[..., :codes]
        yield found * inside[..., None], inside, whole * present.unsqueeze(1), present


def places(layouts: Iterable[tuple[Blocks, ...]], lanes: int) -> Iterator[Piece]:
    """For all blocks of several signals, `lanes` at a time: which places there are, in each layout of the signal."""

    def signal_by_signal() -> Iterator[Piece]:
        for layout in layouts:
            count = len(layout[0])
            for start in range(0, count, lanes):
                yield tuple(blocks.inside(start, min(start + lanes, count)) for blocks in layout)

    return gathered(signal_by_signal(), lanes)


def gathered(pieces: Iterable[Piece], count: int) -> Iterator[Piece]:
    """The same blocks, `count` at a time; the last time fewer."""
    held: list[Piece] = []
    have = 0
    for piece in pieces:
        held.append(piece)
        have += len(piece[0])
        if have < count:
            continue
        joined = tuple(torch.cat(parts) for parts in zip(*held, strict=True))
        whole = have - have % count
        for start in range(0, whole, count):
            yield tuple(part[start : start + count] for part in joined)
        held, have = [tuple(part[whole:] for part in joined)], have - whole
    if have:
        yield tuple(torch.cat(parts) for parts in zip(*held, strict=True))


def _row_blocks(rows: Iterable[Tensor], block: tuple[int, ...]) -> Iterator[Piece]:
    """Rows (n, X) along one axis to blocks (m, q, X), with which of them there are."""
    for (row,) in gathered(((r,) for r in rows), block[0]):
        blocks = Blocks((len(row),), block)
        yield blocks.cut(row), blocks.inside()


def _stream(tokenizer: Tokenizer, signal: Signal) -> Iterable[Tensor]:
    """Codes (g, K) of a recording, window by window, or whole where the tokenizer must see all of it."""
    try:
        return encode_stream(tokenizer, signal.read())
    except UnsupportedError:
        return [tokenizer.encode(torch.cat(list(signal.read()), 1)[None])[0]]
