"""MP3 files without a header that gives their length.

Libsndfile then takes the bytes of the first frame for those of all, tags included. If the others have fewer, it claims
samples that are not there; if they have more, it leaves out the end of the sound.
"""

import mmap
import struct
from pathlib import Path

# Of MPEG 1, and of MPEG 2 and 2.5; layer III.
_KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320), (*range(0, 65, 8), *range(80, 161, 16))
_RATES = (44_100, 48_000, 32_000)
_LENGTH_TAGS = (b"Xing", b"Info", b"VBRI")


def mp3_samples(path: Path) -> int:
    """The number of samples in the frames of an MP3 file; 0 if its first frame gives its length, as in most files.

    It is also 0 for a file that holds other bytes between its frames.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        position = samples = 0
        if content[:3] == b"ID3":  # The size has 7 bits in each byte.
            position = 10 + sum(byte << shift for byte, shift in zip(content[6:10], (21, 14, 7, 0), strict=True))
        first = content[position : position + 200]
        if any(tag in first for tag in _LENGTH_TAGS):
            return 0
        while position + 4 <= len(content):
            (word,) = struct.unpack_from(">I", content, position)
            version, layer, bits, rate = word >> 19 & 3, word >> 17 & 3, word >> 12 & 15, word >> 10 & 3
            if word >> 21 != 0x7FF or version == 1 or layer != 1 or bits in (0, 15) or rate == 3:
                return samples * (content[position : position + 3] in (b"TAG", b"APE"))
            older = version != 3
            samples += 576 if older else 1152
            hertz = _RATES[rate] >> (2 if version == 0 else older)
            position += (72_000 if older else 144_000) * _KBITS[older][bits] // hertz + (word >> 9 & 1)
        return samples
