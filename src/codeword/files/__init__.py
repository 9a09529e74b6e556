"""Files of images and recordings: compressed, reconstructed, encoded to codes and decoded again, many at a time.

A file that cannot be used is named in the outcome, and the work continues with the others.
"""

from codeword.files.coded import DecodeOptions, convert, decode, decode_files, encode, encode_files, read, reconstruct
from codeword.files.compressed import compress, decompress, describe_compressed
from codeword.files.places import Outcome, Targets, check_format, class_number, media_files

__all__ = [
    "DecodeOptions",
    "Outcome",
    "Targets",
    "check_format",
    "class_number",
    "compress",
    "convert",
    "decode",
    "decode_files",
    "decompress",
    "describe_compressed",
    "encode",
    "encode_files",
    "media_files",
    "read",
    "reconstruct",
]
