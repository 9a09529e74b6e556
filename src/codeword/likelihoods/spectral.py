"""Audio trained by spectral distances; a fitted Gaussian gives the bits."""

from torch import Tensor

from codeword.config import SpectralConfig
from codeword.errors import UnsupportedError
from codeword.likelihoods.gaussian import Gaussian
from codeword.spectra.losses import SpectralLoss
from codeword.spectra.stft import LogMel


class Spectral(Gaussian):
    """The features are the waveform (B, 1, T) in [-1/2, 1/2].

    Training minimises the `SpectralLoss`; the scale is fitted to the waveform's error as in `Gaussian`. The bits are
    therefore valid but many: inaudible phases cost as much as audible content.
    """

    def __init__(self, config: SpectralConfig, *, channels: int, values: int, sample_rate: int) -> None:
        super().__init__(channels, values)
        self.spectral = SpectralLoss(config, sample_rate)

    def errors(self, features: Tensor, x: Tensor) -> Tensor:
        raise UnsupportedError(
            "A spectral likelihood compares whole spectra, not samples, so refine cannot try codes; leave refine out."
        )

    def log_mels(self, features: Tensor, mel: LogMel) -> Tensor:
        log_mels: Tensor = mel(2 * features[:, 0].float())
        return log_mels

    def loss(self, features: Tensor, x: Tensor) -> Tensor:
        signal = self.centred(x)
        distance: Tensor = self.spectral(2 * features[:, 0].float(), 2 * signal[:, 0])
        return distance + self.fit_scale(features, signal)
