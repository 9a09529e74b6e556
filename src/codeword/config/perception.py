"""Networks in whose features a reconstruction must resemble the signal."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from codeword.config.base import (
    Config,
    Depth,
    Fraction,
    HopSamples,
    Kernel,
    Mels,
    NonNegative,
    Width,
    WindowSamples,
    check_overlap,
)
from codeword.config.data import AudioConfig, DataConfig, ImagesConfig, SpokenDigitsConfig, SyntheticSpeechConfig
from codeword.config.tokenizer import SpectralConfig, SpectrogramConfig, TokenizerConfig
from codeword.config.trunk import FrontendConfig, SamplesConfig


class FeatureLossConfig(Config):
    """Fields of every loss in the features of a network, which is trained before the tokenizer.

    The distance between its features of the reconstruction and of the signal is a further loss of encoder and decoder:
    what the network does not need for its own task costs little.
    """

    weight: NonNegative = 1.0
    """Weight of the distance next to the signal loss."""
    start: Annotated[int, Field(ge=0)] = 0
    """First step with this loss, of the training in which the encoder learns."""


class PhonesConfig(FeatureLossConfig):
    """A network that names the phone of each log-mel frame, trained on aligned recordings."""

    kind: Literal["phones"] = "phones"
    width: Width = 160
    hidden: Width = 480
    blocks: Annotated[Depth, Field(ge=1)] = 5
    kernel: Kernel = 9
    n_fft: WindowSamples = 640
    hop: HopSamples = 160
    mels: Mels = 80

    @model_validator(mode="after")
    def _few_windows_overlap(self) -> Self:
        check_overlap(self.n_fft, self.hop)
        return self

    def needs(self, tokenizer: TokenizerConfig, data: DataConfig) -> Iterator[tuple[bool, str]]:
        """Conditions that the tokenizer and its data must meet, each with its truth and its text."""
        likelihood = tokenizer.likelihood
        yield isinstance(data, AudioConfig), f"recordings as data, not {data.kind!r}"
        yield tokenizer.values == 65536, f"tokenizer.values = 65536, not {tokenizer.values}"
        yield (
            isinstance(likelihood, SpectralConfig | SpectrogramConfig),
            f"tokenizer.likelihood.kind = 'spectral' or 'spectrogram', not {likelihood.kind!r}",
        )
        if isinstance(likelihood, SpectrogramConfig):
            frames = {name: getattr(likelihood, name) for name in ("n_fft", "hop", "mels")}
            same = all(getattr(self, name) == value for name, value in frames.items())
            yield same, "the same n_fft, hop and mels as tokenizer.likelihood"


class ClassesConfig(FeatureLossConfig):
    """A network that names the class of a signal, trained on data with classes."""

    kind: Literal["classes"] = "classes"
    # Left out while it is the default, also below, so that older networks keep their fingerprints.
    frontend: Annotated[FrontendConfig, Field(exclude_if=lambda chosen: chosen == SamplesConfig())] = SamplesConfig()
    """Analysis before the first layer: log-mel frames for recordings."""
    stem: Width = 24
    """Channels of the first layer."""
    widths: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)] = (32, 128, 128)
    """Channels of each block, which halves the resolution."""
    shift: Annotated[int, Field(ge=0)] = 4
    """Training signals are moved by up to this number of values along each axis."""
    label_smoothing: Fraction = 0.1
    """Probability that the target of training shares among all classes (Szegedy et al. 2016)."""

    def needs(self, tokenizer: TokenizerConfig, data: DataConfig) -> Iterator[tuple[bool, str]]:
        """Conditions that the tokenizer and its data must meet, each with its truth and its text."""
        has_classes = isinstance(data, ImagesConfig | SpokenDigitsConfig | SyntheticSpeechConfig)
        analysed = isinstance(self.frontend, SamplesConfig) or tokenizer.sample_rate is not None
        yield analysed, "recordings as data for its frontend, which has frames of log-mels"
        yield has_classes, f"images, spoken digits or synthetic speech as data, which have classes, not {data.kind!r}"


class PhoneNetworkConfig(Config):
    """A phone network and the names of its phones; the contents of its `config.json`."""

    architecture: PhonesConfig = PhonesConfig()
    sample_rate: PositiveInt = 16_000
    phones: Annotated[tuple[str, ...], Field(min_length=2, max_length=1024)]


class ClassifierConfig(Config):
    """A classifier of signals and the names of its classes; the contents of its `config.json`."""

    architecture: ClassesConfig = ClassesConfig()
    ndim: Literal[1, 2, 3] = 2
    channels: Annotated[int, Field(ge=1, le=64)] = 3
    values: Annotated[int, Field(ge=2, le=65536)] = 256
    sample_rate: Annotated[PositiveInt | None, Field(exclude_if=lambda rate: rate is None)] = None
    """Hz, of recordings."""
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=1 << 20)]


PerceptionConfig = Annotated[PhonesConfig | ClassesConfig, Field(discriminator="kind")]
