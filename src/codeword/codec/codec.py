"""Signals to bytes and back: the codes of a model, range-coded under its prior, in segments of many blocks."""

import io
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import BinaryIO, NamedTuple, cast

import torch
from torch import Tensor

from codeword.codec.coders import Reader, SymbolCoder, ValueCoder, Writer, choose_coder, coder_of
from codeword.codec.format import (
    FINGERPRINT_BYTES,
    Coder,
    Container,
    Entry,
    Header,
    Segment,
    write_header,
    write_segment,
)
from codeword.codec.layout import (
    Block,
    Blocks,
    Layout,
    Signal,
    block_size,
    code_blocks,
    masks,
    regrouped,
    restore_signal,
    value_blocks,
)
from codeword.errors import DataError, ModelError, UnsupportedError, UsageError
from codeword.model import Model

Progress = Callable[[int, int], None]

_SPOOLED_BYTES = 1 << 26


@dataclass(frozen=True)
class CompressOptions:
    """Options of compression.

    `portable`: only tables that every machine computes alike, never the prior's network. `lossless`: also the signal
    itself, given its codes. `codes`: only the first so many codes of each cell. `label`: the class that conditions
    prior and decoder.
    """

    portable: bool = False
    lossless: bool = False
    codes: int | None = None
    label: int | None = None


DEFAULTS = CompressOptions()


class Written(NamedTuple):
    """Size of a written file: all bytes, and those of header and segment heads among them; and the coder used."""

    bytes: int
    overhead_bytes: int
    coder: Coder


class UnreadableSignal(DataError):
    """A signal could not be read while a file was written; `number` is its place among the signals."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


@dataclass(frozen=True)
class DecodedSignal:
    """One signal of a file: `blocks` gives it in consecutive blocks (C, n), or in one block (C, *S).

    The blocks must be taken before the next signal is; `damaged` meanwhile fills with the numbers of lost blocks, of
    `block_size` values along each axis.
    """

    entry: Entry
    blocks: Iterator[Tensor]
    damaged: list[int]
    block_size: tuple[int, ...]


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


class Codec:
    """Compressed files under one model. A file decodes to `decode(encode(x))`, a lossless one to x itself.

    Example:
        >>> from codeword.pretrained import load_pretrained
        >>> codec = Codec(load_pretrained("images"))
        >>> image = torch.zeros(3, 60, 50, dtype=torch.uint8)
        >>> codec.decompress(codec.compress(image)).shape
        torch.Size([3, 60, 50])
    """

    def __init__(self, model: Model) -> None:
        self.model, self.tokenizer = model, model.tokenizer
        self.fingerprint = bytes.fromhex(model.fingerprint)[:FINGERPRINT_BYTES]

    def compress(self, x: Tensor, options: CompressOptions = DEFAULTS) -> bytes:
        """One signal (C, *S), integers in [0, values), as the bytes of a file. Raises UsageError, UnsupportedError."""
        out = io.BytesIO()
        self.write(out, [Signal("", tuple(x.shape[1:]), lambda: [x])], options)
        return out.getvalue()

    def decompress(self, content: bytes) -> Tensor:
        """The one signal (C, *S) int64 of `compress`. Raises DataError, ModelError."""
        found = next(self.read(Container(content, "the file")))
        return torch.cat(list(found.blocks), -1).long()

    def write(
        self,
        out: BinaryIO,
        signals: Sequence[Signal],
        options: CompressOptions = DEFAULTS,
        *,
        progress: Progress = lambda done, total: None,
    ) -> Written:
        """Write signals, each read once, as one file; `progress` is called with blocks done and blocks in all.

        Raises:
            UsageError: there is no signal, or no such class.
            UnsupportedError: the model has no such rate, or cannot code losslessly.
            UnreadableSignal: a signal cannot be read; then nothing was written to `out`.
        """
        codes = self._codes(options)
        if not self._knows(options.label):
            raise UsageError(
                f"This model knows {self._classes()} classes, and not number {options.label}; leave the label out, or "
                f"give one below that."
            )
        total = sum(len(self._blocks(s.size, lossless=options.lossless)[0]) for s in signals)
        if not total:
            raise UsageError("There is nothing to compress; give a signal of at least one value.")
        layout = Layout.of(self.model, blocks=total, lossless=options.lossless)
        grey = [self.tokenizer.config.channels > 1] * len(signals)
        batches = self._batches(signals, layout, lossless=options.lossless, codes=codes, grey=grey)
        first = next(batches)
        kind, symbols, tables = choose_coder(
            self.model,
            first.codes,
            first.mask,
            share_of_all=len(first.mask) / total,
            batch_size=layout.batch_size,
            label=options.label,
            portable=options.portable,
        )
        coder = self._segment_coder(symbols, layout, lossless=options.lossless, label=options.label)
        # The header comes first and says which signals were grey, which is known when all have been read.
        with cast(BinaryIO, tempfile.SpooledTemporaryFile(_SPOOLED_BYTES)) as body:
            size = overhead = done = number = 0
            for batch in chain([first], batches):
                for segment in coder.write(batch):
                    written = write_segment(body, number, segment)
                    size, overhead, number = size + written, overhead + written - len(segment.payload), number + 1
                done += len(batch.mask)
                progress(done, total)
            header = Header(
                fingerprint=self.fingerprint,
                coder=kind,
                lossless=options.lossless,
                codes=codes,
                label=options.label,
                sample_rate=self.tokenizer.config.sample_rate,
                entries=tuple(Entry(s.name, s.size, alike) for s, alike in zip(signals, grey, strict=True)),
                tables=tables,
            )
            head = write_header(out, header)
            body.seek(0)
            shutil.copyfileobj(body, out)
        return Written(head + size, head + overhead, kind)

    def read(
        self, container: Container, *, salvage: bool = False, progress: Progress = lambda done, total: None
    ) -> Iterator[DecodedSignal]:
        """The signals of a file, in order; `progress` is called with blocks done and blocks in all.

        With `salvage`, damaged blocks become silence (or grey) and are listed; without, they are errors.

        Raises:
            ModelError: the file was made with another model, or on a machine whose numbers differ from this one's.
            DataError: the file is damaged, or claims too much.
        """
        header = container.header
        self._must_fit(container)

        def layouts() -> Iterator[tuple[Blocks, ...]]:
            # A new iterator for each use: there may be a million signals.
            return (self._blocks(entry.size, lossless=header.lossless) for entry in header.entries)

        total = sum(len(blocks[0]) for blocks in layouts())
        layout = Layout.of(self.model, blocks=total, lossless=header.lossless)
        segments = container.segments(-(-total // layout.blocks_per_segment), salvage=salvage)
        symbols = coder_of(self.model, header, container.place, batch_size=layout.batch_size)
        coder = self._segment_coder(symbols, layout, lossless=header.lossless, label=header.label)

        def decoded() -> Iterator[Block]:
            done = 0
            for found in masks(layouts(), layout.batch_size):
                count = len(found[0])
                batch, intact = coder.read(list(islice(segments, -(-count // layout.blocks_per_segment))), *found)
                if not (salvage or all(intact)):
                    raise ModelError(
                        f"{container.place} was written where the network's numbers differ from this machine's in "
                        f"their last bits, so it cannot be read here; decompress it there, or compress it again as a "
                        f"portable file."
                    )
                done += count
                progress(done, total)
                for i in range(count):
                    yield Block(batch.codes[i], None if batch.values is None else batch.values[i], intact[i])

        blocks = decoded()
        values_per_block = tuple(n * self.tokenizer.hop for n in layout.block)
        for entry, cells in zip(header.entries, (blocks[0] for blocks in layouts()), strict=True):
            own, damaged = islice(blocks, len(cells)), list[int]()
            signal = restore_signal(self.tokenizer, own, cells, size=entry.size, label=header.label, damaged=damaged)
            yield DecodedSignal(entry, signal, damaged, values_per_block)
            for _ in own:  # Blocks that the caller did not take come before those of the next signal.
                pass

    def _codes(self, options: CompressOptions) -> int:
        all_codes = len(self.tokenizer.quantizer.codebook_sizes)
        codes = all_codes if options.codes is None else options.codes
        if not self._serves(codes):
            raise UnsupportedError(
                f"This model has {all_codes} codes a cell, of which a file cannot keep {codes}; keep all of them, or "
                f"use a model that serves several rates."
            )
        return codes

    def _serves(self, codes: int) -> bool:
        """True if the first so many codes of a cell decode."""
        all_codes = len(self.tokenizer.quantizer.codebook_sizes)
        return codes == all_codes or (1 <= codes < all_codes and len(self.tokenizer.quantizer.served_codes) > 1)

    def _classes(self) -> int:
        """Number of classes that both parts know, where each knows any."""
        return min((n for n in (self.tokenizer.classes, self.model.prior.classes) if n), default=0)

    def _knows(self, label: int | None) -> bool:
        return label is None or 0 <= label < self._classes()

    def _blocks(self, size: tuple[int, ...], *, lossless: bool) -> tuple[Blocks, ...]:
        """The blocks of a signal's cells, and in a lossless file those of its values."""
        block = block_size(self.model, lossless=lossless)
        cells = Blocks(self.tokenizer.grid(size), block)
        values = Blocks(size, tuple(n * self.tokenizer.hop for n in block))
        return (cells, values) if lossless else (cells,)

    def _batches(
        self, signals: Sequence[Signal], layout: Layout, *, lossless: bool, codes: int, grey: list[bool]
    ) -> Iterator[Batch]:
        """All blocks of the signals, a batch at a time; `grey` becomes False where channels differ."""
        cut = partial(value_blocks, batch_size=layout.batch_size) if lossless else code_blocks
        checked = (replace(s, read=partial(_checked, s, number, grey)) for number, s in enumerate(signals))
        pieces = (piece for s in checked for piece in cut(self.tokenizer, s, layout.block, codes=codes))
        for piece in regrouped(pieces, layout.batch_size):
            yield Batch(*piece)

    def _segment_coder(
        self, symbols: SymbolCoder, layout: Layout, *, lossless: bool, label: int | None
    ) -> SegmentCoder:
        values = ValueCoder(self.tokenizer, batch_size=layout.batch_size, label=label) if lossless else None
        return SegmentCoder(symbols, values, layout.blocks_per_segment)

    def _must_fit(self, container: Container) -> None:
        header, place, config = container.header, container.place, self.tokenizer.config
        if not self.model.is_named_by(header.fingerprint.hex()):
            raise ModelError(
                f"{place} was made with the model {header.fingerprint.hex()}, and this one is "
                f"{self.fingerprint.hex()}; give the model that it was made with."
            )
        if any(len(entry.size) != config.ndim for entry in header.entries):
            raise DataError(f"{place} holds signals of another rank than its model's; Codeword did not write it.")
        if not (self._serves(header.codes) and self._knows(header.label)):
            raise DataError(f"{place} names codes or a class that its model does not have; Codeword did not write it.")


def _checked(signal: Signal, number: int, grey: list[bool]) -> Iterator[Tensor]:
    """The blocks of a signal, which must have its size. Raises UnreadableSignal."""
    length = 0
    try:
        for x in signal.read():
            length += x.shape[-1]
            if tuple(x.shape[1:-1]) != signal.size[:-1] or length > signal.size[-1]:
                length = -1
                break
            grey[number] = grey[number] and bool((x == x[:1]).all())
            yield x
    except DataError as error:
        raise UnreadableSignal(str(error), number) from error
    if length != signal.size[-1]:
        raise UnreadableSignal(f"{signal.name} changed its size while it was read; compress it again.", number)
