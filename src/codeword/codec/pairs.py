"""Codes of pairs to files and back: those of one medium, and those of the other under the prior given the first."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.codec.coders import PriorCoder, Reader, Writer
from codeword.codec.format import FINGERPRINT_BYTES
from codeword.codec.pair_format import PairHeader, Size, pack_pair, unpack_pair
from codeword.errors import DataError, ModelError
from codeword.priors import PairPrior
from codeword.tokenizer import Tokenizer


@dataclass(frozen=True)
class DecodedPair:
    """The header of a file, and the codes (*G, K) and (*H, L) in it."""

    header: PairHeader
    codes: tuple[Tensor, Tensor]


class PairCodec:
    """Pairs of codes to bytes and back, with the prior of pairs in exact arithmetic."""

    def __init__(self, prior: PairPrior, tokenizers: tuple[Tokenizer, Tokenizer]) -> None:
        self.exact = prior.exact()
        parts = (prior.fingerprint, *(tokenizer.fingerprint for tokenizer in tokenizers))
        self.fingerprint = hashlib.sha256(" ".join(parts).encode()).digest()[:FINGERPRINT_BYTES]

    @torch.no_grad()
    def compress(self, codes: tuple[Tensor, Tensor], names: tuple[str, str], sizes: tuple[Size, Size]) -> bytes:
        """Codes (*G, K) and (*H, L) on the grids of training, with the names and sizes of the signals, to a file."""
        return pack_pair(PairHeader(self.fingerprint, names, sizes), self.payload(codes))

    @torch.no_grad()
    def payload(self, codes: tuple[Tensor, Tensor]) -> bytes:
        """The range-coded codes (*G, K) and (*H, L)."""
        writer, first, second = Writer(), codes[0][None], codes[1][None]
        for prior, own in ((self.exact.parts[0], first), (self.exact.given(0, first), second)):
            PriorCoder(prior, label=None).write([(slice(0, 1), writer)], own, torch.ones(own.shape[:-1]).bool())
        return writer.content()

    @torch.no_grad()
    def decompress(self, content: bytes, name: str) -> DecodedPair:
        """The pair in the bytes of a file; `name` is the file in messages.

        Raises:
            DataError: the file is damaged, or is not that of a pair.
            ModelError: the file was made with another model.
        """
        header, payload = unpack_pair(content, name)
        if header.fingerprint != self.fingerprint:
            raise ModelError(
                f"{name} was made with the model {header.fingerprint.hex()}, and this is {self.fingerprint.hex()}; "
                f"give the run of pairs that it was made with."
            )
        reader = Reader(payload)
        try:
            first = self._read(0, None, reader)
            second = self._read(1, first, reader)
        except DataError as error:
            raise DataError(f"{name} cannot be decoded: {error}; copy it again.") from error
        return DecodedPair(header, (first[0], second[0]))

    def _read(self, medium: int, other: Tensor | None, reader: Reader) -> Tensor:
        prior = self.exact.parts[medium] if other is None else self.exact.given(1 - medium, other)
        mask = torch.ones(1, *prior.grid, dtype=torch.bool)
        return PriorCoder(prior, label=None).read([(slice(0, 1), reader)], mask)
