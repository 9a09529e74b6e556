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
    """Blocks of codes (n, *Q, K), where there are any `inside` (n, *Q), and so for values (n, C, *S) if lossless."""

    codes: Tensor
    inside: Tensor
    values: Tensor | None = None
    present: Tensor | None = None


@dataclass(frozen=True)
class BatchCoder:
    """`symbols` for the codes, `values` for the signal where it is to be lossless; `share` blocks to a segment."""

    symbols: SymbolCoder
    values: ValueCoder | None
    share: int

    def write(self, batch: Batch) -> list[Segment]:
        """Each segment says the codes of its blocks, and then their values."""
        writers = [Writer() for _ in range(0, len(batch.inside), self.share)]
        self.symbols.write(writers, batch.codes, batch.inside, share=self.share)
        if self.values is not None:
            assert batch.values is not None
            assert batch.present is not None
            self.values.write(writers, batch.codes, batch.values, batch.present, share=self.share)
        meanings = self._meanings(batch)
        return [Segment(writer.content(), m) for writer, m in zip(writers, meanings, strict=True)]

    def read(
        self, segments: Sequence[Segment | None], inside: Tensor, present: Tensor | None = None
    ) -> tuple[Batch, list[bool]]:
        """What the segments say, None for one that is lost; and for each block whether it came back as it was."""
        shares = torch.arange(len(inside)) // self.share
        arrived = torch.tensor([s is not None for s in segments])[shares]
        # What is lost is not there: nothing is asked of its reader.
        inside = inside & _beside(arrived, inside)
        present = None if present is None else present & _beside(arrived, present)
        if not arrived.any():
            return self._nothing(inside, present), [False] * len(inside)
        readers = [Reader(b"" if s is None else s.payload) for s in segments]
        try:
            codes = self.symbols.read(readers, inside, share=self.share)
            values = None
            if self.values is not None and present is not None:
                values = self.values.read(readers, codes, present, share=self.share)
        except DataError:
            # One reader lost its way, and with it the walk of all.
            return self._nothing(inside, present), [False] * len(inside)
        batch = Batch(codes, inside, values, present)
        meanings = self._meanings(batch)
        right = [s is not None and s.content_crc == m for s, m in zip(segments, meanings, strict=True)]
        return batch, [right[share] for share in shares.tolist()]

    def _meanings(self, batch: Batch) -> list[int]:
        """The CRC-32 of what each segment says."""
        meanings = []
        for start in range(0, len(batch.inside), self.share):
            blocks = slice(start, start + self.share)
            meaning = zlib.crc32(batch.codes[blocks][batch.inside[blocks]].int().numpy().tobytes())
            if batch.values is not None and batch.present is not None:
                values = batch.values[blocks].movedim(1, -1)[batch.present[blocks]]
                meaning = zlib.crc32(values.int().numpy().tobytes(), meaning)
            meanings.append(meaning)
        return meanings

    def _nothing(self, inside: Tensor, present: Tensor | None) -> Batch:
        codes = torch.zeros(*inside.shape, self.symbols.codes, dtype=torch.int64)
        if self.values is None or present is None:
            return Batch(codes, inside)
        channels = self.values.tokenizer.config.channels
        values = torch.zeros(len(inside), channels, *present.shape[1:], dtype=torch.int64)
        return Batch(codes, inside, values, present)


def _beside(flags: Tensor, like: Tensor) -> Tensor:
    """(n,) to (n, 1, ...)."""
    return flags.view(-1, *[1] * (like.ndim - 1))
