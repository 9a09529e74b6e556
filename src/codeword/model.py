"""A tokenizer together with the prior over its codes: what samples, compresses and travels."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from codeword.config import FittedPriorConfig, UniformPriorConfig
from codeword.errors import ModelError
from codeword.priors import Prior, build_prior, load_prior
from codeword.store import CONFIG_FILE, WEIGHTS_FILE, locate, staged, upload, write_atomically
from codeword.tokenizer import Tokenizer

TOKENIZER, PRIOR = "tokenizer", "prior"
CARD_FILE = "README.md"

_FILES = tuple(f"{part}{name}" for part in ("", f"{PRIOR}/") for name in (CONFIG_FILE, WEIGHTS_FILE))


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
        folder = locate(place, _FILES)
        own = folder / TOKENIZER if (folder / TOKENIZER / CONFIG_FILE).is_file() else folder
        tokenizer = Tokenizer.from_pretrained(own)
        if (folder / PRIOR / CONFIG_FILE).is_file():
            return cls(tokenizer, load_prior(folder / PRIOR))
        return cls(tokenizer, uniform(tokenizer))

    def save_pretrained(self, folder: str | Path, *, compact: bool = False, card: str | None = None) -> None:
        """Write the tokenizer into `folder`, the prior into `prior/` there, and the `card` into its README.md.

        `compact` takes a quarter of the space, by rounding large tensors to 8 bits a number: what is loaded again
        codes and decodes a little differently, and has another fingerprint.

        Raises:
            CodewordError: the folder cannot be written.
        """
        with staged(Path(folder)) as staging:
            self.tokenizer.save_pretrained(staging, compact=compact)
            self.prior.save_pretrained(staging / PRIOR, compact=compact)
            if card is not None:
                write_atomically(staging / CARD_FILE, card.encode())

    def push_to_hub(self, repo: str, *, private: bool = False, compact: bool = False, card: str | None = None) -> str:
        """Upload what `save_pretrained` writes to the Hugging Face Hub as `owner/name`; returns its address.

        Raises:
            CodewordError: the Hub does not take it.
        """
        return upload(lambda folder: self.save_pretrained(folder, compact=compact, card=card), repo, private=private)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, as hex digits, of both parts' fingerprints."""
        return hashlib.sha256(f"{self.tokenizer.fingerprint()} {self.prior.fingerprint()}".encode()).hexdigest()


def uniform(tokenizer: Tokenizer) -> Prior:
    """The prior that stands where none was trained."""
    grid = (1,) * tokenizer.config.ndim
    return build_prior(
        FittedPriorConfig(architecture=UniformPriorConfig(), grid=grid, levels=tokenizer.quantizer.levels)
    )
