"""Commands on many files at a time: compress, reconstruct, encode to codes, decode.

A file that cannot be used becomes a failure in the outcome, and the command continues with the other files.
"""

from codeword.files.coded import DecodeOptions, convert, decode, decode_files, encode, encode_files, read, reconstruct
from codeword.files.compressed import compress, decompress, describe_compressed
from codeword.files.paths import Outcome, Targets, check_format, check_outputs, class_number, media_files

__all__ = [
    "DecodeOptions",
    "Outcome",
    "Targets",
    "check_format",
    "check_outputs",
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
