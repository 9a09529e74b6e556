"""One experiment, whole."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from codeword.config.base import Config, Fraction, NonNegative, Positive
from codeword.config.data import DataConfig
from codeword.config.prior import PixelCNNConfig, PriorConfig
from codeword.config.tokenizer import TokenizerConfig


class TrainingConfig(Config):
    """How one part (tokenizer or prior) is trained."""

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
    valid_signals: PositiveInt = 2000
    """How many validation signals the regular evaluation reads."""


class EvaluationConfig(Config):
    """What the final evaluation reads."""

    batch_size: PositiveInt = 250
    limit: PositiveInt | None = None
    """At most this many signals of the split; None reads all."""
    baselines: bool = True
    """Measure speech beside k-means codes of log-mels at the same rates, where that codec has them."""


class Recipe(Config):
    """One experiment, whole: data, tokenizer, prior, training of both, evaluation."""

    name: str
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    data: DataConfig
    tokenizer: TokenizerConfig = TokenizerConfig()
    prior: PriorConfig = PixelCNNConfig()
    tokenizer_training: TrainingConfig = TrainingConfig()
    prior_training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
