"""Signals to bytes and back: a model's codes, range-coded under its prior."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import BinaryIO, NamedTuple

import torch
from torch import Tensor

from codeword.codec.blocks import Blocks
from codeword.codec.coder_choice import choose_coder, symbol_coder
from codeword.codec.format import FINGERPRINT_BYTES, Coder, Container, Entry, Header, write_header, write_segment
from codeword.codec.pieces import Signal, code_blocks, gathered, places, value_blocks
from codeword.codec.plan import Plan, block_of
from codeword.codec.restore import Block, restored
from codeword.codec.segments import Batch, BatchCoder
from codeword.codec.symbol_coders import SymbolCoder
from codeword.codec.value_coder import ValueCoder
from codeword.errors import DataError, ModelError, UsageError
from codeword.model import Model


@dataclass(frozen=True)
class CompressOptions:
    """What a person may ask of compression.

    `portable`: only tables that any machine computes alike, never the prior's network. `lossless`: the signal itself
    as well, given its codes. `codes`: only the first so many of a cell. `label`: the class that prior and decoder are
    told.
    """

    portable: bool = False
    lossless: bool = False
    codes: int | None = None
    label: int | None = None


AS_USUAL = CompressOptions()


class Written(NamedTuple):
    """What became of some signals: all bytes, those of header and segment heads among them, and the coder."""

    bytes: int
    overhead_bytes: int
    coder: Coder


@dataclass(frozen=True)
class Found:
    """One signal of a file: `blocks` gives it (C, n) along its only axis, or whole (C, H, W).

    They must be taken before the next signal is; `damaged` meanwhile fills with the numbers of lost blocks, of
    `block_size` values along each axis.
    """

    entry: Entry
    blocks: Iterator[Tensor]
    damaged: list[int]
    block_size: tuple[int, ...]


class Codec:
    """Files under one model. What comes back is `decode(encode(x))`, or x itself where lossless was wished for."""

    def __init__(self, model: Model) -> None:
        self.model, self.tokenizer = model, model.tokenizer
        self.fingerprint = bytes.fromhex(model.fingerprint)[:FINGERPRINT_BYTES]

    def compress(self, x: Tensor, options: CompressOptions = AS_USUAL) -> bytes:
        """One signal (C, *S), integers in [0, values), as the bytes of a file. Raises UsageError."""
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
        options: CompressOptions = AS_USUAL,
        *,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Written:
        """Write signals as one file; `progress` hears of blocks.

        Raises:
            UsageError: the model cannot do what is wished.
            DataError: a signal cannot be read.
        """
        codes = self._codes(options)
        if not self._knows(options.label):
            raise UsageError(
                f"This model knows {self._classes()} classes, and not number {options.label}; leave the label out, or "
                f"give one below that."
            )
        total = sum(len(self._layout(s.size, lossless=options.lossless)[0]) for s in signals)
        if not total:
            raise UsageError("There is nothing to compress; give a signal of at least one value.")
        plan = Plan.of(self.model, blocks=total, lossless=options.lossless)
        batches = self._batches(signals, plan, lossless=options.lossless, codes=codes)
        first = next(batches)
        kind, symbols, tables = choose_coder(
            self.model,
            first,
            share_of_all=len(first.inside) / total,
            lanes=plan.lanes,
            label=options.label,
            portable=options.portable,
        )
        header = Header(
            fingerprint=self.fingerprint,
            coder=kind,
            lossless=options.lossless,
            codes=codes,
            label=options.label,
            sample_rate=self.tokenizer.config.sample_rate,
            entries=tuple(Entry(s.name, s.size, s.grey) for s in signals),
            tables=tables,
        )
        coder = self._coder(header, symbols, plan)
        size = overhead = write_header(out, header)
        done = number = 0
        for batch in chain([first], batches):
            for segment in coder.write(batch):
                written = write_segment(out, number, segment)
                size, overhead, number = size + written, overhead + written - len(segment.payload), number + 1
            done += len(batch.inside)
            progress(done, total)
        return Written(size, overhead, kind)

    def read(
        self,
        container: Container,
        *,
        salvage: bool = False,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Iterator[Found]:
        """The signals of a file, in order; `progress` hears of blocks.

        With `salvage`, blocks that are damaged come back as silence (or grey), and are named; without, they are errors.

        Raises:
            ModelError: the file was made with another model, or on a machine whose numbers differ from this one's.
            DataError: the file is damaged, or claims what cannot be.
        """
        header = container.header
        self._must_fit(container)

        def layouts() -> Iterator[tuple[Blocks, ...]]:
            # Anew for each use: there may be a million signals.
            return (self._layout(entry.size, lossless=header.lossless) for entry in header.entries)

        total = sum(len(layout[0]) for layout in layouts())
        plan = Plan.of(self.model, blocks=total, lossless=header.lossless)
        segments = container.segments(-(-total // plan.share), salvage=salvage)
        coder = self._coder(header, symbol_coder(self.model, header, container.place, lanes=plan.lanes), plan)

        def decoded() -> Iterator[Block]:
            done = 0
            for presence in places(layouts(), plan.lanes):
                count = len(presence[0])
                batch, right = coder.read(list(islice(segments, -(-count // plan.share))), *presence)
                if not (salvage or all(right)):
                    raise ModelError(
                        f"{container.place} was written where the network's numbers differ from this machine's in "
                        f"their last bits, so it cannot be read here; decompress it there, or have it made with "
                        f"--portable."
                    )
                done += count
                progress(done, total)
                for i in range(count):
                    yield Block(batch.codes[i], None if batch.values is None else batch.values[i], right[i])

        blocks = decoded()
        block_size = tuple(n * self.tokenizer.hop for n in plan.block)
        for entry, layout in zip(header.entries, layouts(), strict=True):
            own, damaged = islice(blocks, len(layout[0])), list[int]()
            signal = restored(self.tokenizer, own, layout[0], size=entry.size, label=header.label, damaged=damaged)
            yield Found(entry, signal, damaged, block_size)
            for _ in own:  # What the caller left lies before the next signal.
                pass

    def _codes(self, options: CompressOptions) -> int:
        all_codes = len(self.tokenizer.quantizer.codebook_sizes)
        codes = all_codes if options.codes is None else options.codes
        if not self._keeps(codes):
            raise UsageError(
                f"This model has {all_codes} codes a cell, of which a file cannot keep {codes}; leave --codes out, or "
                f"use a model that serves several rates."
            )
        return codes

    def _keeps(self, codes: int) -> bool:
        """Whether the first so many codes of a cell make a signal."""
        all_codes = len(self.tokenizer.quantizer.codebook_sizes)
        return codes == all_codes or (1 <= codes < all_codes and len(self.tokenizer.quantizer.served_codes) > 1)

    def _classes(self) -> int:
        """How many classes may be told: those that both parts know, where each knows any."""
        return min((n for n in (self.tokenizer.classes, self.model.prior.classes) if n), default=0)

    def _knows(self, label: int | None) -> bool:
        return label is None or 0 <= label < self._classes()

    def _layout(self, size: tuple[int, ...], *, lossless: bool) -> tuple[Blocks, ...]:
        """How the cells of a signal are cut, and if they are written too, its values."""
        block = block_of(self.model, lossless=lossless)
        cells = Blocks(self.tokenizer.grid(size), block)
        values = Blocks(size, tuple(n * self.tokenizer.hop for n in block))
        return (cells, values) if lossless else (cells,)

    def _batches(self, signals: Sequence[Signal], plan: Plan, *, lossless: bool, codes: int) -> Iterator[Batch]:
        if lossless:
            pieces = (
                piece
                for s in signals
                for piece in value_blocks(self.tokenizer, s, plan.block, codes=codes, lanes=plan.lanes)
            )
        else:
            pieces = (piece for s in signals for piece in code_blocks(self.tokenizer, s, plan.block, codes=codes))
        for piece in gathered(pieces, plan.lanes):
            yield Batch(*piece)

    def _coder(self, header: Header, symbols: SymbolCoder, plan: Plan) -> BatchCoder:
        values = ValueCoder(self.tokenizer, lanes=plan.lanes, label=header.label) if header.lossless else None
        return BatchCoder(symbols, values, plan.share)

    def _must_fit(self, container: Container) -> None:
        header, place, config = container.header, container.place, self.tokenizer.config
        if not self.model.is_named_by(header.fingerprint.hex()):
            raise ModelError(
                f"{place} was made with the model {header.fingerprint.hex()}, and this one is "
                f"{self.fingerprint.hex()}; give the one it was made with as --model."
            )
        if any(len(entry.size) != config.ndim for entry in header.entries):
            raise DataError(f"{place} holds signals of another rank than its model's; Codeword did not write it.")
        if not (self._keeps(header.codes) and self._knows(header.label)):
            raise DataError(f"{place} names codes or a class that its model does not have; Codeword did not write it.")
