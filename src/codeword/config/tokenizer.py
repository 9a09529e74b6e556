"""Tokenizers and their likelihoods."""

from math import prod
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from codeword.config.base import (
    Config,
    Depth,
    Dilations,
    HopSamples,
    Mels,
    NonNegative,
    Width,
    WindowSamples,
    check_overlap,
)
from codeword.config.quantizer import QuantizerConfig, VectorQuantizerConfig
from codeword.config.trunk import ConvTrunkConfig, FrontendConfig, HeadConfig, SamplesConfig, TrunkConfig

# No weight confirms these: every signal is padded to whole cells, and long ones are decoded with this context.
_MOST_VALUES_PER_CELL = 1 << 16
_MOST_REACH = 1 << 17


class GaussianConfig(Config):
    """Squared error, as a Gaussian of fitted scale that is integrated over each integer."""

    kind: Literal["gaussian"] = "gaussian"


class CategoricalConfig(Config):
    """One softmax over all values for each channel, as in the VQ-VAE paper."""

    kind: Literal["categorical"] = "categorical"


class LogisticMixtureConfig(Config):
    """Discretised logistic mixture with channel coupling (Salimans et al. 2017)."""

    kind: Literal["logistic-mixture"] = "logistic-mixture"
    components: Annotated[int, Field(ge=1, le=64)] = 5


class InterleavedConfig(Config):
    """Interleaved grids of values, each by the likelihood `output` given the codes and the grids before."""

    kind: Literal["interleaved"] = "interleaved"
    levels: Annotated[int, Field(ge=1, le=4)] = 2
    """Number of times that the grid of even places is split again; the coarsest has every 2^levels-th place."""
    width: Width = 64
    hidden: Width = 64
    """Width inside a residual block."""
    blocks: Depth = 2
    """Residual blocks of each grid."""
    features: Width = 16
    """Feature channels of the decoder that condition each value."""
    output: Annotated[CategoricalConfig | LogisticMixtureConfig, Field(discriminator="kind")] = LogisticMixtureConfig()


class SpectralConfig(Config):
    """Audio trained by spectral distances at several resolutions; the scale is fitted as for `gaussian`."""

    kind: Literal["spectral"] = "spectral"
    windows: Annotated[tuple[WindowSamples, ...], Field(min_length=1, max_length=16)] = (256, 512, 1024)
    """Window lengths of the short-time Fourier transforms, in samples; the hop is a quarter of the window."""
    mels: Mels | Annotated[tuple[Mels, ...], Field(min_length=1, max_length=16)] = 80
    """Bands of the mel distance for each window; a single number is for all, but at most a sixteenth of the window."""
    convergence_weight: NonNegative = 1.0
    """Weight of the relative error of the magnitudes, which loud bands decide."""
    log_weight: NonNegative = 1.0
    """Weight of the difference of log magnitudes."""
    mel_weight: NonNegative = 1.0
    """Weight of the difference of log-mels."""
    energy_weight: NonNegative = 0.0
    """Weight of the difference of loudness, in nepers; the other terms alone leave uncertain sounds too quiet."""

    @property
    def bands(self) -> tuple[int, ...]:
        """The number of mel bands at each window."""
        # A short window resolves fewer bands.
        return self.mels if isinstance(self.mels, tuple) else tuple(min(self.mels, n // 16) for n in self.windows)

    @model_validator(mode="after")
    def _mels_for_each_window(self) -> Self:
        if len(self.bands) != len(self.windows):
            raise ValueError(f"mels has {len(self.bands)} values; give one for each of the {len(self.windows)} windows")
        return self


class SpectrogramConfig(Config):
    """Audio decoded to log-mel frames, trained by their absolute error; phases are synthesised for the waveform."""

    kind: Literal["spectrogram"] = "spectrogram"
    n_fft: WindowSamples = 640
    hop: HopSamples = 160
    mels: Mels = 80
    iterations: Annotated[int, Field(ge=0, le=1000)] = 4
    """Of Griffin-Lim. More make the spectrogram more exact and speech less clear."""
    # Left out while 0, so that older models keep their fingerprints.
    energy_weight: Annotated[NonNegative, Field(exclude_if=lambda weight: not weight)] = 0.0
    """Weight of the difference of loudness, in nepers; the error of the frames alone leaves uncertain sounds quiet."""
    output_gain_db: Annotated[float, Field(ge=-20, le=20, exclude_if=lambda gain: not gain)] = 0.0
    """Decibels added to the waveform. Griffin-Lim loses power, because no waveform has exactly the decoded magnitudes;
    choose the gain that makes the `energy_ratio` of validation data 1."""

    @model_validator(mode="after")
    def _windows_are_bounded(self) -> Self:
        check_overlap(self.n_fft, self.hop)
        if (reach := (self.iterations + 1) * self.n_fft) > _MOST_REACH:
            raise ValueError(f"iterations + 1 times n_fft is {reach}; at most {_MOST_REACH} samples are allowed")
        return self


class WaveNetDecoderConfig(Config):
    """An autoregressive decoder: the distribution of each sample given all samples before it and the codes."""

    kind: Literal["wavenet"] = "wavenet"
    dilations: Dilations = (1, 2, 4, 8, 16, 32, 64, 128, 256) * 2
    width: Width = 64
    skip_width: Width = 128
    features: Width = 64
    """Feature channels of the decoder that condition each sample."""


class IdentityLikelihoodConfig(Config):
    """The codes are the signal, so that it is certain given them."""

    kind: Literal["identity"] = "identity"


AudioLikelihoodConfig = SpectralConfig | SpectrogramConfig | WaveNetDecoderConfig
LikelihoodConfig = Annotated[
    GaussianConfig
    | CategoricalConfig
    | LogisticMixtureConfig
    | InterleavedConfig
    | IdentityLikelihoodConfig
    | AudioLikelihoodConfig,
    Field(discriminator="kind"),
]


class TokenizerConfig(Config):
    """Encoder, quantizer, decoder and likelihood over integer signals in [0, values)."""

    ndim: Literal[1, 2, 3] = 2
    channels: Annotated[int, Field(ge=1, le=64)] = 3
    values: Annotated[int, Field(ge=2, le=65536)] = 256
    sample_rate: Annotated[int, Field(ge=1000, le=192_000)] | None = None
    """Hz, for audio; its `values` are 65536 for linear 16-bit samples, 256 for mu-law."""
    frontend: FrontendConfig = SamplesConfig()
    trunk: TrunkConfig = ConvTrunkConfig()
    quantizer: QuantizerConfig = VectorQuantizerConfig()
    head: HeadConfig = SamplesConfig()
    likelihood: LikelihoodConfig = GaussianConfig()
    conditional: bool = False
    """Condition the decoder on the class (the speaker), so that the codes need not hold it."""
    label_dropout: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Fraction of training signals with the null class, for decoding signals of unknown classes."""
    classes: tuple[str, ...] = ()
    """Names of the classes of a conditional decoder; training takes them from the data."""

    @property
    def holds_tokens(self) -> bool:
        """True if the signals are grids of tokens of another tokenizer."""
        return self.trunk.kind == "identity"

    @property
    def hop(self) -> int:
        """Number of values per cell along each axis."""
        return int(getattr(self.frontend, "hop", 1)) * prod(self.trunk.strides)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        audio = [f"tokenizer.{name}" for name in ("frontend", "head") if getattr(self, name).kind != "samples"]
        audio += ["tokenizer.likelihood"] if isinstance(self.likelihood, SpectralConfig | SpectrogramConfig) else []
        if audio and (self.ndim, self.channels, self.sample_rate is None) != (1, 1, False):
            raise ValueError(f"{', '.join(audio)} is for audio: set ndim = 1, channels = 1 and a sample_rate")
        if isinstance(self.likelihood, WaveNetDecoderConfig) and (
            (self.ndim, self.channels) != (1, 1) or self.values > 1024
        ):
            raise ValueError("a wavenet likelihood needs ndim = 1, channels = 1 and at most 1024 values; 256 is mu-law")
        if isinstance(self.likelihood, InterleavedConfig) and self.hop % (step := 1 << self.likelihood.levels):
            raise ValueError(
                f"an interleaved likelihood of {self.likelihood.levels} levels needs cells of a multiple of {step} "
                f"values along each axis, not {self.hop}; change its levels, or trunk.strides"
            )
        if self.hop**self.ndim > _MOST_VALUES_PER_CELL:
            raise ValueError(
                f"trunk.strides and frontend.hop make cells of {self.hop} values along each of {self.ndim} axes; at "
                f"most {_MOST_VALUES_PER_CELL} values per cell are allowed"
            )
        if "identity" in (kinds := {self.trunk.kind, self.quantizer.kind, self.likelihood.kind}):
            sizes = getattr(self.quantizer, "codebook_sizes", ())
            if kinds != {"identity"} or len(sizes) != self.channels or set(sizes) != {self.values}:
                raise ValueError(
                    "tokens need trunk, quantizer and likelihood of kind 'identity', a codebook for each of the "
                    "channels, and codebook_sizes equal to values"
                )
        analysis = getattr(self.frontend, "hop", 1)
        synthesis = getattr(self.head, "hop", 1) * getattr(self.likelihood, "hop", 1)
        if analysis != synthesis:
            raise ValueError(
                f"frontend has frames of {analysis} samples, but head and likelihood have frames of {synthesis}; "
                f"give them one hop"
            )
        return self
