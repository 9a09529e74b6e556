"""Coder of the signal itself given its codes, for lossless files."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from codeword.codec.layout import padded
from codeword.codec.range_coder import Reader, Writer, probabilities
from codeword.coding import deterministic
from codeword.nn.walk import Choose
from codeword.tokenizer import Tokenizer


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
