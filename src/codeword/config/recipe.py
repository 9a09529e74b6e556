"""Recipes: one experiment each."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from codeword.config.adversarial import AdversarialConfig
from codeword.config.base import Config, Fraction, NonNegative, Positive
from codeword.config.data import MOST_CODES, DataConfig, PairsConfig
from codeword.config.perception import PerceptionConfig
from codeword.config.prior import LearnedPriorConfig, PixelCNNConfig, PriorConfig, TransformerConfig
from codeword.config.quantizer import GaussianLatentsConfig, NoCodesConfig
from codeword.config.start import StartConfig
from codeword.config.targets import TargetsConfig
from codeword.config.tokenizer import TokenizerConfig

MOST_TOKEN_VALUES = 65536
"""Number of values of a tokenizer of tokens that leaves the number to the data."""


class TrainingConfig(Config):
    """Training of one part (encoder, tokenizer or prior)."""

    steps: PositiveInt = 10_000
    batch_size: PositiveInt = 128
    learning_rate: Positive = 1e-3
    final_learning_rate: NonNegative = 0.0
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    weight_decay: NonNegative = 0.0
    betas: tuple[Fraction, Fraction] = (0.9, 0.99)
    clip_norm: NonNegative = 1.0
    """Largest gradient norm; 0 does not clip."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the averaged weights that are evaluated and saved; 0 keeps no average."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    compile: bool = False
    evaluate_every: PositiveInt = 1000
    checkpoint_every: PositiveInt = 500
    """Number of steps between checkpoints; where steps are slow, more come by time."""
    valid_signals: PositiveInt = 2000
    """Number of validation signals in the regular evaluation."""


class EvaluationConfig(Config):
    """Extent of the final evaluation."""

    batch_size: PositiveInt = 250
    limit: PositiveInt | None = None
    """At most this many signals of the split; None reads all."""
    baselines: bool = True
    """Also measure k-means codes of log-mels at the same rates, for speech."""
    judges: bool = True
    """Also measure with judges, networks that recognise classes, phones, voices and quality, and how well the codes
    predict classes and phones."""
    guidance: NonNegative = 2.0
    """The weight of the guidance under which signals are also drawn: of a class, or of pairs for the other medium."""


class Recipe(Config):
    """One experiment: data, tokenizer, prior, training of both, evaluation."""

    name: str
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    data: DataConfig
    start: StartConfig | None = None
    """The model that the training goes on from; None starts from random weights."""
    tokenizer: TokenizerConfig = TokenizerConfig()
    targets: TargetsConfig | None = None
    """Targets that the encoder learns before the decoder; None trains both together."""
    adversarial: AdversarialConfig | None = None
    """Discriminators against which the decoder is trained too; None trains it by its likelihood alone."""
    perception: PerceptionConfig | None = None
    """A network in whose features reconstructions must resemble the signals; None compares the signals alone."""
    prior: PriorConfig = PixelCNNConfig()
    perception_training: TrainingConfig = TrainingConfig()
    """Used if there is `perception`."""
    encoder_training: TrainingConfig = TrainingConfig()
    """Used if there are `targets`."""
    tokenizer_training: TrainingConfig = TrainingConfig()
    prior_training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    def with_values(self, values: int) -> Self:
        """The recipe for tokens that have `values` different ones; a smaller number than it names is not enough.

        Raises:
            ValueError: the tokenizer of the recipe has fewer.
        """
        given = self.tokenizer.values
        if given < values:
            raise ValueError(
                f"the data holds tokens up to {values - 1}, but tokenizer.values is {given}; set it and "
                f"tokenizer.quantizer.codebook_sizes to {values}, or leave them out"
            )
        values = values if given == MOST_TOKEN_VALUES else given
        tree = self.model_dump()
        tree["data"]["values"] = tree["tokenizer"]["values"] = values
        tree["tokenizer"]["quantizer"]["codebook_sizes"] = [values] * self.tokenizer.channels
        return type(self).model_validate(tree)

    @model_validator(mode="after")
    def _prior_has_codes(self) -> Self:
        quantizer = self.tokenizer.quantizer
        if isinstance(quantizer, GaussianLatentsConfig | NoCodesConfig) and isinstance(self.prior, LearnedPriorConfig):
            raise ValueError(
                f"a quantizer of kind {quantizer.kind!r} has no codes that a prior could learn; set "
                "prior = { kind = 'uniform' }"
            )
        return self

    @model_validator(mode="after")
    def _start_fits(self) -> Self:
        if self.start is None:
            return self
        if self.targets is not None and "tokenizer" in self.start.parts:
            raise ValueError(
                "the encoder of start.model would learn its targets again; leave targets out, or set "
                "start.parts = ['prior']"
            )
        if frozen := self.start.missing():
            raise ValueError(f"start.freeze has {frozen}, which start.parts leaves out; add it there")
        return self

    @property
    def pairs(self) -> PairsConfig | None:
        """The data, if it is pairs; the tokenizers are then those of the two recipes that it names."""
        return self.data if isinstance(self.data, PairsConfig) else None

    @model_validator(mode="after")
    def _pairs_have_a_transformer(self) -> Self:
        if self.pairs is not None and not isinstance(self.prior, TransformerConfig):
            raise ValueError("only a transformer is a prior of pairs; set prior.kind = 'transformer'")
        return self

    @model_validator(mode="after")
    def _targets_fit(self) -> Self:
        if self.targets is not None:
            _must_hold(self.targets.needs(self.tokenizer), "targets need", "targets")
        return self

    @model_validator(mode="after")
    def _perception_fits(self) -> Self:
        if self.perception is not None:
            _must_hold(self.perception.needs(self.tokenizer, self.data), "perception needs", "perception")
        return self

    @model_validator(mode="after")
    def _adversarial_training_fits(self) -> Self:
        if self.adversarial is not None:
            _must_hold(self.adversarial.needs(self.tokenizer), "adversarial training needs", "adversarial")
            if self.tokenizer_training.compile:
                raise ValueError("adversarial training cannot be compiled; set tokenizer_training.compile = false")
        return self


def _must_hold(conditions: Iterable[tuple[bool, str]], subject: str, field: str) -> None:
    """Raise ValueError for the first condition that is not true; `subject` begins its sentence."""
    for holds, needed in conditions:
        if not holds:
            raise ValueError(f"{subject} {needed}; change that, or leave {field} out")


def complete_tokenizer(tree: dict[str, Any]) -> dict[str, Any]:
    """A recipe as plain data; what one for tokens leaves out of the tokenizer is filled in from its data."""
    data, tokenizer = tree.get("data"), tree.get("tokenizer", {})
    if not isinstance(data, dict) or not isinstance(tokenizer, dict) or data.get("kind") != "tokens":
        return tree
    crop, codes = data.get("crop"), data.get("codes", 1)
    values = tokenizer.get("values") or data.get("values") or MOST_TOKEN_VALUES
    parts: dict[str, Any] = {part: {"kind": "identity"} for part in ("trunk", "quantizer", "likelihood")}
    tokenizer = parts | {"channels": codes, "values": values} | tokenizer
    if isinstance(crop, list):
        tokenizer = {"ndim": len(crop)} | tokenizer
    if isinstance(quantizer := tokenizer["quantizer"], dict) and isinstance(codes, int) and 0 < codes <= MOST_CODES:
        tokenizer["quantizer"] = {"codebook_sizes": [values] * codes} | quantizer
    return tree | {"tokenizer": tokenizer}
