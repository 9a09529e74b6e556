"""A tokenizer together with the prior over its codes: what samples, compresses and travels."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from codeword.config import FittedPriorConfig, UniformPriorConfig
from codeword.errors import ModelError
from codeword.priors import Prior, build_prior, load_prior
from codeword.store import CONFIG_FILE
from codeword.tokenizer import Tokenizer

TOKENIZER, PRIOR = "tokenizer", "prior"


@dataclass(frozen=True)
class Model:
    """A tokenizer and a prior p(codes | label) of its codes; `Uniform` where none was trained."""

    tokenizer: Tokenizer
    prior: Prior

    def __post_init__(self) -> None:
        ours, theirs = self.tokenizer.quantizer.levels, self.prior.levels
        if ours != theirs or self.tokenizer.config.ndim != len(self.prior.grid):
            raise ModelError(
                f"The prior is for codes of levels {list(theirs)} on {len(self.prior.grid)} axes, but this tokenizer's "
                f"have {list(ours)} on {self.tokenizer.config.ndim}; give the prior that was trained over its codes."
            )

    @classmethod
    def load(cls, place: str | Path) -> "Model":
        """From a run, a model folder, or a repository of the Hugging Face Hub; ready to evaluate, on the CPU.

        A run holds `tokenizer/` and `prior/`; a model folder is the tokenizer's own, with `prior/` inside.

        Raises:
            ModelError: nothing is there, or it is no model of ours.
        """
        folder = Path(place)
        own = folder / TOKENIZER if (folder / TOKENIZER / CONFIG_FILE).is_file() else folder
        tokenizer = Tokenizer.from_pretrained(own if folder.is_dir() else place)
        if (folder / PRIOR / CONFIG_FILE).is_file():
            return cls(tokenizer, load_prior(folder / PRIOR))
        return cls(tokenizer, uniform(tokenizer))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, as hex digits, of both parts' fingerprints."""
        return hashlib.sha256(
            f"{self.tokenizer.fingerprint()} {self.prior.fingerprint()}".encode()
        ).hexdigest()


def uniform(tokenizer: Tokenizer) -> Prior:
    """The prior that stands where none was trained."""
    grid = (1,) * tokenizer.config.ndim
    return build_prior(
        FittedPriorConfig(architecture=UniformPriorConfig(), grid=grid, levels=tokenizer.quantizer.levels)
    )
