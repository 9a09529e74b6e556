"""Coders of codes and values: a range coder, tables that every machine computes alike, the prior, and the likelihood.

Under the prior and the likelihood, symbols are coded by the walk that also samples.
"""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from math import log
from typing import NamedTuple

import constriction
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codeword.codec.format import Coder, Header
from codeword.codec.layout import padded
from codeword.coding import deterministic
from codeword.errors import DataError
from codeword.model import Model
from codeword.nn.walk import Choose
from codeword.priors import Prior, Uniform, walk
from codeword.tokenizer import Tokenizer

Rows = NDArray[np.float32]
Symbols = NDArray[np.int32]

_WORD_BYTES = 4

# Probabilities become integer frequencies out of 2^24, none of them 0, in scalar arithmetic that is portable.
_ROWS = constriction.stream.model.Categorical(perfect=False)


def probabilities(logits: Tensor) -> Rows:
    """Logits (n, size) to rows of probabilities (n, size)."""
    rows: Rows = torch.softmax(logits.float(), -1).cpu().numpy()
    return rows


class Table:
    """One distribution for many symbols: (size,) weights."""

    def __init__(self, weights: Rows) -> None:
        self._model = constriction.stream.model.Categorical(weights, perfect=False)

    def write(self, writer: "Writer", symbols: Symbols) -> None:
        """Write symbols (n,), all under this distribution."""
        writer.coder.encode(symbols, self._model)

    def read(self, reader: "Reader", count: int) -> Symbols:
        """Read symbols (count,). Raises DataError."""
        return _checked(lambda: reader.coder.decode(self._model, count))


class Writer:
    """Symbols in, bytes out; the reader must supply the same probabilities in the same order."""

    def __init__(self) -> None:
        self.coder = constriction.stream.queue.RangeEncoder()

    def write(self, symbols: Symbols, rows: Rows) -> None:
        """Write symbols (n,) under their probabilities (n, size)."""
        self.coder.encode(symbols, _ROWS, rows)

    def content(self) -> bytes:
        """All written symbols as bytes."""
        words: bytes = self.coder.get_compressed().astype("<u4").tobytes()
        # The reader restores the zeros that are cut off here.
        return words.rstrip(b"\0")


class Reader:
    """Bytes of a `Writer`, symbols out."""

    def __init__(self, content: bytes) -> None:
        whole = content + bytes(-len(content) % _WORD_BYTES)
        self.coder = constriction.stream.queue.RangeDecoder(np.frombuffer(whole, "<u4").astype(np.uint32))

    def read(self, rows: Rows) -> Symbols:
        """Read one symbol for each row of probabilities (n, size). Raises DataError."""
        return _checked(lambda: self.coder.decode(_ROWS, rows))


def _checked(decode: Callable[[], Symbols]) -> Symbols:
    try:
        return decode()
    except AssertionError as error:
        raise DataError("the compressed symbols cannot have been written under these probabilities") from error


_HIGHEST_WEIGHT = 65535

# The number of blocks on which the prior is compared with tables.
_TRIED = 8


class SymbolCoder(ABC):
    """Codes of blocks (N, *Q, K) in and out of range coders, `blocks_per_segment` consecutive blocks in each.

    The mask (N, *Q) is True for cells on the grid; other cells are 0, cost nothing, and come back as 0. `codes` is K.
    """

    codes: int

    @abstractmethod
    def write(self, writers: Sequence[Writer], codes: Tensor, mask: Tensor, *, blocks_per_segment: int) -> None:
        """Write blocks, the first `blocks_per_segment` of them to the first writer, and so on."""

    @abstractmethod
    def read(self, readers: Sequence[Reader], mask: Tensor, *, blocks_per_segment: int) -> Tensor:
        """Read the codes (N, *Q, K) int64 that `write` wrote. Raises DataError."""


class TableCoder(SymbolCoder):
    """One table for each of the K codes of a cell; weights are integers, so every machine computes the same bits."""

    def __init__(self, weights: Sequence[np.ndarray]) -> None:
        self.weights, self.codes = tuple(weights), len(weights)
        self._tables = [Table(w.astype(np.float32)) for w in weights]

    @classmethod
    def uniform(cls, codebook_sizes: Sequence[int]) -> "TableCoder":
        """Every codeword equally likely."""
        return cls([np.ones(n, np.uint16) for n in codebook_sizes])

    @classmethod
    def histogram(cls, codes: Tensor, codebook_sizes: Sequence[int]) -> "TableCoder":
        """Counts of codes (n, K), with add-one smoothing."""
        weights = []
        for k, n in enumerate(codebook_sizes):
            counts = 1 + torch.bincount(codes[:, k], minlength=n).double()
            scaled = (counts * (_HIGHEST_WEIGHT / counts.max())).round().clamp(min=1)
            weights.append(scaled.numpy().astype(np.uint16))
        return cls(weights)

    @classmethod
    def unpack(cls, content: bytes, codebook_sizes: Sequence[int]) -> "TableCoder":
        """The coder from the bytes of `pack`. Raises DataError."""
        size = 2 * sum(codebook_sizes)
        try:
            inflate = zlib.decompressobj()
            plain = inflate.decompress(content, size + 1)
        except zlib.error as error:
            raise DataError(f"its tables are damaged ({error})") from error
        if len(plain) != size:
            raise DataError(f"its tables have {len(plain)} bytes, where the model's codebooks need {size}")
        ends = np.cumsum(codebook_sizes)[:-1]
        weights = np.split(np.frombuffer(plain, "<u2"), ends)
        if min(int(w.min()) for w in weights) < 1:
            raise DataError("its tables give a codeword no probability")
        return cls(weights)

    def pack(self) -> bytes:
        """All weights, deflated."""
        return zlib.compress(np.concatenate(self.weights).astype("<u2").tobytes(), 9)

    def bits(self, codes: Tensor) -> float:
        """Cost of codes (n, K) under the tables, in bits."""
        total = 0.0
        for k, w in enumerate(self.weights):
            total -= float(np.log2(w / w.sum(dtype=np.float64))[codes[:, k].numpy()].sum())
        return total

    def write(self, writers: Sequence[Writer], codes: Tensor, mask: Tensor, *, blocks_per_segment: int) -> None:
        for n, writer in enumerate(writers):
            blocks = slice(n * blocks_per_segment, (n + 1) * blocks_per_segment)
            symbols = codes[blocks][mask[blocks]].numpy().astype(np.int32)
            for k, table in enumerate(self._tables):
                table.write(writer, np.ascontiguousarray(symbols[:, k]))

    def read(self, readers: Sequence[Reader], mask: Tensor, *, blocks_per_segment: int) -> Tensor:
        codes = torch.zeros(*mask.shape, len(self._tables), dtype=torch.int64)
        for n, reader in enumerate(readers):
            blocks = slice(n * blocks_per_segment, (n + 1) * blocks_per_segment)
            count = int(mask[blocks].sum())
            columns = [table.read(reader, count) for table in self._tables]
            codes[blocks][mask[blocks]] = torch.from_numpy(np.stack(columns, -1).astype(np.int64))
        return codes


class PriorCoder(SymbolCoder):
    """Every symbol under the prior's probabilities given all symbols before it in its block: one walk over all blocks.

    The walk always has `batch_size` blocks, also where there are fewer, because the last bit of a network's output
    depends on the shape of the batch; and it runs in one thread, for the same reason.
    """

    def __init__(self, prior: Prior, *, batch_size: int, label: int | None) -> None:
        self.prior, self.batch_size, self.codes = prior, batch_size, len(prior.codebook_sizes)
        self.label = None if label is None or not prior.classes else torch.full((batch_size,), label)

    def write(self, writers: Sequence[Writer], codes: Tensor, mask: Tensor, *, blocks_per_segment: int) -> None:
        symbols = padded(codes, self.batch_size).view(self.batch_size, -1)
        blocks_of = _blocks_by_cell(mask, blocks_per_segment)

        def put(logits: Tensor, i: int) -> Tensor:
            rows, taken = probabilities(logits), symbols[:, i]
            written = taken.numpy().astype(np.int32)
            for writer, blocks in zip(writers, blocks_of[i // self.codes], strict=True):
                writer.write(written[blocks], rows[blocks])
            return taken

        self._walk(put, tuple(mask.shape[1:]))

    def read(self, readers: Sequence[Reader], mask: Tensor, *, blocks_per_segment: int) -> Tensor:
        blocks_of = _blocks_by_cell(mask, blocks_per_segment)

        def get(logits: Tensor, i: int) -> Tensor:
            rows, taken = probabilities(logits), np.zeros(self.batch_size, np.int64)
            for reader, blocks in zip(readers, blocks_of[i // self.codes], strict=True):
                taken[blocks] = reader.read(rows[blocks])
            return torch.from_numpy(taken)

        return self._walk(get, tuple(mask.shape[1:]))[: len(mask)]

    def _walk(self, choose: Choose, block: tuple[int, ...]) -> Tensor:
        with deterministic():
            return walk(self.prior, self.batch_size, choose, label=self.label, grid=block)


def _blocks_by_cell(mask: Tensor, blocks_per_segment: int) -> list[list[np.ndarray]]:
    """For each cell of the walk and each segment, the blocks of the mask (N, *Q) that have this cell."""
    cells = mask.flatten(1).t().contiguous().numpy()
    starts = range(0, len(mask), blocks_per_segment)
    return [[start + np.flatnonzero(cell[start : start + blocks_per_segment]) for start in starts] for cell in cells]


class Chosen(NamedTuple):
    """A coder, its name in the header, and the tables that reading it needs."""

    name: Coder
    coder: SymbolCoder
    tables: bytes = b""


def choose_coder(
    model: Model,
    codes: Tensor,
    mask: Tensor,
    *,
    share_of_all: float,
    batch_size: int,
    label: int | None,
    portable: bool,
) -> Chosen:
    """The coder with the smallest expected file, judged by the first blocks (n, *Q, K), this share of all blocks.

    The prior is a candidate only if the file need not be `portable` and keeps all codes of a cell.
    """
    prior, cells = model.prior, codes[mask]
    codebook_sizes = model.tokenizer.quantizer.codebook_sizes[: cells.shape[-1]]
    uniform, histogram = TableCoder.uniform(codebook_sizes), TableCoder.histogram(cells, codebook_sizes)
    tables = histogram.pack()
    # The part of the tables' cost that the first blocks have to pay.
    table_bits = 8 * len(tables) * share_of_all
    pays = histogram.bits(cells) + table_bits < uniform.bits(cells)
    if not portable and not isinstance(prior, Uniform) and codebook_sizes == prior.codebook_sizes:
        tried, tried_mask = codes[:_TRIED], mask[:_TRIED]
        labels = None if label is None else torch.full((len(tried),), label)
        with deterministic():
            nats = -float(prior.log_prob(tried, labels).sum())
        # The prior also predicts cells beyond the edges, which will cost nothing.
        bits = nats / log(2) * float(tried_mask.double().mean())
        known = tried[tried_mask]
        rival = histogram.bits(known) + table_bits * len(known) / len(cells) if pays else uniform.bits(known)
        if bits < rival:
            return Chosen("prior", PriorCoder(prior, batch_size=batch_size, label=label))
    return Chosen("histogram", histogram, tables) if pays else Chosen("uniform", uniform)


def coder_of(model: Model, header: Header, place: str, *, batch_size: int) -> SymbolCoder:
    """The coder that a file was written with. Raises DataError."""
    codebook_sizes = model.tokenizer.quantizer.codebook_sizes[: header.codes]
    match header.coder:
        case "uniform":
            return TableCoder.uniform(codebook_sizes)
        case "histogram":
            try:
                return TableCoder.unpack(header.tables, codebook_sizes)
            except DataError as error:
                raise DataError(f"{place} cannot be read: {error}; copy it again.") from error
        case "prior":
            if header.codes != len(model.prior.codebook_sizes):
                raise DataError(f"{place} lacks codes that its prior predicts; Codeword did not write it.")
            return PriorCoder(model.prior, batch_size=batch_size, label=header.label)


class ValueCoder:
    """Values of blocks of signal (N, C, *S) under the tokenizer's likelihood given their codes (N, *Q, K).

    Every block is a signal of its own, of the same size, so the decoder always sees one shape of batch: `batch_size`
    blocks. The mask (N, *S) is True inside the signal. All of one channel is coded before the next, or one sample after
    another where the likelihood is sequential.
    """

    def __init__(self, tokenizer: Tokenizer, *, batch_size: int, label: int | None) -> None:
        self.tokenizer, self.batch_size = tokenizer, batch_size
        self.label = None if label is None or not tokenizer.classes else torch.full((batch_size,), label)

    def write(
        self, writers: Sequence[Writer], codes: Tensor, x: Tensor, mask: Tensor, *, blocks_per_segment: int
    ) -> None:
        """Write blocks whose codes are written, the first `blocks_per_segment` to the first writer, and so on."""
        values, inside = padded(x, self.batch_size).flatten(2), mask.flatten(1)

        def put(logits: Tensor, i: int) -> Tensor:
            channel, places = self._step(i)
            taken = values[:, channel, places]
            for writer, blocks in zip(writers, _segments(len(mask), blocks_per_segment), strict=True):
                here = inside[blocks, places]
                writer.write(taken[blocks][here].numpy().astype(np.int32), probabilities(logits[blocks][here]))
            return taken

        self._walk(codes, put)

    def read(self, readers: Sequence[Reader], codes: Tensor, mask: Tensor, *, blocks_per_segment: int) -> Tensor:
        """Read the values (N, C, *S) int64 that `write` wrote. Raises DataError."""
        inside = mask.flatten(1)

        def get(logits: Tensor, i: int) -> Tensor:
            _, places = self._step(i)
            taken = torch.zeros(logits.shape[:2], dtype=torch.int64)
            for reader, blocks in zip(readers, _segments(len(mask), blocks_per_segment), strict=True):
                here = inside[blocks, places]
                symbols = reader.read(probabilities(logits[blocks][here]))
                taken[blocks][here] = torch.from_numpy(symbols.astype(np.int64))
            return taken

        return self._walk(codes, get)[: len(mask)]

    def _step(self, i: int) -> tuple[int, slice]:
        """The channel and the places of step i of the walk."""
        return (0, slice(i, i + 1)) if self.tokenizer.likelihood.sequential else (i, slice(None))

    def _walk(self, codes: Tensor, choose: Choose) -> Tensor:
        with deterministic():
            features = self.tokenizer.features(padded(codes, self.batch_size), self.label)
            return self.tokenizer.likelihood.walk(features, choose)


def _segments(count: int, blocks_per_segment: int) -> list[slice]:
    """The blocks of each segment, out of `count`."""
    return [slice(start, min(start + blocks_per_segment, count)) for start in range(0, count, blocks_per_segment)]
