"""Real files: entropy-coded codes in a container that another machine can read back."""

from codeword.codec.codec import Codec, Found, Wishes, Written
from codeword.codec.format import Container, Entry, Header
from codeword.codec.pieces import Signal

__all__ = ["Codec", "Container", "Entry", "Found", "Header", "Signal", "Wishes", "Written"]
