"""Distances between the spectra of two waveforms, at several resolutions."""

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from codeword.config import SpectralConfig
from codeword.spectra.stft import LogMel, magnitudes


class SpectralLoss(nn.Module):
    """Multi-resolution STFT loss (Yamamoto et al. 2020, eq. 3-6) and log-mel distance, averaged over windows.

    For each window: spectral convergence, the relative error of the magnitudes; the mean absolute difference of
    their logarithms; and that of their log-mels, each with its weight.
    """

    def __init__(self, config: SpectralConfig, sample_rate: int) -> None:
        super().__init__()
        self.config = config
        self.mels = nn.ModuleList(
            LogMel(sample_rate, n, n // 4, bands) for n, bands in zip(config.windows, config.bands, strict=True)
        )

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Waveforms and targets (B, T) in [-1, 1] to the loss ()."""
        # Half precision would lose the quiet bands.
        with torch.autocast(waveform.device.type, enabled=False):
            total = torch.zeros((), device=waveform.device)
            for mel in cast(list[LogMel], self.mels):
                total = total + self._distance(mel, *(magnitudes(x, mel.n_fft, mel.hop) for x in (waveform, target)))
        return total / len(self.mels)

    def _distance(self, mel: LogMel, found: Tensor, wanted: Tensor) -> Tensor:
        """The sum of the distances that have a weight, of magnitudes at one resolution."""
        config, total = self.config, torch.zeros((), device=found.device)
        if config.convergence_weight:
            norm = partial(torch.linalg.vector_norm, dim=(1, 2))
            convergence = norm(found - wanted) / norm(wanted)
            total = total + config.convergence_weight * convergence.mean()
        if config.log_weight:
            total = total + config.log_weight * (found.log() - wanted.log()).abs().mean()
        if config.energy_weight:
            levels = [x.square().flatten(1).sum(1).log() / 2 for x in (found, wanted)]
            total = total + config.energy_weight * (levels[0] - levels[1]).abs().mean()
        if config.mel_weight:
            mels = (mel.of_magnitude(found) - mel.of_magnitude(wanted)).abs().mean()
            total = total + config.mel_weight * mels
        return total


def log_mel_distance(reconstruction: Tensor, original: Tensor, *, sample_rate: int) -> float:
    """Mean absolute difference of the log-mel magnitudes of two waveforms (T,), in nepers (1 Np is 8.7 dB).

    80 bands, natural logarithm, floor 1e-5, windows of 64 ms every 10 ms.
    """
    if not original.numel():
        return 0.0
    mel = LogMel(sample_rate, 2 * round(0.032 * sample_rate), round(0.01 * sample_rate), 80)
    return float((mel(reconstruction[None]) - mel(original[None])).abs().mean())
