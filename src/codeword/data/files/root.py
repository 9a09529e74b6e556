"""The folders of data sets and of caches."""

import os
from pathlib import Path


def data_root(root: Path | None) -> Path:
    """The given folder, else the environment variable `CODEWORD_DATA`, else `~/.cache/codeword`."""
    return Path(root or os.environ.get("CODEWORD_DATA") or cache_folder()).expanduser()


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/codeword`, by default `~/.cache/codeword`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "codeword"
