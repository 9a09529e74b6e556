"""Batches of blocks to the payloads of segments and back."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from codeword.codec.format import Segment
from codeword.codec.range_coder import Reader, Writer
from codeword.codec.symbol_coders import SymbolCoder
from codeword.codec.value_coder import ValueCoder
from codeword.errors import DataError


class Batch(NamedTuple):
    """Codes of blocks (n, *Q, K) with a mask (n, *Q) of cells on the grid; in a lossless file also values (n, C, *S)
    with a mask (n, *S).
    """

    codes: Tensor
    mask: Tensor
    values: Tensor | None = None
    value_mask: Tensor | None = None


@dataclass(frozen=True)
class SegmentCoder:
    """`symbols` codes the codes of blocks, `values` the signal of a lossless file, into segments of so many blocks."""

    symbols: SymbolCoder
    values: ValueCoder | None
    blocks_per_segment: int

    def write(self, batch: Batch) -> list[Segment]:
        """Segments that hold first the codes of their blocks and then their values."""
        per = self.blocks_per_segment
        writers = [Writer() for _ in range(0, len(batch.mask), per)]
        self.symbols.write(writers, batch.codes, batch.mask, blocks_per_segment=per)
        if self.values is not None:
            assert batch.values is not None
            assert batch.value_mask is not None
            self.values.write(writers, batch.codes, batch.values, batch.value_mask, blocks_per_segment=per)
        return [Segment(w.content(), crc) for w, crc in zip(writers, self._crcs(batch), strict=True)]

    def read(
        self, segments: Sequence[Segment | None], mask: Tensor, value_mask: Tensor | None = None
    ) -> tuple[Batch, list[bool]]:
        """The batch in these segments, None for a lost one; and for each block, True if it is what was written."""
        numbers = torch.arange(len(mask)) // self.blocks_per_segment
        arrived = torch.tensor([s is not None for s in segments])[numbers]
        # The mask of a lost block is empty, so nothing is asked of its reader.
        mask = mask & _unsqueezed(arrived, mask)
        value_mask = None if value_mask is None else value_mask & _unsqueezed(arrived, value_mask)
        if not arrived.any():
            return self._zeros(mask, value_mask), [False] * len(mask)
        readers = [Reader(b"" if s is None else s.payload) for s in segments]
        per = self.blocks_per_segment
        try:
            codes = self.symbols.read(readers, mask, blocks_per_segment=per)
            values = None
            if self.values is not None and value_mask is not None:
                values = self.values.read(readers, codes, value_mask, blocks_per_segment=per)
        except DataError:
            # One corrupt segment breaks the shared decoding loop, so the whole batch is lost.
            return self._zeros(mask, value_mask), [False] * len(mask)
        batch = Batch(codes, mask, values, value_mask)
        intact = [s is not None and s.content_crc == crc for s, crc in zip(segments, self._crcs(batch), strict=True)]
        return batch, [intact[number] for number in numbers.tolist()]

    def _crcs(self, batch: Batch) -> list[int]:
        """CRC-32 of the codes, and in a lossless file of the values, of each segment."""
        crcs = []
        for start in range(0, len(batch.mask), self.blocks_per_segment):
            blocks = slice(start, start + self.blocks_per_segment)
            crc = zlib.crc32(batch.codes[blocks][batch.mask[blocks]].int().numpy().tobytes())
            if batch.values is not None and batch.value_mask is not None:
                values = batch.values[blocks].movedim(1, -1)[batch.value_mask[blocks]]
                crc = zlib.crc32(values.int().numpy().tobytes(), crc)
            crcs.append(crc)
        return crcs

    def _zeros(self, mask: Tensor, value_mask: Tensor | None) -> Batch:
        codes = torch.zeros(*mask.shape, self.symbols.codes, dtype=torch.int64)
        if self.values is None or value_mask is None:
            return Batch(codes, mask)
        channels = self.values.tokenizer.config.channels
        values = torch.zeros(len(mask), channels, *value_mask.shape[1:], dtype=torch.int64)
        return Batch(codes, mask, values, value_mask)


def _unsqueezed(flags: Tensor, like: Tensor) -> Tensor:
    """(n,) to (n, 1, ...)."""
    return flags.view(-1, *[1] * (like.ndim - 1))
