"""Frontends (analysis, before the encoder) and heads (synthesis, after the decoder).

A frontend gives the encoder frames of a signal (B, C, *S); a head turns the decoder's frames into features at the
signal's own resolution. `hop` is the number of samples in a frame, `reach` the number of samples beyond its own hop on
which a frame depends (infinite if it depends on the whole recording).
"""

from collections.abc import Callable
from functools import partial
from math import inf

import torch
from torch import Tensor, nn

from codeword.config import FrontendConfig, HeadConfig, HoldConfig, ISTFTConfig, LogMelConfig, SamplesConfig
from codeword.spectra.cepstra import standardised
from codeword.spectra.products import Magnitudes, Synthesis
from codeword.spectra.stft import LOG_MEL_CENTRE, LOG_MEL_SPREAD, LOUDEST, LogMel, istft


class Edge(nn.Module):
    """Base of frontends and heads."""

    def use_products(self) -> None:
        """Compute Fourier transforms as products with fixed bases, which every program for networks has."""


class Samples(Edge):
    """The identity, as a frontend and as a head."""

    hop, reach = 1, 0.0

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return x


class LogMelFrontend(Edge):
    """Waveforms (B, 1, T) in [-1/2, 1/2] to scaled log-mel frames (B, mels, T / hop)."""

    def __init__(self, config: LogMelConfig, sample_rate: int) -> None:
        super().__init__()
        self.hop, self.channels, self.normalise = config.hop, config.mels, config.normalise
        self.reach = inf if config.normalise else float(config.n_fft)
        self.log_mel = LogMel(sample_rate, config.n_fft, config.hop, config.mels)

    def forward(self, x: Tensor) -> Tensor:
        mels: Tensor = self.log_mel(2 * x[:, 0])
        if self.normalise:
            return standardised(mels)
        return (mels - LOG_MEL_CENTRE) / LOG_MEL_SPREAD

    def use_products(self) -> None:
        self.log_mel.transform = Magnitudes(self.log_mel.n_fft, self.hop)


class ISTFTHead(Edge):
    """Log magnitudes and phases (B, n_fft + 2, N) to waveforms (B, 1, N * hop) (Siuzdak 2023, Vocos, sec. 3.2)."""

    def __init__(self, config: ISTFTConfig) -> None:
        super().__init__()
        self.hop, self.channels, self.n_fft = config.hop, config.n_fft + 2, config.n_fft
        self.reach = float(config.n_fft)
        self.synthesis: Callable[[Tensor, Tensor], Tensor] = partial(_istft, n_fft=config.n_fft, hop=config.hop)

    def forward(self, frames: Tensor) -> Tensor:
        with torch.autocast(frames.device.type, enabled=False):
            bins = self.n_fft // 2 + 1
            magnitude, phase = frames[:, :bins].float().clamp(max=LOUDEST).exp(), frames[:, bins:].float()
            # Not `torch.polar`, which computes one number at a time on a CPU.
            return self.synthesis(magnitude * phase.cos(), magnitude * phase.sin()).unsqueeze(1)

    def use_products(self) -> None:
        self.synthesis = Synthesis(self.n_fft, self.hop)


class Hold(Edge):
    """Frames (B, F, *N) to features (B, F, *N * hop), each repeated along every axis."""

    reach = 0.0

    def __init__(self, config: HoldConfig, features: int) -> None:
        super().__init__()
        self.hop, self.channels = config.hop, features

    def forward(self, frames: Tensor) -> Tensor:
        for axis in range(2, frames.ndim):
            frames = frames.repeat_interleave(self.hop, axis)
        return frames


def _istft(real: Tensor, imaginary: Tensor, *, n_fft: int, hop: int) -> Tensor:
    return istft(torch.complex(real, imaginary), n_fft, hop)


def build_frontend(config: FrontendConfig, *, channels: int, sample_rate: int | None) -> Samples | LogMelFrontend:
    """The frontend of `config` for signals of `channels`; its own `channels` are the input channels of the encoder."""
    match config:
        case SamplesConfig():
            return Samples(channels)
        case LogMelConfig():
            assert sample_rate is not None
            return LogMelFrontend(config, sample_rate)


def build_head(config: HeadConfig, *, features: int) -> Samples | ISTFTHead | Hold:
    """The head of `config` with `features` output channels; its `channels` are the output channels of the decoder."""
    match config:
        case SamplesConfig():
            return Samples(features)
        case ISTFTConfig():
            assert features == 1
            return ISTFTHead(config)
        case HoldConfig():
            return Hold(config, features)
