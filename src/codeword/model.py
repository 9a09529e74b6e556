"""A tokenizer together with the prior over its codes, for sampling, compression and sharing."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from codeword.config import PriorModelConfig, UniformPriorConfig
from codeword.errors import ModelError, command
from codeword.priors import Prior, build_prior, load_prior, make_exact
from codeword.store import (
    CONFIG_FILE,
    RECIPE_FILE,
    WEIGHTS_FILE,
    locate,
    read_json,
    staged,
    upload,
    write_atomically,
    write_json,
)
from codeword.tokenizer import Tokenizer

TOKENIZER, PRIOR = "tokenizer", "prior"
CARD_FILE = "README.md"
ALIASES_FILE = "aliases.json"

_FILES = (ALIASES_FILE, *(f"{part}{name}" for part in ("", f"{PRIOR}/") for name in (CONFIG_FILE, WEIGHTS_FILE)))


@dataclass(frozen=True)
class Model:
    """A tokenizer and a prior p(codes | label) of its codes; `Uniform` if none was trained.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from codeword.config import ConvTrunkConfig, TokenizerConfig
        >>> tokenizer = Tokenizer(TokenizerConfig(trunk=ConvTrunkConfig(width=4))).eval()
        >>> model = Model(tokenizer, uniform(tokenizer))
        >>> with TemporaryDirectory() as folder:
        ...     model.save_pretrained(folder)
        ...     Model.load(folder).fingerprint == model.fingerprint
        True
    """

    tokenizer: Tokenizer
    prior: Prior
    aliases: tuple[str, ...] = ()
    """Fingerprints of the model in earlier formats; compressed files from that time name it by them."""

    def __post_init__(self) -> None:
        ours, theirs = self.tokenizer.quantizer.codebook_sizes, self.prior.codebook_sizes
        if ours != theirs or self.tokenizer.config.ndim != len(self.prior.grid):
            raise ModelError(
                f"The prior is for codebooks of {list(theirs)} codewords on {len(self.prior.grid)} axes, but this "
                f"tokenizer has {list(ours)} on {self.tokenizer.config.ndim}; give the prior trained over its codes."
            )

    def __repr__(self) -> str:
        prior = type(self.prior).__name__
        return f"Model({self.tokenizer.summary}, {prior} prior, fingerprint {self.fingerprint[:8]})"

    @classmethod
    def load(cls, place: str | Path) -> "Model":
        """Load from a run, a model folder, or a Hugging Face Hub repository, in evaluation mode on the CPU.

        A run holds `tokenizer/` and `prior/`; a model folder is the folder of the tokenizer, with `prior/` inside.

        Raises:
            ModelError: there is no model at `place`, it cannot be read, or the training of the run is not finished.
        """
        folder = locate(place, _FILES)
        own = folder / TOKENIZER if (folder / TOKENIZER / CONFIG_FILE).is_file() else folder
        if own is folder and (folder / RECIPE_FILE).is_file():
            raise ModelError(f"{folder} has no trained tokenizer yet; run {command('resume', folder)} first.")
        if not (folder / PRIOR / CONFIG_FILE).is_file() and (folder / RECIPE_FILE).is_file():
            # The fingerprint of the finished model is another one, so it would not read what is written with this one.
            raise ModelError(
                f"{folder} has no trained prior yet; run {command('resume', folder)} first, or give {own} to use the "
                f"tokenizer alone."
            )
        tokenizer = Tokenizer.from_pretrained(own)
        prior = load_prior(folder / PRIOR) if (folder / PRIOR / CONFIG_FILE).is_file() else uniform(tokenizer)
        known = read_json(folder / ALIASES_FILE) if (folder / ALIASES_FILE).is_file() else {}
        if not isinstance(aliases := known.get("fingerprints", []), list):
            raise ModelError(f"{folder / ALIASES_FILE} holds no list of fingerprints; fetch or save the model again.")
        return cls(tokenizer, prior, tuple(map(str, aliases)))

    def is_named_by(self, fingerprint: str) -> bool:
        """True if this model's fingerprint, or one that it had before, begins with `fingerprint`."""
        return any(known.startswith(fingerprint) for known in (self.fingerprint, *self.aliases))

    def save_pretrained(self, folder: str | Path, *, compact: bool = False, card: str | None = None) -> None:
        """Write the tokenizer into `folder`, the prior into `prior/` there, and the `card` into its README.md.

        `compact` takes a quarter of the space, by rounding large tensors to 8 bits per number: the loaded model then
        gives slightly different codes and signals, and has another fingerprint.

        Raises:
            CodewordError: the folder cannot be written.
        """
        with staged(Path(folder)) as staging:
            self.tokenizer.save_pretrained(staging, compact=compact)
            self.prior.save_pretrained(staging / PRIOR, compact=compact)
            if self.aliases and not compact:
                write_json(staging / ALIASES_FILE, {"fingerprints": list(self.aliases)})
            if card is not None:
                write_atomically(staging / CARD_FILE, card.encode())

    def push_to_hub(self, repo: str, *, private: bool = False, compact: bool = False, card: str | None = None) -> str:
        """Upload the folder of `save_pretrained` to the Hugging Face Hub as `owner/name`; returns its address.

        Raises:
            CodewordError: the Hub refuses the upload.
        """
        return upload(lambda folder: self.save_pretrained(folder, compact=compact, card=card), repo, private=private)

    @property
    def draws(self) -> bool:
        """True if the model has a trained prior."""
        return any(True for _ in self.prior.parameters())

    @cached_property
    def exact_prior(self) -> Prior:
        """The prior in exact arithmetic, for compressed files. Raises UnsupportedError."""
        return make_exact(self.prior)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, as hex digits, of both parts' fingerprints."""
        return hashlib.sha256(f"{self.tokenizer.fingerprint} {self.prior.fingerprint}".encode()).hexdigest()


def uniform(tokenizer: Tokenizer) -> Prior:
    """The prior for a tokenizer without a trained one."""
    grid, sizes = (1,) * tokenizer.config.ndim, tokenizer.quantizer.codebook_sizes
    return build_prior(PriorModelConfig(architecture=UniformPriorConfig(), grid=grid, codebook_sizes=sizes))
