"""The `config.json` of a model folder."""

import json
from pathlib import Path
from typing import Any

from codeword.config import Config, validate_json
from codeword.errors import ModelError, RecipeError
from codeword.store.files import CONFIG_FILE, read_json

FORMAT = 2
"""Number of the format of `config.json` and of the tensors' names; `codeword upgrade` converts format 1."""


def read_config(folder: Path, config_class: type[Config]) -> Any:
    """Read and validate the `config.json` of a model folder. Raises ModelError."""
    path = folder / CONFIG_FILE
    tree = read_json(path)
    if (found := tree.pop("format", 1)) != FORMAT:
        way_out = "convert it with `codeword upgrade`" if found == 1 else "update Codeword"
        raise ModelError(f"{path} has format {found}, and this version of Codeword reads {FORMAT}; {way_out}.")
    try:
        return validate_json(config_class, json.dumps(tree), place=str(path))
    except RecipeError as error:
        raise ModelError(str(error)) from error
