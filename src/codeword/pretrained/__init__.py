"""The small models inside the package, one for each medium: what compresses where no other model is named."""

from functools import cache
from pathlib import Path

from codeword.errors import ModelError
from codeword.model import Model

NAMES = ("images", "speech")


def shipped_folder(name: str) -> Path:
    """The model folder of this name, for anything that takes one."""
    return Path(__file__).parent / name


@cache
def shipped_model(name: str) -> Model:
    """One of `NAMES`. Raises ModelError where the package lacks it."""
    return Model.load(shipped_folder(name))


def shipped_with(fingerprint: bytes) -> Model:
    """The shipped model whose fingerprint begins so. Raises ModelError."""
    for name in NAMES:
        model = shipped_model(name)
        if bytes.fromhex(model.fingerprint).startswith(fingerprint):
            return model
    raise ModelError(
        f"No model that comes with this version of Codeword has the fingerprint {fingerprint.hex()}; "
        f"give the one that the file was made with as --model."
    )
