"""The small models in the package, one for each medium, and loading a model by name or place."""

from functools import cache
from pathlib import Path

from codeword.errors import ModelError
from codeword.model import Model

NAMES = ("images", "speech")


def load(place: str | Path) -> Model:
    """A model: the name of one in the package, a run, a model folder, or `owner/name` on the Hugging Face Hub.

    Raises:
        ModelError: there is no model at this place.

    Example:
        >>> load("images").tokenizer.hop
        4
    """
    return load_pretrained(str(place)) if str(place) in NAMES and not Path(place).exists() else Model.load(place)


def pretrained_folder(name: str) -> Path:
    """The folder of the model of this name."""
    return Path(__file__).parent / name


@cache
def load_pretrained(name: str) -> Model:
    """The model of this name, one of `NAMES`. Raises ModelError."""
    if name not in NAMES:
        raise ModelError(f"No model {name!r} comes with this version of Codeword; there are {', '.join(NAMES)}.")
    return Model.load(pretrained_folder(name))


def pretrained_with(fingerprint: bytes) -> Model:
    """The model in the package whose fingerprint begins with these bytes. Raises ModelError."""
    for name in NAMES:
        model = load_pretrained(name)
        if model.is_named_by(fingerprint.hex()):
            return model
    raise ModelError(
        f"No model that comes with this version of Codeword has the fingerprint {fingerprint.hex()}; give the model "
        f"that the file was made with."
    )
