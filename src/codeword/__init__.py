"""Codeword: discrete codes of images and audio.

    >>> import codeword, torch
    >>> model = codeword.load("images")
    >>> codes = codeword.encode(model, torch.zeros(3, 60, 50, dtype=torch.uint8))
    >>> codes.shape
    torch.Size([15, 13, 1])
    >>> codeword.decode(model, codes, size=(60, 50)).shape
    torch.Size([3, 60, 50])

    run = codeword.train("demo-images", "runs/demo")
    codeword.evaluate(run).metrics["total_bpd"].value
    codeword.compress(["photo.jpg"], "photo.cw")
    codeword.decompress("photo.cw", "photo.png")

Everything here is imported when it is first used, so that `import codeword` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codeword.codec import Codec, CompressOptions
    from codeword.config import Recipe, load_recipe
    from codeword.errors import (
        CodewordError,
        DataError,
        ModelError,
        RecipeError,
        TrainingError,
        UnsupportedError,
        UsageError,
    )
    from codeword.evaluation import evaluate
    from codeword.evaluation.report.page import report
    from codeword.files import compress, decode, decompress, encode, read
    from codeword.model import Model
    from codeword.pretrained import load
    from codeword.priors import Prior, Sampler, build_prior, load_prior, walk
    from codeword.tokenizer import Tokenizer
    from codeword.training import Run, train

__version__ = "0.1.0"

_PLACES = {
    "codeword.codec": ("Codec", "CompressOptions"),
    "codeword.config": ("Recipe", "load_recipe"),
    "codeword.errors": (
        "CodewordError",
        "DataError",
        "ModelError",
        "RecipeError",
        "TrainingError",
        "UnsupportedError",
        "UsageError",
    ),
    "codeword.evaluation": ("evaluate",),
    "codeword.evaluation.report.page": ("report",),
    "codeword.files": ("compress", "decode", "decompress", "encode", "read"),
    "codeword.model": ("Model",),
    "codeword.pretrained": ("load",),
    "codeword.priors": ("Prior", "Sampler", "build_prior", "load_prior", "walk"),
    "codeword.tokenizer": ("Tokenizer",),
    "codeword.training": ("Run", "train"),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "Codec",
    "CodewordError",
    "CompressOptions",
    "DataError",
    "Model",
    "ModelError",
    "Prior",
    "Recipe",
    "RecipeError",
    "Run",
    "Sampler",
    "Tokenizer",
    "TrainingError",
    "UnsupportedError",
    "UsageError",
    "build_prior",
    "compress",
    "decode",
    "decompress",
    "encode",
    "evaluate",
    "load",
    "load_prior",
    "load_recipe",
    "read",
    "report",
    "train",
    "walk",
]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'codeword' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
