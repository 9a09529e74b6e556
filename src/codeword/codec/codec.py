"""Compression of signals: the codes of a model, range-coded under its prior, in segments of one or more blocks.

Shapes: a signal has C channels and the axes *S; n counts values along its only axis.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, count
from math import prod
from typing import IO, NamedTuple

import torch
from torch import Tensor

from codeword.arguments import check_class, check_signals
from codeword.codec.coders import SymbolCoder, ValueCoder, build_coder, choose_coder
from codeword.codec.container import Container
from codeword.codec.format import FINGERPRINT_BYTES, Coder, Entry, FileWriter, Header, Side, pack_side, unpack_side
from codeword.codec.layout import (
    Block,
    Blocks,
    FileBlocks,
    Layout,
    block_size,
    code_blocks,
    is_too_large,
    restore_signal,
    value_blocks,
)
from codeword.codec.search import PLAIN, Search, price_of, search_blocks
from codeword.codec.segments import Batch, BlockReader, Damage, SegmentCoder
from codeword.coding import leading_codes
from codeword.errors import CodewordError, DataError, ModelError, UsageError
from codeword.media.base import Signal, regroup
from codeword.media.facts import MAX_PIXELS
from codeword.model import Model

Progress = Callable[[int, int], None]
"""Callback that receives the number of finished steps and the number of all steps."""


@dataclass(frozen=True)
class CompressOptions:
    """Options of compression.

    Attributes:
        lossless: store the signal itself after its codes.
        codes: the number of leading codes of each cell to store; None for all.
        label: the class that conditions the prior and the decoder.
        search: how the codes are found; in a lossless file, only its `effort` counts.
    """

    lossless: bool = False
    codes: int | None = None
    label: int | None = None
    search: Search = PLAIN


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
    """One signal of a file, its side data, and an iterator over consecutive blocks (C, n, ...) along its first axis.

    The lost blocks in `damage` have `block_size` values along each axis. Where the damage is fatal, `blocks` raises
    DataError. Side data that are lost are empty.
    """

    entry: Entry
    side: Side
    blocks: Iterator[Tensor]
    damage: Damage
    block_size: tuple[int, ...]


class Codec:
    """Writer and reader of compressed files for one model.

    A file decodes to `decode(encode(x))`, or to what the codes of a search decode to, and a lossless one to x.

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

    def __repr__(self) -> str:
        return f"Codec({self.model!r})"

    def compress(self, x: Tensor, options: CompressOptions = DEFAULTS, *, codes: Tensor | None = None) -> bytes:
        """Compress one signal (C, *S) of integers in [0, tokenizer.config.values) to the bytes of a file.

        With `codes` (*G, n), of which the file stores `options.codes`, nothing is encoded or searched.

        Raises UsageError, UnsupportedError.
        """
        x = check_signals(x, self.tokenizer.config, batched=False)
        out, signal = io.BytesIO(), Signal("", tuple(x.shape[1:]), lambda: [x])
        if codes is None:
            self.write(out, [signal], options)
        else:
            own = self.tokenizer.check_codes(codes, size=signal.size, batched=False)
            n = leading_codes(self.tokenizer, options.codes)

            def given(blocks: Iterable[Tensor]) -> Iterator[Tensor]:
                list(blocks)  # Reading finds out if the signal is grey.
                yield own[..., :n]

            self._write(out, [signal], options, n, given)
        return out.getvalue()

    def decompress(self, content: bytes) -> Tensor:
        """Decode the signal (C, *S) int64 of `compress`. Raises DataError, ModelError."""
        signal = next(self.read(Container(content, "the file")))
        return torch.cat(list(signal.blocks), 1).long()

    def write(
        self,
        out: IO[bytes],
        signals: Sequence[Signal],
        options: CompressOptions = DEFAULTS,
        *,
        progress: Progress = lambda done, total: None,
    ) -> Written:
        """Write signals, each read once, as one file.

        `progress` receives the numbers of finished and of all blocks, or in a search that of cells.

        Raises:
            UsageError: there is no signal, or one is too large to be read again, or the model has no class
                `options.label` or fewer codes than `options.codes`, or no prior of them for a `rate_weight`, or names
                or side data cannot be stored; then nothing was written to `out`.
            UnsupportedError: the model cannot decode `options.codes` leading codes, or cannot code losslessly, or
                has no such search.
            UnreadableSignal: a signal cannot be read; then nothing was written to `out`.
        """
        codes, search = leading_codes(self.tokenizer, options.codes), options.search
        if options.lossless and not search.by_vectors:
            raise UsageError("A lossless file stores the signal itself; rate_weight and refine are for lossy ones.")
        search_all = partial(
            search_blocks,
            self.tokenizer,
            search=search,
            codes=codes,
            price=price_of(self.model, codes, label=options.label) if search.rate_weight else None,
            label=options.label if self.tokenizer.classes else None,
        )
        if search.by_vectors:
            return self._write(out, signals, options, codes, search_all, progress=progress)
        cells, before = sum(prod(self.tokenizer.grid(s.size)) for s in signals), 0

        def report(done: int) -> None:
            progress(before + done, cells)

        def find(blocks: Iterable[Tensor]) -> Iterator[Tensor]:
            nonlocal before
            for part in search_all(blocks, progress=report):
                before += prod(part.shape[:-1])
                progress(before, cells)
                yield part

        return self._write(out, signals, options, codes, find)

    def _write(
        self,
        out: IO[bytes],
        signals: Sequence[Signal],
        options: CompressOptions,
        codes: int,
        find: Callable[[Iterable[Tensor]], Iterator[Tensor]],
        *,
        progress: Progress = lambda done, total: None,
    ) -> Written:
        """`write` of `codes` codes a cell, with the function from the blocks of a signal to its codes."""
        self._check_label(options.label)
        block = block_size(self.model, lossless=options.lossless)
        if large := next((s for s in signals if is_too_large(self.tokenizer, s.size, block)), None):
            raise UsageError(
                f"{large.name or 'The signal'} of size {list(large.size)} could not be read again, because more than "
                f"{MAX_PIXELS:,} of its values are restored at once; cut it."
            )
        total = sum(len(self._blocks(s.size, lossless=options.lossless)[0]) for s in signals)
        if not total:
            raise UsageError("There is nothing to compress; give a signal of at least one value.")
        layout = Layout.of(self.model, blocks=total, lossless=options.lossless)
        grey = [self.tokenizer.config.channels > 1] * len(signals)
        checked = (replace(s, read=partial(_read_checked, s, number, grey)) for number, s in enumerate(signals))
        if options.lossless:
            tokenizer = self.tokenizer.with_effort(options.search.effort, codes=codes)
            block, size = layout.block, layout.batch_size
            parts = (value_blocks(tokenizer, s, block=block, codes=codes, batch_size=size) for s in checked)
        else:
            parts = (code_blocks(find(s.read()), layout.block) for s in checked)
        batches = (Batch(*piece) for piece in regroup(chain.from_iterable(parts), layout.batch_size))
        first = next(batches)
        kind, symbols, tables = choose_coder(
            self.model, first.codes, first.mask, share_of_all=len(first.mask) / total, label=options.label
        )
        coder = self._segment_coder(symbols, layout, lossless=options.lossless, label=options.label)
        with FileWriter() as file:
            done, has_side = 0, [False] * len(signals)
            for batch in chain([first], batches):
                for segment in coder.write(batch):
                    file.add(segment)
                done += len(batch.mask)
                progress(done, total)
            for number, signal in enumerate(signals):
                if side := _read_side(signal, number):
                    file.add(pack_side(side, signal.name))
                    has_side[number] = True
            header = Header(
                fingerprint=self.fingerprint,
                coder=kind,
                lossless=options.lossless,
                codes=codes,
                label=options.label,
                sample_rate=self.tokenizer.config.sample_rate,
                entries=tuple(Entry(s.name, s.size, *of) for s, *of in zip(signals, grey, has_side, strict=True)),
                tables=tables,
            )
            return Written(*file.finish(out, header), kind)

    def read(
        self, container: Container, *, salvage: bool = False, progress: Progress = lambda done, total: None
    ) -> Iterator[DecodedSignal]:
        """Decode the signals of a file, in order; `progress` receives the numbers of finished and of all blocks.

        With `salvage`, lost blocks become silence (or grey) and are listed in the result; without it, they are errors.
        To find them, salvage decodes the codes twice. It decodes only segments that are intact, and fills at most
        `MAX_FILL` lost segments of a signal for each intact one; a signal that lost more raises DataError when its
        blocks are read.

        Raises:
            ModelError: the file was made with another model, or is lossless and was made on a machine where the
                likelihood's network rounds differently.
            DataError: the file is damaged, or its header claims more than its bytes can hold.
        """
        header = container.header
        self._check_header(container)

        file_blocks = FileBlocks([e.size for e in header.entries], partial(self._blocks, lossless=header.lossless))
        layout = Layout.of(self.model, blocks=file_blocks.total, lossless=header.lossless)
        code_segments = -(-file_blocks.total // layout.blocks_per_segment)
        side_numbers = count(code_segments)
        segments = container.segments(code_segments + sum(e.has_side for e in header.entries), salvage=salvage)
        symbols = build_coder(self.model, header, container.name)
        coder = self._segment_coder(symbols, layout, lossless=header.lossless, label=header.label)
        reader = BlockReader(file_blocks, layout, segments, coder)

        def read_blocks(numbers: Iterable[int], first: int) -> Iterator[Block]:
            for number in numbers:
                block = reader.get(first + number)
                if block is None:
                    raise _differs(container)
                yield block
                done = first + number + 1
                if done % layout.batch_size == 0 or done == file_blocks.total:
                    progress(done, file_blocks.total)

        def restore(entry: Entry, span: range, damage: Damage) -> Iterator[Tensor]:
            if damage.fatal:
                raise DataError(
                    f"{container.name} lost {damage} of {entry.name or 'its signal'}, too many to salvage it; copy the "
                    f"file again."
                )
            cells, *_ = self._blocks(entry.size, lossless=header.lossless)
            read = partial(read_blocks, first=span.start)
            yield from restore_signal(
                self.tokenizer, read, cells, header=header, size=entry.size, damaged=damage.blocks
            )

        values_per_block = tuple(n * self.tokenizer.hop for n in layout.block)
        for number, entry in enumerate(header.entries):
            span = file_blocks.span(number)
            damage = reader.damage(span, salvage=salvage)
            segment = segments.get(next(side_numbers)) if entry.has_side else None
            side = {} if segment is None else unpack_side(segment, container.name)
            yield DecodedSignal(entry, side, restore(entry, span, damage), damage, values_per_block)

    def _check_label(self, label: int | None) -> None:
        """Raises UsageError if the prior or the decoder has classes, but not this one, or if neither has classes."""
        check_class(label, min((n for n in (self.tokenizer.classes, self.model.prior.classes) if n), default=0))

    def _blocks(self, size: tuple[int, ...], *, lossless: bool) -> tuple[Blocks, ...]:
        """The division of a signal's cells into blocks, and in a lossless file that of its values."""
        block = block_size(self.model, lossless=lossless)
        cells = Blocks(self.tokenizer.grid(size), block)
        values = Blocks(size, tuple(n * self.tokenizer.hop for n in block))
        return (cells, values) if lossless else (cells,)

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
        block = block_size(self.model, lossless=header.lossless)
        if any(is_too_large(self.tokenizer, entry.size, block) for entry in header.entries):
            raise DataError(f"{name} claims an image of more than {MAX_PIXELS:,} pixels; refused.")
        old_prior, old_values = (
            container.version < 3 and header.coder == "prior",
            container.version < 5 and header.lossless,
        )
        if old_prior or old_values:
            raise ModelError(
                f"{name} was written by an earlier Codeword, which computed other probabilities; decompress it with "
                f"that version, and compress it again."
            )
        try:
            leading_codes(self.tokenizer, header.codes)
            self._check_label(header.label)
        except CodewordError as error:
            message = "names codes or a class that its model does not have; Codeword did not write it."
            raise DataError(f"{name} {message}") from error


def _differs(container: Container) -> CodewordError:
    """The error for an intact segment with other content than was written."""
    if not container.header.lossless:
        return DataError(f"{container.name} is damaged in its codes; copy it again, or salvage the rest.")
    return ModelError(
        f"{container.name} is lossless and was written on a machine where the network's numbers differ from this "
        f"machine's in their last bits, so it cannot be read here; decompress it there."
    )


def _read_side(signal: Signal, number: int) -> Side:
    """The side data of signal `number`. Raises UnreadableSignal."""
    try:
        return dict(signal.side())
    except DataError as error:
        raise UnreadableSignal(str(error), number) from error


def _read_checked(signal: Signal, number: int, grey: list[bool]) -> Iterator[Tensor]:
    """The blocks of signal `number`; sets `grey[number]`. Raises UnreadableSignal if it has another size."""
    length = 0
    try:
        for x in signal.read():
            length += x.shape[1]
            if tuple(x.shape[2:]) != signal.size[1:] or length > signal.size[0]:
                length = -1
                break
            grey[number] = grey[number] and bool((x == x[:1]).all())
            yield x
    except DataError as error:
        raise UnreadableSignal(str(error), number) from error
    if length != signal.size[0]:
        raise UnreadableSignal(f"The size of {signal.name} changed while it was read; compress it again.", number)
