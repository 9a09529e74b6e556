"""Tokenizers and their likelihoods."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from codeword.config.base import Config, Dilations, NonNegative, Width
from codeword.config.quantizer import QuantizerConfig, VectorQuantizerConfig
from codeword.config.trunk import ConvTrunkConfig, FrontendConfig, HeadConfig, SamplesConfig, TrunkConfig


class GaussianConfig(Config):
    """Trained by squared error; its scale is fitted, and integrated over each integer, for honest bits."""

    kind: Literal["gaussian"] = "gaussian"


class CategoricalConfig(Config):
    """One softmax over all values for each channel, as in the VQ-VAE paper."""

    kind: Literal["categorical"] = "categorical"


class LogisticMixtureConfig(Config):
    """Discretised logistic mixture with channel coupling (Salimans et al. 2017)."""

    kind: Literal["logistic-mixture"] = "logistic-mixture"
    components: Annotated[int, Field(ge=1, le=64)] = 5


class SpectralConfig(Config):
    """Audio trained by how its spectra differ, at several resolutions; its scale is fitted as for `gaussian`."""

    kind: Literal["spectral"] = "spectral"
    windows: Annotated[tuple[Annotated[int, Field(ge=16, le=8192)], ...], Field(min_length=1, max_length=16)] = (
        256,
        512,
        1024,
    )
    """Window lengths of the short-time Fourier transforms, in samples; each moves on by a quarter of itself."""
    mels: Annotated[int, Field(ge=4, le=512)] = 80
    mel_weight: NonNegative = 1.0


class SpectrogramConfig(Config):
    """Audio decoded to log-mel frames, which the Griffin-Lim algorithm makes heard; trained by their absolute error."""

    kind: Literal["spectrogram"] = "spectrogram"
    n_fft: Annotated[int, Field(ge=16, le=8192)] = 640
    hop: Annotated[int, Field(ge=1, le=4096)] = 160
    mels: Annotated[int, Field(ge=4, le=512)] = 80
    iterations: Annotated[int, Field(ge=0, le=1000)] = 32


class WaveNetDecoderConfig(Config):
    """An autoregressive decoder: each sample's distribution given all before it and the features of the codes."""

    kind: Literal["wavenet"] = "wavenet"
    dilations: Dilations = (1, 2, 4, 8, 16, 32, 64, 128, 256) * 2
    width: Width = 64
    skip_width: Width = 128
    features: Width = 64
    """How many feature channels of the decoder before it condition each sample."""


LikelihoodConfig = Annotated[
    GaussianConfig
    | CategoricalConfig
    | LogisticMixtureConfig
    | SpectralConfig
    | SpectrogramConfig
    | WaveNetDecoderConfig,
    Field(discriminator="kind"),
]


class TokenizerConfig(Config):
    """Encoder, quantizer, decoder and likelihood over integer signals in [0, values)."""

    ndim: Literal[1, 2] = 2
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
    """Tell the decoder the class (the speaker), so that the codes need not hold it."""
    label_dropout: Annotated[float, Field(gt=0, le=1)] = 0.25
    """How often a training signal hides its class from a conditional decoder: what decoding strangers needs."""
    classes: tuple[str, ...] = ()
    """Names of the classes a conditional decoder knows; training fills them in from the data."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        audio = [f"tokenizer.{name}" for name in ("frontend", "head") if getattr(self, name).kind != "samples"]
        audio += ["tokenizer.likelihood"] if isinstance(self.likelihood, SpectralConfig | SpectrogramConfig) else []
        if audio and (self.ndim, self.channels, self.sample_rate is None) != (1, 1, False):
            raise ValueError(f"{', '.join(audio)} is for audio: set ndim = 1, channels = 1 and a sample_rate")
        if isinstance(self.likelihood, WaveNetDecoderConfig) and (
            (self.ndim, self.channels) != (1, 1) or self.values > 1024
        ):
            raise ValueError("a wavenet likelihood is for one channel at ndim 1 of few values: 256 is mu-law")
        into = getattr(self.frontend, "hop", 1)
        out = getattr(self.head, "hop", 1) * getattr(self.likelihood, "hop", 1)
        if into != out:
            raise ValueError(
                f"frontend takes frames of {into} samples, but head and likelihood make them of {out}; "
                f"give them one hop"
            )
        return self
