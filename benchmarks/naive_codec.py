"""Entropy coding as EnCodec publishes it, re-implemented from its description (Défossez et al. 2022, sec. 3.3).

As in github.com/facebookresearch/encodec: for each cell of each signal, one at a time, a step of the language model at
batch 1; for each symbol the probabilities, rounded to a multiple of 1e-8, become a cumulative table of integers below
2^24, none narrower than 2; an arithmetic coder on Python's integers narrows its range by that table, and writes one
bit at a time. The decoder finds the symbol by bisection of the table. None of it is slowed on purpose, and none of it
is tuned; the model's step is our cached walk.
"""

from math import ceil, floor

import torch
from torch import Tensor

from codeword.priors import Prior, walk

RANGE_BITS = 24
_NARROWEST = 2
_ROUNDED_TO = 1e-8


def integer_table(probabilities: Tensor) -> Tensor:
    """Probabilities (n,) to the end of the range of each symbol (n,) int64, out of 2^24."""
    total = 1 << RANGE_BITS
    rounded = torch.floor(probabilities / _ROUNDED_TO) * _ROUNDED_TO
    free = total - _NARROWEST * len(probabilities)
    return torch.cumsum((free * rounded).floor().long() + _NARROWEST, 0)


class _Range:
    """State of the coder: the integers from `low` to `high`, with `bits` bits that are not settled yet."""

    def __init__(self) -> None:
        self.low = self.high = self.bits = 0

    @property
    def needs_bits(self) -> bool:
        return self.high - self.low + 1 < 1 << RANGE_BITS

    def widen(self) -> None:
        self.low, self.high, self.bits = 2 * self.low, 2 * self.high + 1, self.bits + 1

    def part(self, ends: Tensor, symbol: int) -> tuple[int, int]:
        """The part of the range that belongs to the symbol, as its new `low` and `high`."""
        share = (self.high - self.low + 1) / (1 << RANGE_BITS)
        start = 0 if symbol == 0 else int(ends[symbol - 1].item())
        stop = int(ends[symbol].item()) - 1
        return self.low + ceil(start * share), self.low + floor(stop * share)

    def settled(self) -> list[int]:
        """Remove and return the leading bits that `low` and `high` share."""
        bits = []
        while self.bits and self.low >> (self.bits - 1) == self.high >> (self.bits - 1):
            self.bits -= 1
            bit = self.low >> self.bits
            self.low, self.high = self.low - (bit << self.bits), self.high - (bit << self.bits)
            bits.append(bit)
        return bits


class NaiveEncoder:
    """The arithmetic encoder: symbols to bits."""

    def __init__(self) -> None:
        self._range, self._bits = _Range(), list[int]()

    def push(self, symbol: int, ends: Tensor) -> None:
        while self._range.needs_bits:
            self._range.widen()
        self._range.low, self._range.high = self._range.part(ends, symbol)
        self._bits += self._range.settled()

    def content(self) -> bytes:
        """All bytes written; no symbol may be pushed afterwards."""
        last = [(self._range.low >> place) & 1 for place in reversed(range(self._range.bits))]
        bits = self._bits + last
        bits += [0] * (-len(bits) % 8)
        return bytes(
            sum(bit << place for place, bit in enumerate(reversed(bits[i : i + 8]))) for i in range(0, len(bits), 8)
        )


class NaiveDecoder:
    """The arithmetic decoder: bits to symbols."""

    def __init__(self, content: bytes) -> None:
        self._range, self._value = _Range(), 0
        self._coming = iter([(byte >> place) & 1 for byte in content for place in reversed(range(8))])

    def pull(self, ends: Tensor) -> int:
        while self._range.needs_bits:
            self._range.widen()
            self._value = 2 * self._value + next(self._coming, 0)
        first, last = 0, len(ends) - 1
        while True:
            assert first <= last
            symbol = (first + last) // 2
            low, high = self._range.part(ends, symbol)
            if self._value < low:
                last = symbol - 1
            elif self._value > high:
                first = symbol + 1
            else:
                break
        self._range.low, self._range.high = low, high
        self._range.settled()
        self._value &= (1 << self._range.bits) - 1
        return symbol


def naive_compress(prior: Prior, codes: Tensor) -> list[bytes]:
    """Codes (B, *G, K) to the bytes of each signal."""
    contents = []
    for one in codes:
        encoder, symbols = NaiveEncoder(), one.flatten().tolist()

        def put(logits: Tensor, i: int, encoder: NaiveEncoder = encoder, symbols: list[int] = symbols) -> Tensor:
            encoder.push(symbols[i], integer_table(torch.softmax(logits[0], -1)))
            return torch.tensor([symbols[i]])

        walk(prior, 1, put)
        contents.append(encoder.content())
    return contents


def naive_decompress(prior: Prior, contents: list[bytes]) -> Tensor:
    """Bytes of `naive_compress` back to codes (B, *G, K)."""
    signals = []
    for content in contents:
        decoder = NaiveDecoder(content)

        def get(logits: Tensor, i: int, decoder: NaiveDecoder = decoder) -> Tensor:
            return torch.tensor([decoder.pull(integer_table(torch.softmax(logits[0], -1)))])

        signals.append(walk(prior, 1, get))
    return torch.cat(signals)
