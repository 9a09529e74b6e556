"""Real files: entropy-coded codes in a container that another machine can read back."""

from codeword.codec.codec import Codec, CompressOptions, Found, Written
from codeword.codec.format import Container, Entry, Header
from codeword.codec.pieces import Signal

__all__ = ["Codec", "CompressOptions", "Container", "Entry", "Found", "Header", "Signal", "Written"]
