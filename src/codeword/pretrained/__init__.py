"""The small models inside the package, one for each medium: what compresses where no other model is named."""

from functools import cache
from pathlib import Path

from codeword.errors import ModelError
from codeword.model import Model

NAMES = ("images", "speech")


def pretrained_folder(name: str) -> Path:
    """The model folder of this name, for anything that takes one."""
    return Path(__file__).parent / name


@cache
def load_pretrained(name: str) -> Model:
    """One of `NAMES`. Raises ModelError where the package lacks it."""
    return Model.load(pretrained_folder(name))


def pretrained_with(fingerprint: bytes) -> Model:
    """The shipped model whose fingerprint begins so. Raises ModelError."""
    for name in NAMES:
        model = load_pretrained(name)
        if model.is_named_by(fingerprint.hex()):
            return model
    raise ModelError(
        f"No model that comes with this version of Codeword has the fingerprint {fingerprint.hex()}; "
        f"give the one that the file was made with as --model."
    )
