"""Codeword: discrete codes of images and audio.

    >>> import codeword
    >>> run = codeword.train("demo-images", "runs/demo")
    >>> codes = run.tokenizer().encode(images)
    >>> codeword.evaluate(run)["metrics"]["total_bpd"]["value"]

Everything here is imported when it is first used, so that `import codeword` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codeword.codec import Codec
    from codeword.config import Recipe, load_recipe
    from codeword.errors import CodewordError
    from codeword.evaluation import evaluate
    from codeword.evaluation.report.page import report
    from codeword.model import Model
    from codeword.priors import Prior, build_prior, load_prior, walk
    from codeword.tokenizer import Tokenizer
    from codeword.training import Run, train

__version__ = "0.1.0"

_PLACES = {
    "Codec": "codeword.codec",
    "CodewordError": "codeword.errors",
    "Model": "codeword.model",
    "Prior": "codeword.priors",
    "Recipe": "codeword.config",
    "Run": "codeword.training",
    "Tokenizer": "codeword.tokenizer",
    "build_prior": "codeword.priors",
    "evaluate": "codeword.evaluation",
    "load_prior": "codeword.priors",
    "load_recipe": "codeword.config",
    "report": "codeword.evaluation.report.page",
    "train": "codeword.training",
    "walk": "codeword.priors",
}

__all__ = [
    "Codec",
    "CodewordError",
    "Model",
    "Prior",
    "Recipe",
    "Run",
    "Tokenizer",
    "build_prior",
    "evaluate",
    "load_prior",
    "load_recipe",
    "report",
    "train",
    "walk",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'codeword' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
