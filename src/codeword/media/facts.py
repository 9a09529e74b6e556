"""Facts about media that need no torch, so that a compressed file is described without it."""

AXES = {1: ("samples",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""Names of the axes of a signal, by its rank."""

MAX_PIXELS = 64_000_000
"""Largest image that is read. It is more than most cameras have. As RGB these pixels are 192 MB, so several threads can
decode at the same time."""
