"""Compressed files: the codes of signals, range-coded, in a format that other machines can read."""

from codeword.codec.codec import Codec, CompressOptions, DecodedSignal, UnreadableSignal, Written
from codeword.codec.format import Container, Entry, Header
from codeword.codec.layout import Signal

__all__ = [
    "Codec",
    "CompressOptions",
    "Container",
    "DecodedSignal",
    "Entry",
    "Header",
    "Signal",
    "UnreadableSignal",
    "Written",
]
