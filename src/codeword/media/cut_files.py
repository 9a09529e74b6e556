"""Audio files that end too early.

Libsndfile reads most of them without an error, and its log, which names some of them, has room for 2,048 characters. So
the end of the sound is found here from the headers themselves.
"""

import re
import struct
from dataclasses import dataclass
from os import SEEK_END
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True)
class _Chunks:
    """A file format of chunks, each with an identifier and a size.

    Attributes:
        first: the position of the first chunk.
        header: the format of a chunk's identifier and size, as in `struct`.
        sound: the identifiers of the chunks that hold the samples or the sizes of their packets.
        align: the multiple of bytes at which the next chunk starts.
        counts_header: True if the size is that of the header too.
    """

    first: int
    header: str
    sound: tuple[bytes, ...] = (b"data",)
    align: int = 2
    counts_header: bool = False


_CHUNKS = {
    b"RIFF": _Chunks(12, "<4sI"),
    b"RIFX": _Chunks(12, ">4sI"),
    b"RF64": _Chunks(12, "<4sI"),
    b"FORM": _Chunks(12, ">4sI", (b"SSND", b"BODY")),
    b"caff": _Chunks(8, ">4sq", (b"data", b"pakt"), align=1),
    b"riff": _Chunks(40, "<16sq", (bytes.fromhex("64617461f3acd3118cd100c04f8edb8a"),), align=8, counts_header=True),
}
# Enough for every honest file; a forged one may hold millions of empty chunks.
_MOST_CHUNKS = 1000

_NIST_SAMPLES = re.compile(rb"^sample_count -i (\d+)", re.MULTILINE)
_OGG_PAGE = b"OggS\0"
_MOST_PAGE_BYTES = 27 + 255 + 255 * 255


def is_cut(path: Path, frames: int) -> bool:
    """True if an audio file, in which libsndfile finds `frames` frames, is shorter than its headers say.

    MP3 and FLAC are always False: their readers notice the missing samples.
    """
    with path.open("rb") as file:
        size = file.seek(0, SEEK_END)
        file.seek(0)
        match magic := file.read(4):
            case b"OggS":
                complete, _ = _ogg_end(file)
                return not complete
            case b"NIST":
                samples = _NIST_SAMPLES.search(file.read(1020))
                return samples is not None and int(samples[1]) > frames
            case b".snd" | b"dns.":
                if len(header := file.read(8)) < 8:
                    return True
                start, length = struct.unpack(">2I" if magic == b".snd" else "<2I", header)
                return not _is_unknown(length) and start + length > size
            case _ if magic in _CHUNKS:
                return _end_of_sound(file, _CHUNKS[magic], size) > size
    return False


def lacks_end(path: Path) -> bool:
    """True for an Ogg file of complete pages, the last of which is not marked as the last one of its stream."""
    with path.open("rb") as file:
        return file.read(4) == b"OggS" and not _ogg_end(file)[1]


def _end_of_sound(file: BinaryIO, chunks: _Chunks, size: int) -> int:
    """The position after the last byte of the samples, as the headers of the chunks claim; 0 if it is not known."""
    header, position, large, end = struct.Struct(chunks.header), chunks.first, 0, 0
    for _ in range(_MOST_CHUNKS):
        if position + header.size > size:
            break
        file.seek(position)
        content = file.read(header.size)
        name, length = header.unpack(content)
        if name == b"ds64":  # RF64: the sizes that do not fit into 32 bits.
            large = int.from_bytes(file.read(16)[8:], "little")
        if name in chunks.sound:
            length = large or length
        if length < 0 or (header.size == 8 and not large and _is_unknown(length)):
            break
        position += length + header.size * (not chunks.counts_header)
        if name in chunks.sound:
            end = position
        position += -position % chunks.align
    return end


def _is_unknown(length: int) -> bool:
    """True for a size near the largest of 31 or 32 bits: a program that writes to a pipe does not know the size."""
    return length & 0x7FFFFFFF >= 0x7FFFF000


def _ogg_end(file: BinaryIO) -> tuple[bool, bool]:
    """Two flags of the last page of an Ogg file: it is complete, and it is marked as the end of a stream."""
    size = file.seek(0, SEEK_END)
    file.seek(max(0, size - 2 * _MOST_PAGE_BYTES))
    content = file.read()
    if (start := content.rfind(_OGG_PAGE)) < 0:
        return True, True
    page = content[start:]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return False, False
    length = 27 + page[26] + sum(page[27 : 27 + page[26]])
    # Other bytes after the page, such as tags, are not of the stream; the first bytes of another page are.
    rest = page[length : length + len(_OGG_PAGE)]
    return len(page) >= length and (not rest or not _OGG_PAGE.startswith(rest)), bool(page[5] & 4)
