"""The file of a pair: its header and checks, without the models that its payload needs.

    magic    8 bytes, different from those of files of one medium
    CRC-32   of all that follows (4)
    length   of the header (2)
    header   a MessagePack array, the fields of `PairHeader`
    payload  the range-coded codes of the first medium and then of the second, up to the end of the file

Numbers are little-endian. Both grids are those of training, so that no size in a file decides how much is computed.
"""

import struct
import zlib
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from codeword.codec.format import FINGERPRINT_BYTES, PAIR_MAGIC
from codeword.errors import DataError

_CRC, _LENGTH = struct.Struct("<I"), struct.Struct("<H")
MAX_PAIR_BYTES = 1 << 24
"""Largest file of a pair that is read."""

_Name = Annotated[str, Meta(max_length=4096, pattern=r"^[^\x00/]+$")]
Size = Annotated[tuple[Annotated[int, Meta(ge=1, le=1 << 24)], ...], Meta(min_length=1, max_length=3)]


class PairHeader(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The beginning of the model's fingerprint, and the names and sizes *S of both signals."""

    fingerprint: Annotated[bytes, Meta(min_length=FINGERPRINT_BYTES, max_length=FINGERPRINT_BYTES)]
    names: tuple[_Name, _Name]
    sizes: tuple[Size, Size]


def pack_pair(header: PairHeader, payload: bytes) -> bytes:
    """The file of a pair."""
    packed = msgspec.msgpack.encode(header)
    content = _LENGTH.pack(len(packed)) + packed + payload
    return PAIR_MAGIC + _CRC.pack(zlib.crc32(content)) + content


def unpack_pair(content: bytes, name: str) -> tuple[PairHeader, bytes]:
    """The header and the payload. Raises DataError."""
    start = len(PAIR_MAGIC) + _CRC.size
    body = content[start:]
    if not content.startswith(PAIR_MAGIC):
        raise DataError(f"{name} is no file of a pair; decompress it without the run of pairs.")
    complete = _LENGTH.size <= len(body) and len(content) <= MAX_PAIR_BYTES
    if not complete or _CRC.unpack_from(content, len(PAIR_MAGIC))[0] != zlib.crc32(body):
        raise DataError(f"{name} is damaged; copy it again.")
    end = _LENGTH.size + _LENGTH.unpack_from(body)[0]
    try:
        return msgspec.msgpack.decode(body[_LENGTH.size : end], type=PairHeader), body[end:]
    except msgspec.MsgspecError as error:
        raise DataError(f"{name} has no valid header ({error}); copy it again.") from error
