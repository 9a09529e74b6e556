"""The signal itself, given its codes: what makes a file lossless."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from codeword.codec.blocks import padded
from codeword.codec.range_coder import Reader, Writer, probabilities
from codeword.coding.determinism import deterministic
from codeword.nn.walk import Choose
from codeword.tokenizer import Tokenizer


class ValueCoder:
    """The numbers of blocks of signal (N, C, *S) under the tokenizer's likelihood given their codes (N, *Q, K).

    Every block is a signal of its own, of the same size, so that the decoder sees one shape of batch, `lanes` of them.
    `inside` (N, *S) tells which places there are. All of one channel is coded before the next, or sample after sample
    where the likelihood is sequential.
    """

    def __init__(self, tokenizer: Tokenizer, *, lanes: int, label: int | None) -> None:
        self.tokenizer, self.lanes = tokenizer, lanes
        self.label = None if label is None or not tokenizer.classes else torch.full((lanes,), label)

    def write(self, writers: Sequence[Writer], codes: Tensor, x: Tensor, inside: Tensor, *, share: int) -> None:
        """Write blocks whose codes were written, the first `share` of them to the first writer, and so on."""
        values = padded(x, self.lanes).flatten(2)
        turns = self._turns(inside)

        def put(logits: Tensor, i: int) -> Tensor:
            channel, places = next(turns)
            taken = values[:, channel, places]
            for n, writer in enumerate(writers):
                lanes = slice(n * share, min((n + 1) * share, len(inside)))
                present = inside.flatten(1)[lanes, places]
                writer.write(taken[lanes][present].numpy().astype(np.int32), probabilities(logits[lanes][present]))
            return taken

        self._walk(codes, put)

    def read(self, readers: Sequence[Reader], codes: Tensor, inside: Tensor, *, share: int) -> Tensor:
        """Read what `write` wrote, (N, C, *S) int64. Raises DataError."""
        turns = self._turns(inside)

        def get(logits: Tensor, i: int) -> Tensor:
            _, places = next(turns)
            taken = torch.zeros(logits.shape[:2], dtype=torch.int64)
            for n, reader in enumerate(readers):
                lanes = slice(n * share, min((n + 1) * share, len(inside)))
                present = inside.flatten(1)[lanes, places]
                symbols = reader.read(probabilities(logits[lanes][present]))
                taken[lanes][present] = torch.from_numpy(symbols.astype(np.int64))
            return taken

        return self._walk(codes, get)[: len(inside)]

    def _turns(self, inside: Tensor) -> Iterator[tuple[int, slice]]:
        """What `choose` is asked for, in order: the channel and the places."""
        if self.tokenizer.likelihood.sequential:
            yield from ((0, slice(t, t + 1)) for t in range(inside[0].numel()))
        else:
            yield from ((channel, slice(None)) for channel in range(self.tokenizer.config.channels))

    def _walk(self, codes: Tensor, choose: Choose) -> Tensor:
        with deterministic():
            features = self.tokenizer.features(padded(codes, self.lanes), self.label)
            return self.tokenizer.likelihood.walk(features, choose)
