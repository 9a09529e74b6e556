"""Compression of signals: the codes of a model, range-coded under its prior, in segments of one or more blocks.

Shapes: a block has *Q cells of K codes; a signal has C channels and the axes *S; n counts blocks.
"""

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

from codeword.codec.coders import Reader, SymbolCoder, ValueCoder, Writer, build_coder, choose_coder
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
    restore_signal,
    value_blocks,
)
from codeword.coding import leading_codes
from codeword.errors import CodewordError, DataError, ModelError, UsageError
from codeword.media.base import regroup
from codeword.model import Model

Progress = Callable[[int, int], None]
"""Callback that receives the number of finished steps and the number of all steps."""

_SPOOLED_BYTES = 1 << 26


@dataclass(frozen=True)
class CompressOptions:
    """Options of compression.

    Attributes:
        portable: code with integer tables, which are equal on every machine, and not with the prior's network.
        lossless: store the signal itself after its codes.
        codes: the number of leading codes of each cell to store; None for all.
        label: the class that conditions the prior and the decoder.
    """

    portable: bool = False
    lossless: bool = False
    codes: int | None = None
    label: int | None = None


DEFAULTS = CompressOptions()


class Written(NamedTuple):
    """Size of a written file in bytes, the part of it for the header and the segment heads, and the chosen coder."""

    bytes: int
    overhead_bytes: int
    coder: Coder


class UnreadableSignal(DataError):
    """A signal could not be read while a file was written; `number` is its index in the list of signals."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


@dataclass(frozen=True)
class DecodedSignal:
    """One signal of a file: an iterator over consecutive blocks (C, n) of it, or over one block (C, *S).

    The caller has to exhaust `blocks` before it takes the next signal. During the iteration, the numbers of lost blocks
    are appended to `damaged`; each of these has `block_size` values along each axis.
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
    """Coders of the codes and, in a lossless file, of the values, with the number of blocks in each segment."""

    symbol_coder: SymbolCoder
    value_coder: ValueCoder | None
    blocks_per_segment: int

    def write(self, batch: Batch) -> list[Segment]:
        """Encode a batch to segments, each with the codes of its blocks followed by their values."""
        per = self.blocks_per_segment
        writers = [Writer() for _ in range(0, len(batch.mask), per)]
        self.symbol_coder.write(writers, batch.codes, batch.mask, blocks_per_segment=per)
        if self.value_coder is not None:
            assert batch.values is not None
            assert batch.value_mask is not None
            self.value_coder.write(writers, batch.codes, batch.values, batch.value_mask, blocks_per_segment=per)
        return [Segment(w.content(), crc) for w, crc in zip(writers, self._crcs(batch), strict=True)]

    def read(
        self, segments: Sequence[Segment | None], mask: Tensor, value_mask: Tensor | None = None
    ) -> tuple[Batch, list[bool]]:
        """Decode segments (None for a lost one). Returns also a flag for each block: True if its segment is intact."""
        segment_numbers = torch.arange(len(mask)) // self.blocks_per_segment
        present = torch.tensor([s is not None for s in segments])[segment_numbers]
        # The mask of a lost block is empty, so no symbols are read for it.
        mask = mask & _expand(present, mask.ndim)
        value_mask = None if value_mask is None else value_mask & _expand(present, value_mask.ndim)
        if not present.any():
            return self._zeros(mask, value_mask), [False] * len(mask)
        readers = [Reader(b"" if s is None else s.payload) for s in segments]
        per = self.blocks_per_segment
        try:
            codes = self.symbol_coder.read(readers, mask, blocks_per_segment=per)
            values = None
            if self.value_coder is not None and value_mask is not None:
                values = self.value_coder.read(readers, codes, value_mask, blocks_per_segment=per)
        except DataError:
            # One corrupt segment breaks the shared decoding loop, so the whole batch is lost.
            return self._zeros(mask, value_mask), [False] * len(mask)
        batch = Batch(codes, mask, values, value_mask)
        intact = [s is not None and s.content_crc == crc for s, crc in zip(segments, self._crcs(batch), strict=True)]
        return batch, [intact[number] for number in segment_numbers.tolist()]

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
        codes = torch.zeros(*mask.shape, self.symbol_coder.codes, dtype=torch.int64)
        if self.value_coder is None or value_mask is None:
            return Batch(codes, mask)
        channels = self.value_coder.tokenizer.config.channels
        values = torch.zeros(len(mask), channels, *value_mask.shape[1:], dtype=torch.int64)
        return Batch(codes, mask, values, value_mask)


def _expand(flags: Tensor, ndim: int) -> Tensor:
    """(n,) to (n, 1, ...) with `ndim` axes."""
    return flags.view(-1, *[1] * (ndim - 1))


class Codec:
    """Writer and reader of compressed files for one model. A file decodes to `decode(encode(x))`, a lossless one to x.

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
        """Compress one signal (C, *S) of integers in [0, tokenizer.config.values) to the bytes of a file.

        Raises UsageError, UnsupportedError.
        """
        out = io.BytesIO()
        self.write(out, [Signal("", tuple(x.shape[1:]), lambda: [x])], options)
        return out.getvalue()

    def decompress(self, content: bytes) -> Tensor:
        """Decode the signal (C, *S) int64 of `compress`. Raises DataError, ModelError."""
        signal = next(self.read(Container(content, "the file")))
        return torch.cat(list(signal.blocks), -1).long()

    def write(
        self,
        out: BinaryIO,
        signals: Sequence[Signal],
        options: CompressOptions = DEFAULTS,
        *,
        progress: Progress = lambda done, total: None,
    ) -> Written:
        """Write signals, each read once, as one file; `progress` receives the numbers of finished and of all blocks.

        Raises:
            UsageError: there is no signal, or the model has no class `options.label` or fewer codes than
                `options.codes`.
            UnsupportedError: the model cannot decode `options.codes` leading codes, or cannot code losslessly.
            UnreadableSignal: a signal cannot be read; then nothing was written to `out`.
        """
        codes = leading_codes(self.tokenizer, options.codes)
        self._check_label(options.label)
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
        # The header is first in the file, but it marks grey signals, and these are known only after all are read.
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
                entries=tuple(Entry(s.name, s.size, is_grey) for s, is_grey in zip(signals, grey, strict=True)),
                tables=tables,
            )
            head = write_header(out, header)
            body.seek(0)
            shutil.copyfileobj(body, out)
        return Written(head + size, head + overhead, kind)

    def read(
        self, container: Container, *, salvage: bool = False, progress: Progress = lambda done, total: None
    ) -> Iterator[DecodedSignal]:
        """Decode the signals of a file, in order; `progress` receives the numbers of finished and of all blocks.

        With `salvage`, damaged blocks become silence (or grey) and are listed in the result; without it, they are
        errors.

        Raises:
            ModelError: the file was made with another model, or on a machine where the prior's network rounds
                differently.
            DataError: the file is damaged, or its header claims more than its bytes can hold.
        """
        header = container.header
        self._check_header(container)

        def divisions() -> Iterator[tuple[Blocks, ...]]:
            # A new iterator for each use, because a list of a million signals would need much memory.
            return (self._blocks(entry.size, lossless=header.lossless) for entry in header.entries)

        total = sum(len(blocks[0]) for blocks in divisions())
        layout = Layout.of(self.model, blocks=total, lossless=header.lossless)
        segments = container.segments(-(-total // layout.blocks_per_segment), salvage=salvage)
        symbols = build_coder(self.model, header, container.name, batch_size=layout.batch_size)
        coder = self._segment_coder(symbols, layout, lossless=header.lossless, label=header.label)

        def decode_blocks() -> Iterator[Block]:
            done = 0
            for mask, *value_mask in masks(divisions(), layout.batch_size):
                count = len(mask)
                batch_segments = list(islice(segments, -(-count // layout.blocks_per_segment)))
                batch, intact = coder.read(batch_segments, mask, *value_mask)
                if not (salvage or all(intact)):
                    raise ModelError(
                        f"{container.name} was written on a machine where the network's numbers differ from this "
                        f"machine's in their last bits, so it cannot be read here; decompress it there, or compress "
                        f"it again as a portable file."
                    )
                done += count
                progress(done, total)
                for i in range(count):
                    yield Block(batch.codes[i], None if batch.values is None else batch.values[i], intact[i])

        blocks = decode_blocks()
        values_per_block = tuple(n * self.tokenizer.hop for n in layout.block)
        for entry, (cells, *_) in zip(header.entries, divisions(), strict=True):
            blocks_of_signal, damaged = islice(blocks, len(cells)), list[int]()
            parts = restore_signal(
                self.tokenizer, blocks_of_signal, cells, size=entry.size, label=header.label, damaged=damaged
            )
            yield DecodedSignal(entry, parts, damaged, values_per_block)
            for _ in blocks_of_signal:  # Skip the blocks that the caller did not take.
                pass

    def _check_label(self, label: int | None) -> None:
        """Raises UsageError if the prior or the decoder has classes, but not this one, or if neither has classes."""
        classes = min((n for n in (self.tokenizer.classes, self.model.prior.classes) if n), default=0)
        if label is not None and not 0 <= label < classes:
            raise UsageError(
                f"This model has {classes} classes, so there is no class {label}; leave the label out, or give a "
                f"smaller number."
            )

    def _blocks(self, size: tuple[int, ...], *, lossless: bool) -> tuple[Blocks, ...]:
        """The division of a signal's cells into blocks, and in a lossless file that of its values."""
        block = block_size(self.model, lossless=lossless)
        cells = Blocks(self.tokenizer.grid(size), block)
        values = Blocks(size, tuple(n * self.tokenizer.hop for n in block))
        return (cells, values) if lossless else (cells,)

    def _batches(
        self, signals: Sequence[Signal], layout: Layout, *, lossless: bool, codes: int, grey: list[bool]
    ) -> Iterator[Batch]:
        """All blocks of the signals in batches; sets `grey[i]` to False if the channels of signal i differ."""
        encode = partial(value_blocks, batch_size=layout.batch_size) if lossless else code_blocks
        checked = (replace(s, read=partial(_read_checked, s, number, grey)) for number, s in enumerate(signals))
        pieces = (piece for s in checked for piece in encode(self.tokenizer, s, layout.block, codes=codes))
        for piece in regroup(pieces, layout.batch_size):
            yield Batch(*piece)

    def _segment_coder(
        self, symbols: SymbolCoder, layout: Layout, *, lossless: bool, label: int | None
    ) -> SegmentCoder:
        values = ValueCoder(self.tokenizer, batch_size=layout.batch_size, label=label) if lossless else None
        return SegmentCoder(symbols, values, layout.blocks_per_segment)

    def _check_header(self, container: Container) -> None:
        """Raises ModelError, DataError if the file is not one of this model."""
        header, name, config = container.header, container.name, self.tokenizer.config
        if not self.model.is_named_by(header.fingerprint.hex()):
            raise ModelError(
                f"{name} was made with the model {header.fingerprint.hex()}, but this one is "
                f"{self.fingerprint.hex()}; give the model that it was made with."
            )
        if any(len(entry.size) != config.ndim for entry in header.entries):
            raise DataError(f"{name} holds signals of another rank than its model's; Codeword did not write it.")
        try:
            leading_codes(self.tokenizer, header.codes)
            self._check_label(header.label)
        except CodewordError as error:
            message = "names codes or a class that its model does not have; Codeword did not write it."
            raise DataError(f"{name} {message}") from error


def _read_checked(signal: Signal, number: int, grey: list[bool]) -> Iterator[Tensor]:
    """The blocks of signal `number`; sets `grey[number]`. Raises UnreadableSignal if it has another size."""
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
        raise UnreadableSignal(f"The size of {signal.name} changed while it was read; compress it again.", number)
