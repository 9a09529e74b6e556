"""How codes become bytes: under a table that any machine reads alike, or under the prior, by the walk that samples."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from codeword.codec.blocks import padded
from codeword.codec.range_coder import Reader, Table, Writer, probabilities
from codeword.coding.determinism import deterministic
from codeword.errors import DataError
from codeword.nn.walk import Choose
from codeword.priors import Prior, walk

_HIGHEST_WEIGHT = 65535


class SymbolCoder(ABC):
    """Codes of blocks (N, *Q, K) in and out of coders, `share` consecutive blocks to each.

    `inside` (N, *Q) tells which cells there are; the others are 0, cost nothing, and come back as 0. `codes` is K.
    """

    codes: int

    @abstractmethod
    def write(self, writers: Sequence[Writer], codes: Tensor, inside: Tensor, *, share: int) -> None:
        """Write blocks, the first `share` of them to the first writer, and so on."""

    @abstractmethod
    def read(self, readers: Sequence[Reader], inside: Tensor, *, share: int) -> Tensor:
        """Read what `write` wrote, (N, *Q, K) int64. Raises DataError."""


class TableCoder(SymbolCoder):
    """One table for each of the K codes of a cell: every weight an integer, so that any machine computes the same."""

    def __init__(self, weights: Sequence[np.ndarray]) -> None:
        self.weights, self.codes = tuple(weights), len(weights)
        self._tables = [Table(w.astype(np.float32)) for w in weights]

    @classmethod
    def uniform(cls, codebook_sizes: Sequence[int]) -> "TableCoder":
        """All codes alike."""
        return cls([np.ones(n, np.uint16) for n in codebook_sizes])

    @classmethod
    def histogram(cls, codes: Tensor, codebook_sizes: Sequence[int]) -> "TableCoder":
        """As often as in codes (n, K), plus one for those that are yet to come."""
        weights = []
        for k, n in enumerate(codebook_sizes):
            counts = 1 + torch.bincount(codes[:, k], minlength=n).double()
            scaled = (counts * (_HIGHEST_WEIGHT / counts.max())).round().clamp(min=1)
            weights.append(scaled.numpy().astype(np.uint16))
        return cls(weights)

    @classmethod
    def unpack(cls, content: bytes, codebook_sizes: Sequence[int]) -> "TableCoder":
        """From what `pack` made. Raises DataError."""
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
            raise DataError("its tables call a codeword impossible")
        return cls(weights)

    def pack(self) -> bytes:
        """All weights, deflated."""
        return zlib.compress(np.concatenate(self.weights).astype("<u2").tobytes(), 9)

    def bits(self, codes: Tensor) -> float:
        """What codes (n, K) cost."""
        total = 0.0
        for k, w in enumerate(self.weights):
            total -= float(np.log2(w / w.sum(dtype=np.float64))[codes[:, k].numpy()].sum())
        return total

    def write(self, writers: Sequence[Writer], codes: Tensor, inside: Tensor, *, share: int) -> None:
        for n, writer in enumerate(writers):
            shared = slice(n * share, (n + 1) * share)
            symbols = codes[shared][inside[shared]].numpy().astype(np.int32)
            for k, table in enumerate(self._tables):
                table.write(writer, np.ascontiguousarray(symbols[:, k]))

    def read(self, readers: Sequence[Reader], inside: Tensor, *, share: int) -> Tensor:
        codes = torch.zeros(*inside.shape, len(self._tables), dtype=torch.int64)
        for n, reader in enumerate(readers):
            shared = slice(n * share, (n + 1) * share)
            count = int(inside[shared].sum())
            columns = [table.read(reader, count) for table in self._tables]
            codes[shared][inside[shared]] = torch.from_numpy(np.stack(columns, -1).astype(np.int64))
        return codes


class PriorCoder(SymbolCoder):
    """Every symbol under the prior's probabilities given all before it in its block: one walk for `lanes` blocks.

    The walk has `lanes` lanes even where there are fewer blocks, because the numbers that a network gives depend, in
    their last bit, on the shape of the batch; and it runs in one thread, for the same reason.
    """

    def __init__(self, prior: Prior, *, lanes: int, label: int | None) -> None:
        self.prior, self.lanes, self.codes = prior, lanes, len(prior.codebook_sizes)
        self.label = None if label is None or not prior.classes else torch.full((lanes,), label)

    def write(self, writers: Sequence[Writer], codes: Tensor, inside: Tensor, *, share: int) -> None:
        symbols = padded(codes, self.lanes).view(self.lanes, -1)
        steps = iter(_steps(inside, share, len(self.prior.codebook_sizes)))

        def put(logits: Tensor, i: int) -> Tensor:
            _, shares = next(steps)
            rows, taken = probabilities(logits), symbols[:, i]
            written = taken.numpy().astype(np.int32)
            for writer, lanes in zip(writers, shares, strict=True):
                writer.write(written[lanes], rows[lanes])
            return taken

        self._walk(put, tuple(inside.shape[1:]))

    def read(self, readers: Sequence[Reader], inside: Tensor, *, share: int) -> Tensor:
        steps = iter(_steps(inside, share, len(self.prior.codebook_sizes)))

        def get(logits: Tensor, i: int) -> Tensor:
            _, shares = next(steps)
            rows, taken = probabilities(logits), np.zeros(self.lanes, np.int64)
            for reader, lanes in zip(readers, shares, strict=True):
                taken[lanes] = reader.read(rows[lanes])
            return torch.from_numpy(taken)

        return self._walk(get, tuple(inside.shape[1:]))[: len(inside)]

    def _walk(self, choose: Choose, block: tuple[int, ...]) -> Tensor:
        with deterministic():
            return walk(self.prior, self.lanes, choose, label=self.label, grid=block)


def _steps(inside: Tensor, share: int, codes: int) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Symbol after symbol of a walk: its number, and for each share of the blocks (N, *Q) the lanes where it is."""
    cells = inside.flatten(1).t().contiguous().numpy()
    starts = range(0, len(inside), share)
    for cell, present in enumerate(cells):
        shares = [start + np.flatnonzero(present[start : start + share]) for start in starts]
        for k in range(codes):
            yield cell * codes + k, shares
