"""Encoders and decoders."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from codeword.config.base import Config, Depth, HopSamples, Kernel, Mels, Stride, Width, WindowSamples, check_overlap


class ConvTrunkConfig(Config):
    """The VQ-VAE conv trunk of van den Oord et al. 2017 as in Sonnet's example.

    Strided convs, a stack of ReLU-3x3-ReLU-1x1, transposed convs.
    """

    kind: Literal["conv"] = "conv"
    width: Annotated[int, Field(ge=2, le=8192)] = 128
    residual_width: Width = 32
    residual_blocks: Depth = 2
    strides: Annotated[tuple[Stride, ...], Field(min_length=1, max_length=8)] = (2, 2)


class ResidualTrunkConfig(Config):
    """Pre-activation residual blocks at every resolution; one more width than strides adds that of the signal."""

    kind: Literal["residual"] = "residual"
    widths: Annotated[tuple[Width, ...], Field(min_length=1, max_length=9)] = (64, 128, 128)
    encoder_blocks: Annotated[tuple[Depth, ...], Field(min_length=1, max_length=9)] = (1, 2, 2)
    decoder_blocks: Annotated[tuple[Depth, ...], Field(min_length=1, max_length=9)] = (2, 2, 2)
    strides: Annotated[tuple[Stride, ...], Field(max_length=8)] = (2, 2)

    @model_validator(mode="after")
    def _one_width_a_resolution(self) -> Self:
        resolutions = len(self.widths)
        if resolutions - len(self.strides) not in (0, 1):
            raise ValueError(
                f"widths needs as many values as strides, {len(self.strides)}, or one more for the resolution of the "
                f"signal, not {resolutions}"
            )
        for name in ("encoder_blocks", "decoder_blocks"):
            if len(getattr(self, name)) != resolutions:
                raise ValueError(
                    f"{name} needs {resolutions} values, as many as widths, not {len(getattr(self, name))}"
                )
        return self


class ConvNeXtTrunkConfig(Config):
    """ConvNeXt blocks (Liu et al. 2022), after the strides: the encoder's coarse, the decoder's at full resolution."""

    kind: Literal["convnext"] = "convnext"
    width: Width = 256
    hidden: Width = 768
    kernel: Kernel = 7
    encoder_blocks: Depth = 4
    decoder_blocks: Depth = 6
    strides: Annotated[tuple[Stride, ...], Field(max_length=8)] = (2,)


class IdentityTrunkConfig(Config):
    """No trunk: the signal is a grid of tokens that another tokenizer made, and its values are the codes."""

    kind: Literal["identity"] = "identity"

    @property
    def strides(self) -> tuple[int, ...]:
        return ()


TrunkConfig = Annotated[
    ConvTrunkConfig | ResidualTrunkConfig | ConvNeXtTrunkConfig | IdentityTrunkConfig, Field(discriminator="kind")
]


class SamplesConfig(Config):
    """No frontend or head: the trunk works on the signal itself."""

    kind: Literal["samples"] = "samples"


class LogMelConfig(Config):
    """Analysis: the logarithm of a mel spectrogram, one frame every `hop` samples."""

    kind: Literal["log-mel"] = "log-mel"
    n_fft: WindowSamples = 1024
    hop: HopSamples = 160
    mels: Mels = 80
    normalise: bool = False
    """Normalise each band over the whole recording, which removes loudness and microphone but rules out streaming."""

    @model_validator(mode="after")
    def _few_windows_overlap(self) -> Self:
        check_overlap(self.n_fft, self.hop)
        return self


class ISTFTConfig(Config):
    """Synthesis: magnitudes and phases of frames to a waveform, by an inverse short-time Fourier transform."""

    kind: Literal["istft"] = "istft"
    n_fft: WindowSamples = 640
    hop: HopSamples = 160

    @model_validator(mode="after")
    def _windows_overlap(self) -> Self:
        if self.n_fft % 2 or self.n_fft < 2 * self.hop or (self.n_fft - self.hop) % 2:
            raise ValueError(
                f"n_fft must be even, at least twice hop and differ from it by an even number; try {4 * self.hop}"
            )
        check_overlap(self.n_fft, self.hop)
        return self


class HoldConfig(Config):
    """Each frame's features are repeated for `hop` samples, as conditioning of an autoregressive decoder."""

    kind: Literal["hold"] = "hold"
    hop: HopSamples = 160


FrontendConfig = Annotated[SamplesConfig | LogMelConfig, Field(discriminator="kind")]
HeadConfig = Annotated[SamplesConfig | ISTFTConfig | HoldConfig, Field(discriminator="kind")]
