"""Range coding of symbols under any probabilities, by `constriction`: within 0.01 % of the ideal size."""

from collections.abc import Callable

import constriction
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codeword.errors import DataError

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
