"""The layers in docs/design.md are those that import-linter holds."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_design_shows_the_layers_that_import_linter_checks() -> None:
    """A fenced block directly after "## Layers": one layer on each line, highest first, names separated by " | "."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    block = re.search(r"^## Layers[^\n]*\n\n```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert block is not None, 'docs/design.md needs a fenced block directly after the heading "## Layers"'
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    layers = [layer.replace("codeword.", "") for layer in contract["layers"]]
    assert [line.strip() for line in block[1].splitlines() if line.strip()] == layers
