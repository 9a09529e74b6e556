"""Files of pairs: the codes of one medium, and those of the other under the prior given the first.

    magic    8 bytes, different from those of files of one medium
    CRC-32   of all that follows (4)
    length   of the header (2)
    header   a MessagePack array, the fields of `PairHeader`
    payload  the range-coded codes of the first medium and then of the second, up to the end of the file

Numbers are little-endian. Both grids are those of training, so that no size in a file decides how much is computed.
"""

import hashlib
import struct
import zlib
from dataclasses import dataclass
from typing import Annotated

import msgspec
import torch
from msgspec import Meta, Struct
from torch import Tensor

from codeword.codec.coders import PriorCoder, Reader, Writer
from codeword.codec.format import FINGERPRINT_BYTES, PAIR_MAGIC
from codeword.errors import DataError, ModelError
from codeword.priors import PairPrior
from codeword.tokenizer import Tokenizer

_CRC, _LENGTH = struct.Struct("<I"), struct.Struct("<H")
MAX_BYTES = 1 << 24

_Name = Annotated[str, Meta(max_length=4096, pattern=r"^[^\x00/]+$")]
_Sizes = Annotated[tuple[Annotated[int, Meta(ge=1, le=1 << 24)], ...], Meta(min_length=1, max_length=3)]


class PairHeader(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The beginning of the model's fingerprint, and the names and sizes *S of both signals."""

    fingerprint: Annotated[bytes, Meta(min_length=FINGERPRINT_BYTES, max_length=FINGERPRINT_BYTES)]
    names: tuple[_Name, _Name]
    sizes: tuple[_Sizes, _Sizes]


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
    def compress(self, codes: tuple[Tensor, Tensor], names: tuple[str, str], sizes: tuple[_Sizes, _Sizes]) -> bytes:
        """Codes (*G, K) and (*H, L) on the grids of training, with the names and sizes of the signals, to a file."""
        header = msgspec.msgpack.encode(PairHeader(self.fingerprint, names, sizes))
        content = _LENGTH.pack(len(header)) + header + self.payload(codes)
        return PAIR_MAGIC + _CRC.pack(zlib.crc32(content)) + content

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
        header, payload = _opened(content, name)
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


def _opened(content: bytes, name: str) -> tuple[PairHeader, bytes]:
    """The header and the payload. Raises DataError."""
    start = len(PAIR_MAGIC) + _CRC.size
    body = content[start:]
    if not content.startswith(PAIR_MAGIC):
        raise DataError(f"{name} is no file of a pair; decompress it without the run of pairs.")
    complete = _LENGTH.size <= len(body) <= MAX_BYTES
    if not complete or _CRC.unpack_from(content, len(PAIR_MAGIC))[0] != zlib.crc32(body):
        raise DataError(f"{name} is damaged; copy it again.")
    end = _LENGTH.size + _LENGTH.unpack_from(body)[0]
    try:
        return msgspec.msgpack.decode(body[_LENGTH.size : end], type=PairHeader), body[end:]
    except msgspec.MsgspecError as error:
        raise DataError(f"{name} has no valid header ({error}); copy it again.") from error
