"""Entropy coding of codes and values with a range coder.

The probabilities of codes are those of integer tables or of the exact prior, both of which are equal on every machine;
those of values are the likelihood's. Prior and likelihood visit the symbols in the same walk as in sampling.
"""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from math import log
from typing import Any, NamedTuple, TypeVar

import constriction
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codeword.codec.format import Coder, Header
from codeword.codec.layout import pad_batch
from codeword.coding import deterministic
from codeword.errors import DataError
from codeword.model import Model
from codeword.nn.integers import softmax_weights
from codeword.nn.walk import Choose
from codeword.priors import ExactPrior, walk
from codeword.tokenizer import Tokenizer

Rows = NDArray[np.float32]
Symbols = NDArray[np.int32]
T = TypeVar("T")

_WORD_BYTES, _WORD_BITS = 4, 32

# constriction converts probabilities to integer frequencies out of 2^24, none of them 0, in portable scalar arithmetic.
_ROWS = constriction.stream.model.Categorical(perfect=False)


def build_table(weights: Sequence[int] | np.ndarray) -> Any:
    """The constriction model of one distribution, from weights (size,)."""
    return constriction.stream.model.Categorical(np.asarray(weights, np.float32), perfect=False)


class Writer:
    """A range encoder. The reader must use the same probabilities in the same order."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def write(self, symbols: Symbols, rows: Rows) -> None:
        """Write symbols (n,) under their probabilities (n, size)."""
        self._coder.encode(symbols, _ROWS, rows)

    def write_with_table(self, symbols: Symbols, table: Any) -> None:
        """Write symbols (n,), all under the distribution of `build_table`."""
        self._coder.encode(symbols, table)

    def content(self) -> bytes:
        """The bytes of all written symbols: the shortest number in the final interval of the range coder."""
        words = self._coder.get_compressed()
        position, (lower, size) = self._coder.pos()
        # The words after `position` are a number in the interval of two words from `lower` on, modulo 2^64.
        end = int.from_bytes(words.astype(">u4").tobytes(), "big") << _WORD_BITS * (position + 2 - len(words))
        low = end - (end - lower) % (1 << 2 * _WORD_BITS)
        last = low + size - 1
        shortest = next(n for bits in range(64, -1, -8) if (n := last >> bits << bits) >= low)
        # The reader restores the zeros that are removed here.
        content: bytes = shortest.to_bytes(_WORD_BYTES * (position + 2), "big")
        return content.rstrip(b"\0")


class Reader:
    """A range decoder for the bytes of a `Writer`."""

    def __init__(self, content: bytes) -> None:
        words = content + bytes(-len(content) % _WORD_BYTES)
        self._coder = constriction.stream.queue.RangeDecoder(np.frombuffer(words, ">u4").astype(np.uint32))

    def read(self, rows: Rows) -> Symbols:
        """Read one symbol for each row of probabilities (n, size). Raises DataError."""
        return self._decode(_ROWS, rows)

    def read_with_table(self, count: int, table: Any) -> Symbols:
        """Read symbols (count,), all under the distribution of `build_table`. Raises DataError."""
        return self._decode(table, count)

    def _decode(self, *arguments: Any) -> Symbols:
        symbols: Symbols | None = None
        # Its AssertionError says no more, and as the cause of a refusal it would look like an error of Codeword's own.
        with suppress(AssertionError):
            symbols = self._coder.decode(*arguments)
        if symbols is None:
            raise DataError("the compressed symbols cannot have been written under these probabilities")
        return symbols


Writers = Sequence[tuple[slice, Writer]]
"""The encoder of each segment, with the blocks of the segment."""

Readers = Sequence[tuple[slice, Reader]]
"""The decoder of each segment, with the blocks of the segment."""

_MAX_WEIGHT = 65535

# The number of blocks for which the cost under the prior is compared with that under tables.
_TRIAL_BLOCKS = 8


class SymbolCoder(ABC):
    """Writes codes of blocks (N, *Q, K) with range coders, one for each segment.

    The mask (N, *Q) is True for cells on the grid; the codes of other cells are not written and are read as 0. `codes`
    is K.
    """

    codes: int

    @abstractmethod
    def write(self, writers: Writers, codes: Tensor, mask: Tensor) -> None:
        """Write each block to the writer of its segment."""

    @abstractmethod
    def read(self, readers: Readers, mask: Tensor) -> Tensor:
        """Read the codes (N, *Q, K) int64 written by `write`. Raises DataError."""


class TableCoder(SymbolCoder):
    """Codes under K tables, one for each code of a cell; the weights are integers."""

    def __init__(self, weights: Sequence[np.ndarray]) -> None:
        self.weights, self.codes = tuple(weights), len(weights)
        self._tables = [build_table(w) for w in weights]

    @classmethod
    def uniform(cls, codebook_sizes: Sequence[int]) -> "TableCoder":
        """The coder for which all codewords are equally likely."""
        return cls([np.ones(n, np.uint16) for n in codebook_sizes])

    @classmethod
    def histogram(cls, codes: Tensor, codebook_sizes: Sequence[int]) -> "TableCoder":
        """The coder with the frequencies of codes (n, K) as weights, with add-one smoothing."""
        weights = []
        for k, n in enumerate(codebook_sizes):
            counts = 1 + torch.bincount(codes[:, k], minlength=n).double()
            scaled = (counts * (_MAX_WEIGHT / counts.max())).round().clamp(min=1)
            weights.append(scaled.numpy().astype(np.uint16))
        return cls(weights)

    @classmethod
    def unpack(cls, content: bytes, codebook_sizes: Sequence[int]) -> "TableCoder":
        """The coder with the weights from the bytes of `pack`. Raises DataError."""
        size_bytes = 2 * sum(codebook_sizes)
        try:
            plain = zlib.decompressobj().decompress(content, size_bytes + 1)
        except zlib.error as error:
            raise DataError(f"its tables are damaged ({error})") from error
        if len(plain) != size_bytes:
            raise DataError(f"its tables have {len(plain)} bytes, but the model's codebooks need {size_bytes}")
        ends = np.cumsum(codebook_sizes)[:-1]
        weights = np.split(np.frombuffer(plain, "<u2"), ends)
        if min(int(w.min()) for w in weights) < 1:
            raise DataError("its tables give a codeword no probability")
        return cls(weights)

    def pack(self) -> bytes:
        """All weights as uint16, compressed with zlib."""
        return zlib.compress(np.concatenate(self.weights).astype("<u2").tobytes(), 9)

    def bits(self, codes: Tensor) -> float:
        """Cost of codes (n, K) under the tables, in bits."""
        total = 0.0
        for k, w in enumerate(self.weights):
            total -= float(np.log2(w / w.sum(dtype=np.float64))[codes[:, k].numpy()].sum())
        return total

    def write(self, writers: Writers, codes: Tensor, mask: Tensor) -> None:
        for blocks, writer in writers:
            symbols = codes[blocks][mask[blocks]].numpy().astype(np.int32)
            for k, table in enumerate(self._tables):
                writer.write_with_table(np.ascontiguousarray(symbols[:, k]), table)

    def read(self, readers: Readers, mask: Tensor) -> Tensor:
        codes = torch.zeros(*mask.shape, len(self._tables), dtype=torch.int64)
        for blocks, reader in readers:
            count = int(mask[blocks].sum())
            columns = [reader.read_with_table(count, table) for table in self._tables]
            codes[blocks][mask[blocks]] = torch.from_numpy(np.stack(columns, -1).astype(np.int64))
        return codes


class PriorCoder(SymbolCoder):
    """Codes under the probabilities of an exact prior given the earlier codes of their block.

    The reader walks all blocks together. The writer knows all codes, so that it computes many cells at a time: to the
    same bits.
    """

    def __init__(self, prior: ExactPrior, *, label: int | None, codes: int | None = None) -> None:
        """`codes` is the number of codes per cell, by default all."""
        self.prior, self.label, self.codes = prior, label if prior.classes else None, codes or prior.served_codes[-1]

    def write(self, writers: Writers, codes: Tensor, mask: Tensor) -> None:
        symbols, present, done = codes.flatten(1, -2).permute(1, 2, 0), mask.flatten(1).t(), 0
        for logits in self.prior.logits_in_order(codes, self._label(len(mask))):
            count = len(logits[0])
            own, inside = symbols[done : done + count].int(), present[done : done + count]
            for cells, k, weights in _steps(logits):
                rows = weights.numpy()
                for blocks, writer in writers:
                    chosen = inside[cells, None, blocks].expand(*weights.shape[:2], -1).numpy()
                    writer.write(own[cells, k, blocks].numpy()[chosen], rows[:, :, blocks][chosen])
            done += count

    def read(self, readers: Readers, mask: Tensor) -> Tensor:
        readers_of_cell = _by_cell(readers, mask)

        def read_step(logits: Tensor, i: int) -> Tensor:
            rows, symbols_of_step = softmax_weights(logits).numpy(), np.zeros(len(mask), np.int64)
            for blocks, reader in readers_of_cell[i // self.codes]:
                symbols_of_step[blocks] = reader.read(rows[blocks])
            return torch.from_numpy(symbols_of_step)

        grid, label = tuple(mask.shape[1:]), self._label(len(mask))
        return walk(self.prior, len(mask), read_step, label=label, grid=grid, codes=self.codes)

    def _label(self, batch: int) -> Tensor | None:
        return None if self.label is None else torch.full((batch,), self.label)


def _steps(logits: list[Tensor]) -> Iterator[tuple[slice, slice, Tensor]]:
    """Logits (cells, B, n_k) of each code k to frequencies (cells, codes, B, n) in the order of a walk.

    Yields slices of cells and codes, and their frequencies: of all cells and codes if all codebooks have one size,
    and else of one symbol after the other.
    """
    weights = [softmax_weights(x.flatten(0, 1)).view(x.shape) for x in logits]
    if len({x.shape[-1] for x in weights}) == 1:
        yield slice(None), slice(None), torch.stack(weights, 1)
        return
    for cell in range(len(weights[0])):
        for k, x in enumerate(weights):
            yield slice(cell, cell + 1), slice(k, k + 1), x[cell : cell + 1, None]


def _by_cell(coders: Sequence[tuple[slice, T]], mask: Tensor) -> list[list[tuple[slice | np.ndarray, T]]]:
    """The coders of each cell of a block, with the numbers of their blocks in which the mask (N, *Q) has this cell."""
    cells = mask.flatten(1).t().contiguous().numpy()
    return [[(_numbers(cell, blocks), coder) for blocks, coder in coders] for cell in cells]


def _numbers(cell: np.ndarray, blocks: slice) -> slice | np.ndarray:
    """The blocks of a slice that have the cell: the slice itself, which copies nothing, if all of them have it."""
    return blocks if cell[blocks].all() else blocks.start + np.flatnonzero(cell[blocks])


class Chosen(NamedTuple):
    """A coder, its name in the header of the file, and the tables for the header."""

    name: Coder
    coder: SymbolCoder
    tables: bytes = b""


def choose_coder(model: Model, codes: Tensor, mask: Tensor, *, share_of_all: float, label: int | None) -> Chosen:
    """Choose the coder with the smallest expected file from the codes (n, *Q, K) and mask (n, *Q) of the first batch.

    `share_of_all` is n divided by the number of all blocks. The prior is a candidate only if it serves this number of
    codes.
    """
    prior, cells = model.exact_prior, codes[mask]
    codebook_sizes = model.tokenizer.quantizer.codebook_sizes[: cells.shape[-1]]
    uniform, histogram = TableCoder.uniform(codebook_sizes), TableCoder.histogram(cells, codebook_sizes)
    chosen, table = Chosen("uniform", uniform), uniform
    # The size of the tables is divided among all blocks; this is the share of the first batch.
    table_bits = 8 * len(tables := histogram.pack()) * share_of_all
    if histogram.bits(cells) + table_bits < uniform.bits(cells):
        chosen, table = Chosen("histogram", histogram, tables), histogram
    if isinstance(prior, ExactPrior) and cells.shape[-1] in prior.served_codes:
        trial_codes, trial_mask = codes[:_TRIAL_BLOCKS], mask[:_TRIAL_BLOCKS]
        labels = None if label is None else torch.full((len(trial_codes),), label)
        with torch.no_grad():
            nats = -float(prior.log_prob(trial_codes, labels).sum())
        # The prior also predicts the cells beyond the grid, which are not written.
        prior_bits = nats / log(2) * float(trial_mask.double().mean())
        trial_cells = trial_codes[trial_mask]
        trial_table_bits = table_bits * len(trial_cells) / len(cells) if chosen.tables else 0
        if prior_bits < table.bits(trial_cells) + trial_table_bits:
            return Chosen("prior", PriorCoder(prior, label=label, codes=cells.shape[-1]))
    return chosen


def build_coder(model: Model, header: Header, name: str) -> SymbolCoder:
    """The coder of an existing file; `name` is the file in messages. Raises DataError."""
    codebook_sizes = model.tokenizer.quantizer.codebook_sizes[: header.codes]
    match header.coder:
        case "uniform":
            return TableCoder.uniform(codebook_sizes)
        case "histogram":
            try:
                return TableCoder.unpack(header.tables, codebook_sizes)
            except DataError as error:
                raise DataError(f"{name} cannot be read: {error}; copy it again.") from error
        case "prior":
            prior = model.exact_prior
            if not isinstance(prior, ExactPrior) or header.codes not in prior.served_codes:
                raise DataError(f"{name} lacks codes that its prior predicts; Codeword did not write it.")
            return PriorCoder(prior, label=header.label, codes=header.codes)


class ValueCoder:
    """Values (N, C, *S) of blocks under the tokenizer's likelihood given the codes (N, *Q, K) of these blocks.

    Each block is decoded as a signal of its own, always in batches of `batch_size` blocks. The mask (N, *S) is True
    inside the signal, and x is 0 outside. The likelihood's `step` tells what a step of the walk codes, of all blocks.
    """

    def __init__(self, tokenizer: Tokenizer, *, batch_size: int, label: int | None) -> None:
        self.tokenizer, self.batch_size = tokenizer, batch_size
        self.label = None if label is None or not tokenizer.classes else torch.full((batch_size,), label)

    def write(self, writers: Writers, codes: Tensor, x: Tensor, mask: Tensor) -> None:
        """Write the values x of blocks after their codes, to the same writers as the codes."""
        values, flat_mask, size = pad_batch(x, self.batch_size).flatten(2), mask.flatten(1), tuple(mask.shape[1:])

        def write_step(weights: Tensor, i: int) -> Tensor:
            channel, positions = self.tokenizer.likelihood.step(i, size)
            values_of_step = values[:, channel, positions]
            for blocks, writer in writers:
                inside = flat_mask[blocks, positions]
                symbols = values_of_step[blocks][inside].numpy().astype(np.int32)
                writer.write(symbols, _inside(weights[blocks], inside).cpu().numpy())
            return values_of_step

        self._walk(codes, write_step)

    def read(self, readers: Readers, codes: Tensor, mask: Tensor) -> Tensor:
        """Read the values (N, C, *S) int64 written by `write`. Raises DataError."""
        flat_mask, size = mask.flatten(1), tuple(mask.shape[1:])

        def read_step(weights: Tensor, i: int) -> Tensor:
            _, positions = self.tokenizer.likelihood.step(i, size)
            values_of_step = torch.zeros(weights.shape[:2], dtype=torch.int64)
            for blocks, reader in readers:
                inside = flat_mask[blocks, positions]
                symbols = reader.read(_inside(weights[blocks], inside).cpu().numpy())
                values_of_step[blocks][inside] = torch.from_numpy(symbols.astype(np.int64))
            return values_of_step

        return self._walk(codes, read_step)[: len(mask)]

    def _walk(self, codes: Tensor, choose: Choose) -> Tensor:
        with deterministic():
            features = self.tokenizer.features(pad_batch(codes, self.batch_size), self.label)
            return self.tokenizer.likelihood.walk(features, choose)


def _inside(rows: Tensor, inside: Tensor) -> Tensor:
    """Rows (N, n, size) to those (m, size) where `inside` (N, n) is True, without a copy if all are."""
    return rows.flatten(0, 1) if bool(inside.all()) else rows[inside]
