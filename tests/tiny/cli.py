"""The command line, called in this process."""

from pathlib import Path

import pytest

from codeword.cli import main


def run_cli(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    return int(caught.value.code or 0)
