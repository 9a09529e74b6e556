"""The `config.json` of a model folder."""

import json
from pathlib import Path
from typing import Any

from codeword.config import Config, validate_json
from codeword.errors import ModelError, RecipeError
from codeword.store.files import CONFIG_FILE, read_json, write_atomically, write_json

FORMAT = 2
"""Number of the format of `config.json` and of the tensors' names; `codeword upgrade` converts format 1."""


_MODULE = "modeling_codeword"
AUTO_FIELDS: dict[str, Any] = {
    "model_type": "codeword",
    "auto_map": {"AutoConfig": f"{_MODULE}.CodewordConfig", "AutoModel": f"{_MODULE}.CodewordModel"},
}
"""Fields of a `config.json` by which `transformers.AutoModel` finds its classes; Codeword ignores them."""


def add_auto_model(folder: Path) -> None:
    """Let `AutoModel.from_pretrained(folder, trust_remote_code=True)` load the model in `folder`."""
    write_json(folder / CONFIG_FILE, read_json(folder / CONFIG_FILE) | AUTO_FIELDS)
    classes = "from codeword.transformers import CodewordConfig, CodewordModel\n"
    write_atomically(folder / f"{_MODULE}.py", b"# Needs codeword[transformers].\n" + classes.encode())


def read_config(folder: Path, config_class: type[Config]) -> Any:
    """Read and validate the `config.json` of a model folder. Raises ModelError."""
    path = folder / CONFIG_FILE
    tree = {name: value for name, value in read_json(path).items() if name not in AUTO_FIELDS}
    if (found := tree.pop("format", 1)) != FORMAT:
        way_out = "convert it with `codeword upgrade`" if found == 1 else "update Codeword"
        raise ModelError(f"{path} has format {found}, and this version of Codeword reads {FORMAT}; {way_out}.")
    try:
        return validate_json(config_class, json.dumps(tree), place=str(path))
    except RecipeError as error:
        raise ModelError(str(error)) from error
