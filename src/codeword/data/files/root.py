"""Where data sets lie, and where what can be made again is kept."""

import os
from pathlib import Path


def data_root(root: Path | None) -> Path:
    """The given folder, else the environment variable `CODEWORD_DATA`, else `~/.cache/codeword`."""
    return Path(root or os.environ.get("CODEWORD_DATA") or cache_folder()).expanduser()


def cache_folder() -> Path:
    """`~/.cache/codeword`, or the like where `XDG_CACHE_HOME` is set."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "codeword"
