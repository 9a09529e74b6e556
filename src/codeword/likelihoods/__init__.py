"""Likelihoods p(x | features) over integer signals."""

from codeword.config import (
    CategoricalConfig,
    GaussianConfig,
    IdentityLikelihoodConfig,
    InterleavedConfig,
    LikelihoodConfig,
    LogisticMixtureConfig,
    SpectralConfig,
    SpectrogramConfig,
    WaveNetDecoderConfig,
)
from codeword.likelihoods.base import Likelihood
from codeword.likelihoods.categorical import Categorical
from codeword.likelihoods.gaussian import Gaussian
from codeword.likelihoods.identity import Identity
from codeword.likelihoods.interleaved import Interleaved
from codeword.likelihoods.logistic_mixture import LogisticMixture
from codeword.likelihoods.spectral import Spectral
from codeword.likelihoods.spectrogram import Spectrogram
from codeword.likelihoods.wavenet import WaveNetDecoder

__all__ = ["Gaussian", "Likelihood", "WaveNetDecoder", "build_likelihood"]


def build_likelihood(
    config: LikelihoodConfig, *, channels: int, values: int, ndim: int = 1, sample_rate: int | None = None
) -> Likelihood:
    """Build the likelihood of a config for signals of `ndim` axes, with `channels` integers below `values`."""
    match config:
        case GaussianConfig():
            return Gaussian(channels, values)
        case CategoricalConfig():
            return Categorical(channels, values)
        case LogisticMixtureConfig():
            return LogisticMixture(channels, values, components=config.components)
        case InterleavedConfig():
            output = build_likelihood(config.output, channels=channels, values=values)
            return Interleaved(config, output, ndim=ndim)
        case IdentityLikelihoodConfig():
            return Identity(channels, values)
        case SpectralConfig():
            assert sample_rate is not None
            return Spectral(config, channels=channels, values=values, sample_rate=sample_rate)
        case SpectrogramConfig():
            assert sample_rate is not None
            return Spectrogram(config, channels=channels, values=values, sample_rate=sample_rate)
        case WaveNetDecoderConfig():
            return WaveNetDecoder(config, channels=channels, values=values)
