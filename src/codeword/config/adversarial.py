"""Adversarial training: discriminators that tell signals from their reconstructions."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from codeword.config.base import Config, Fraction, NonNegative, Positive, Width, WindowSamples
from codeword.config.tokenizer import GaussianConfig, SpectralConfig, TokenizerConfig

Period = Annotated[int, Field(ge=1, le=1024)]


class WaveformDiscriminatorConfig(Config):
    """Discriminators of waveforms: of spectrograms, one for each window, and of folded samples, one for each period."""

    kind: Literal["waveform"] = "waveform"
    windows: Annotated[tuple[WindowSamples, ...], Field(max_length=16)] = (256, 512, 1024)
    """Window lengths of the spectrograms, in samples, even; the hop is a quarter of the window."""
    window_width: Width = 16
    """Channels of the first layer; deeper layers have up to four times as many."""
    periods: Annotated[tuple[Period, ...], Field(max_length=16)] = (2, 3, 5, 7, 11)
    period_width: Width = 16
    """Channels of the first layer; deeper layers have up to eight times as many."""

    @model_validator(mode="after")
    def _there_is_one(self) -> Self:
        if not self.windows and not self.periods:
            raise ValueError("windows and periods are both empty; give at least one of them")
        if odd := [n for n in self.windows if n % 4]:
            raise ValueError(f"windows must be multiples of 4, not {odd[0]}")
        return self


class PatchDiscriminatorConfig(Config):
    """A discriminator of overlapping patches (Isola et al. 2017, sec. 3.2.2), for signals of any rank."""

    kind: Literal["patches"] = "patches"
    width: Width = 32
    """Channels of the first layer; each layer doubles them, up to eight times as many."""
    layers: Annotated[int, Field(ge=1, le=8)] = 3
    """Layers of stride 2."""


DiscriminatorConfig = Annotated[WaveformDiscriminatorConfig | PatchDiscriminatorConfig, Field(discriminator="kind")]


class AdversarialConfig(Config):
    """A second loss for the decoder: discriminators must not tell its signals from real ones.

    Weights are ratios of gradients: at the decoder's output, the gradient of each further loss is scaled to its weight
    times the norm of the gradient of the signal loss (Défossez et al. 2022, sec. 3.4).
    """

    discriminator: DiscriminatorConfig = PatchDiscriminatorConfig()
    loss: Literal["least-squares", "hinge"] = "least-squares"
    weight: NonNegative = 1.0
    """Weight of the loss by which the decoder deceives the discriminators."""
    matching_weight: NonNegative = 1.0
    """Weight of the distance between the discriminators' features of signal and reconstruction."""
    crop: PositiveInt | None = None
    """Values along each axis of the window, drawn for each batch, that discriminators see; None shows whole signals."""
    start: Annotated[int, Field(ge=0)] = 0
    """First step with discriminators; before it they cost nothing."""
    learning_rate: Positive = 3e-4
    """Of the discriminators; it comes down as that of `tokenizer_training` does."""
    decay: Fraction = 0.99
    """Of the moving averages of the gradients' norms."""

    @model_validator(mode="after")
    def _windows_are_large_enough(self) -> Self:
        smallest = 2**self.discriminator.layers if isinstance(self.discriminator, PatchDiscriminatorConfig) else 1
        if self.crop is not None and self.crop < smallest:
            raise ValueError(f"crop must be at least {smallest}, one patch of the discriminator, not {self.crop}")
        return self

    def needs(self, tokenizer: TokenizerConfig) -> Iterator[tuple[bool, str]]:
        """Conditions that the tokenizer must meet, each with its truth and its text."""
        likelihood = tokenizer.likelihood
        # Their features are the signal, on which gradients meet.
        yield (
            isinstance(likelihood, GaussianConfig | SpectralConfig),
            f"tokenizer.likelihood.kind = 'gaussian' or 'spectral', not {likelihood.kind!r}",
        )
        yield (
            not isinstance(self.discriminator, WaveformDiscriminatorConfig)
            or (tokenizer.ndim, tokenizer.channels) == (1, 1),
            f"an adversarial.discriminator of kind 'patches' for signals that are not audio, not "
            f"{self.discriminator.kind!r}",
        )
