"""The folder of the files that an earlier Codeword wrote."""

from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden"
