"""The small models in the package, one for each medium, and the loading of models by name or path."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from codeword.errors import ModelError
from codeword.store import CONFIG_FILE, RECIPE_FILE

if TYPE_CHECKING:
    from codeword.model import Model

NAMES = ("images", "speech")
JUDGE = "cifar10-judge"
"""A classifier of CIFAR-10, by which evaluations judge pictures."""


def load(name_or_path: str | Path) -> "Model":
    """Load a model: one in the package by name, a run, a model folder, or `owner/name` on the Hugging Face Hub.

    Raises:
        ModelError: there is no such model.

    Example:
        >>> load("images").tokenizer.hop
        4
    """
    from codeword.model import Model  # Not above, because the names are needed without torch too.

    in_package = folder_of(name_or_path) != Path(name_or_path)
    return load_pretrained(str(name_or_path)) if in_package else Model.load(name_or_path)


def pretrained_folder(name: str) -> Path:
    """The folder of a model in the package."""
    return Path(__file__).parent / name


def folder_of(name_or_path: str | Path) -> Path:
    """The folder of the model in the package with this name, or the path if there is none, or a file or model there.

    A folder of pictures called images is no model.
    """
    path = Path(name_or_path)
    is_own = path.is_file() or (path / CONFIG_FILE).exists() or (path / RECIPE_FILE).exists()
    return pretrained_folder(str(path)) if str(path) in NAMES and not is_own else path


@cache
def load_pretrained(name: str) -> "Model":
    """Load a model in the package, one of `NAMES`, once per process. Raises ModelError."""
    if name not in NAMES:
        raise ModelError(f"No model {name!r} comes with this version of Codeword; there are {', '.join(NAMES)}.")
    return load(pretrained_folder(name))


def pretrained_with(fingerprint: bytes) -> "Model":
    """The model in the package whose fingerprint begins with these bytes. Raises ModelError."""
    for name in NAMES:
        model = load_pretrained(name)
        if model.is_named_by(fingerprint.hex()):
            return model
    raise ModelError(
        f"No model that comes with this version of Codeword has the fingerprint {fingerprint.hex()}; give the model "
        f"that the file was made with."
    )
