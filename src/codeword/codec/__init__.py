"""Compressed files: the range-coded codes of signals."""

from codeword.codec.codec import Codec, CompressOptions, DecodedSignal, Progress, UnreadableSignal, Written
from codeword.codec.format import Container, Entry, Header
from codeword.codec.layout import Signal

__all__ = [
    "Codec",
    "CompressOptions",
    "Container",
    "DecodedSignal",
    "Entry",
    "Header",
    "Progress",
    "Signal",
    "UnreadableSignal",
    "Written",
]
