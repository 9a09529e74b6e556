"""Where data sets lie."""

import os
from pathlib import Path


def data_root(root: Path | None) -> Path:
    """The given folder, else the environment variable `CODEWORD_DATA`, else `~/.cache/codeword`."""
    return Path(root or os.environ.get("CODEWORD_DATA") or "~/.cache/codeword").expanduser()
