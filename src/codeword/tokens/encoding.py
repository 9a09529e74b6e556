"""Items to codes: neighbouring small signals of one size as a batch, others one by one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from codeword.coding import encode_signal
from codeword.errors import DataError
from codeword.media import medium_of
from codeword.tokenizer import Tokenizer
from codeword.tokens.inputs import Item, as_text
from codeword.tokens.shards import MAX_TEXT, Skipped, TokenRow

BATCH_POSITIONS = 1 << 18
"""Pixels or samples in a batch at most, for example 256 images of 32 x 32."""


@dataclass(frozen=True)
class _Signal:
    """A signal of `size` *S that has been read: the integers `x` (C, *S) if it is small, else its codes (*G, K)."""

    item: Item
    label: str | None
    size: tuple[int, ...]
    x: Tensor | None = None
    codes: Tensor | None = None


def encode_items(tokenizer: Tokenizer, items: Sequence[Item], skipped: list[Skipped]) -> Iterator[TokenRow]:
    """A row for each readable item, in their order; the other items are appended to `skipped`.

    The batches depend on the items alone, so that the same items give the same codes again on the same machine.
    """
    for batch in _batches(_signals(tokenizer, items, skipped)):
        small = [signal.x for signal in batch if signal.x is not None]
        codes = tokenizer.encode(torch.stack(small)) if small else [signal.codes for signal in batch]
        for signal, found in zip(batch, codes, strict=True):
            assert found is not None
            yield TokenRow(signal.item.id, found, signal.size, signal.label, signal.item.source)


def _signals(tokenizer: Tokenizer, items: Iterable[Item], skipped: list[Skipped]) -> Iterator[_Signal]:
    for item in items:
        try:
            signal = _read(tokenizer, item)
        except DataError as error:
            skipped.append(Skipped(id=item.id, reason=as_text(str(error))))
        else:
            yield signal


def _read(tokenizer: Tokenizer, item: Item) -> _Signal:
    """Raises DataError."""
    medium, config = medium_of(tokenizer.config), tokenizer.config
    with item.open() as content:
        if len(content.label or "") > MAX_TEXT:
            raise DataError(f"{item.source} has a label of more than {MAX_TEXT:,} characters; make it shorter.")
        label = None if content.label is None else as_text(content.label)
        blocks = medium.read(content.data, config) if isinstance(content.data, Path) else iter([content.data])
        held, positions = list[Tensor](), 0
        for block in blocks:
            held.append(block)
            positions += prod(block.shape[1:])
            if 2 * positions > BATCH_POSITIONS:
                break
        else:
            x = torch.cat(held, -1)
            return _Signal(item, label, tuple(x.shape[1:]), x=x)
        lengths = list[int]()

        def counted() -> Iterator[Tensor]:
            for block in chain(held, blocks):
                lengths.append(block.shape[-1])
                yield block

        codes = encode_signal(tokenizer, counted())
        return _Signal(item, label, (*held[0].shape[1:-1], sum(lengths)), codes=codes)


def _batches(signals: Iterable[_Signal]) -> Iterator[list[_Signal]]:
    """Neighbours of one size, with at most `BATCH_POSITIONS` together; a large signal is always alone."""
    batch: list[_Signal] = []
    for signal in signals:
        if batch and (batch[0].size != signal.size or (len(batch) + 1) * prod(signal.size) > BATCH_POSITIONS):
            yield batch
            batch = []
        batch.append(signal)
    if batch:
        yield batch
