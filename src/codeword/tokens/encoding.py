"""Encoding of items: consecutive small signals of equal size in one batch, large signals one by one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from codeword.codec import PLAIN, Search, search_blocks, search_codes
from codeword.data.items import Item
from codeword.errors import DataError
from codeword.media import medium_of
from codeword.store import escape_name
from codeword.store.names import MAX_TEXT
from codeword.store.shards import Skipped, TokenRow
from codeword.tokenizer import Tokenizer

BATCH_POSITIONS = 1 << 18
"""Largest number of pixels or samples in a batch, for example 256 images of 32 x 32."""


@dataclass(frozen=True)
class _Signal:
    """A signal of `size` *S: the integers `x` (C, *S) of a small one, the codes (*G, K) of a large one."""

    item: Item
    label: str | None
    size: tuple[int, ...]
    x: Tensor | None = None
    codes: Tensor | None = None


def encode_items(
    tokenizer: Tokenizer, items: Sequence[Item], skipped: list[Skipped], search: Search = PLAIN
) -> Iterator[TokenRow]:
    """Encode items by a `search` to rows, in the order of the items; unreadable items are appended to `skipped`.

    The division into batches depends only on the items, so a second run on the same machine gives the same codes.
    """
    for batch in _batches(_signals(tokenizer, items, skipped, search)):
        small = [signal.x for signal in batch if signal.x is not None]
        batch_codes = (
            search_codes(tokenizer, torch.stack(small), search) if small else [signal.codes for signal in batch]
        )
        for signal, codes in zip(batch, batch_codes, strict=True):
            assert codes is not None
            yield TokenRow(signal.item.id, codes, signal.size, signal.label, signal.item.source)


def _signals(tokenizer: Tokenizer, items: Iterable[Item], skipped: list[Skipped], search: Search) -> Iterator[_Signal]:
    for item in items:
        try:
            signal = _read(tokenizer, item, search)
        except DataError as error:
            skipped.append(Skipped(id=item.id, reason=escape_name(str(error))))
        else:
            yield signal


def _read(tokenizer: Tokenizer, item: Item, search: Search) -> _Signal:
    """Read a small signal, or read and encode a large one. Raises DataError."""
    medium, config = medium_of(tokenizer.config), tokenizer.config
    with item.open() as content:
        if len(content.label or "") > MAX_TEXT:
            raise DataError(f"{item.source} has a label of more than {MAX_TEXT:,} characters; make it shorter.")
        label = None if content.label is None else escape_name(content.label)
        blocks = medium.read(content.data, config) if isinstance(content.data, Path) else iter([content.data])
        first_blocks, positions = list[Tensor](), 0
        for block in blocks:
            first_blocks.append(block)
            positions += prod(block.shape[1:])
            if 2 * positions > BATCH_POSITIONS:
                break
        else:
            x = torch.cat(first_blocks, 1)
            return _Signal(item, label, tuple(x.shape[1:]), x=x)
        lengths = list[int]()

        def all_blocks() -> Iterator[Tensor]:
            for block in chain(first_blocks, blocks):
                lengths.append(block.shape[1])
                yield block

        codes = torch.cat(list(search_blocks(tokenizer, all_blocks(), search)))
        return _Signal(item, label, (sum(lengths), *first_blocks[0].shape[2:]), codes=codes)


def _batches(signals: Iterable[_Signal]) -> Iterator[list[_Signal]]:
    """Consecutive signals of equal size, together at most `BATCH_POSITIONS`; a large signal is a batch of its own."""
    batch: list[_Signal] = []
    for signal in signals:
        if batch and (batch[0].size != signal.size or (len(batch) + 1) * prod(signal.size) > BATCH_POSITIONS):
            yield batch
            batch = []
        batch.append(signal)
    if batch:
        yield batch
