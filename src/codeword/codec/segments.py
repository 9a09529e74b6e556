"""Segments: the coded blocks of a file that are written, read and lost together.

Shapes: a block has *Q cells of K codes; a signal has C channels and the axes *S; n counts blocks.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from codeword.codec.coders import Reader, SymbolCoder, ValueCoder, Writer
from codeword.codec.container import Segments
from codeword.codec.format import Segment
from codeword.codec.layout import Block, FileBlocks, Layout
from codeword.errors import DataError

MAX_FILL = 64
"""Most lost segments of a signal, for each intact one, that salvage fills with silence or grey. This bounds the output
of a file by its bytes."""


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
    """Coders of the codes and, in a lossless file, of the values, with the number of blocks in each segment."""

    symbol_coder: SymbolCoder
    value_coder: ValueCoder | None
    blocks_per_segment: int

    def write(self, batch: Batch) -> list[Segment]:
        """Encode a batch to segments, each with the codes of its blocks followed by their values."""
        writers = [(blocks, Writer()) for blocks in self._slices(len(batch.mask))]
        self.symbol_coder.write(writers, batch.codes, batch.mask)
        if self.value_coder is not None:
            assert batch.values is not None
            assert batch.value_mask is not None
            self.value_coder.write(writers, batch.codes, batch.values, batch.value_mask)
        return [Segment(writer.content(), crc) for (_, writer), crc in zip(writers, self._crcs(batch), strict=True)]

    def read(
        self, segments: Sequence[Segment | None], mask: Tensor, value_mask: Tensor | None = None
    ) -> list[Block | None]:
        """Decode segments to n blocks. A block is None if its segment is None or decodes to other content."""
        segment_numbers = torch.arange(len(mask)) // self.blocks_per_segment
        present = torch.tensor([s is not None for s in segments])[segment_numbers]
        # The mask of a lost block is empty, so no symbols are read for it.
        mask = mask & _expand(present, mask.ndim)
        value_mask = None if value_mask is None else value_mask & _expand(present, value_mask.ndim)
        slices = self._slices(len(mask))
        readers = [(blocks, Reader(s.payload if s else b"")) for blocks, s in zip(slices, segments, strict=True)]
        try:
            codes = self.symbol_coder.read(readers, mask)
            values = None
            if self.value_coder is not None and value_mask is not None:
                values = self.value_coder.read(readers, codes, value_mask)
        except DataError:
            # One corrupt segment breaks the shared decoding loop, so the whole batch is lost.
            return [None] * len(mask)
        crcs = self._crcs(Batch(codes, mask, values, value_mask))
        intact = [s is not None and s.content_crc == crc for s, crc in zip(segments, crcs, strict=True)]
        return [
            Block(codes[i], None if values is None else values[i]) if intact[number] else None
            for i, number in enumerate(segment_numbers.tolist())
        ]

    def _slices(self, count: int) -> list[slice]:
        """The blocks of each segment, out of `count` blocks."""
        per = self.blocks_per_segment
        return [slice(start, min(start + per, count)) for start in range(0, count, per)]

    def _crcs(self, batch: Batch) -> list[int]:
        """CRC-32 of the codes, and in a lossless file of the values, of each segment."""
        crcs = []
        for blocks in self._slices(len(batch.mask)):
            crc = zlib.crc32(batch.codes[blocks][batch.mask[blocks]].int().numpy().tobytes())
            if batch.values is not None and batch.value_mask is not None:
                values = batch.values[blocks].movedim(1, -1)[batch.value_mask[blocks]]
                crc = zlib.crc32(values.int().numpy().tobytes(), crc)
            crcs.append(crc)
        return crcs


@dataclass(frozen=True)
class Damage:
    """The numbers of the lost blocks of a signal, the number of the segments that hold the signal, and how many of
    these are lost. It is `fatal` if too little is intact to salvage the signal.
    """

    blocks: list[int]
    segments: int
    lost_segments: int
    fatal: bool = False

    def __str__(self) -> str:
        return f"{self.lost_segments:,} of {self.segments:,} segments"


def _expand(flags: Tensor, ndim: int) -> Tensor:
    """(n,) to (n, 1, ...) with `ndim` axes."""
    return flags.view(-1, *[1] * (ndim - 1))


class BlockReader:
    """The blocks of a file by number. Nothing is decoded for a lost segment."""

    def __init__(self, blocks: FileBlocks, layout: Layout, segments: Segments, coder: SegmentCoder) -> None:
        self._blocks, self._layout, self._segments, self._coder = blocks, layout, segments, coder
        self._batch_number, self._batch = -1, list[Block | None]()

    def get(self, number: int) -> Block | None:
        """Block `number`, or None if its segment is lost. The blocks of the last batch are kept."""
        size, per = self._layout.batch_size, self._layout.blocks_per_segment
        if not self._segments.count(number // per, number // per + 1):
            return None
        if number // size != self._batch_number:
            self._batch_number = number // size
            start, stop = self._batch_number * size, min((self._batch_number + 1) * size, self._blocks.total)
            segments = [self._segments.get(i) for i in range(start // per, -(-stop // per))]
            self._batch = self._coder.read(segments, *self._blocks.masks(start, stop))
        return self._batch[number % size]

    def damage(self, span: range, *, salvage: bool) -> Damage:
        """The damage to the blocks `span` of a signal. Only `salvage` decodes all of them to find it."""
        per = self._layout.blocks_per_segment
        first, last = span.start // per, (span.stop - 1) // per + 1
        intact = self._segments.count(first, last)
        if last - first > (1 + MAX_FILL) * intact:
            return Damage([], last - first, last - first - intact, fatal=True)
        lost = [number for number in span if self.get(number) is None] if salvage else []
        lost_segments = len({number // per for number in lost})
        return Damage([n - span.start for n in lost], last - first, lost_segments, fatal=len(lost) == len(span))
