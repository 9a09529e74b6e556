"""Distances of a reconstructed waveform from the original that need no trained model.

Both waveforms are float (T,) in [-1, 1] of equal length. Every result is finite, also for silence and for T = 0.
"""

from functools import lru_cache

import torch
from torch import Tensor

from codeword.config import SpectralConfig
from codeword.spectra.losses import SpectralLoss

MAX_SI_SDR_DB = 100.0

# Added to both powers of a ratio: about the power of 16-bit rounding noise (8e-11).
_SILENCE_POWER = 1e-10
_FULL_SCALE = 32767 / 32768


def stft_distance(reconstruction: Tensor, original: Tensor, *, sample_rate: int) -> float:
    """Spectral convergence plus mean absolute difference of log magnitudes in nepers, averaged over three windows.

    Yamamoto et al. 2020 (Parallel WaveGAN), eq. 3-6, with windows of 512, 1024 and 2048 samples. The convergence is
    a relative error: it dominates if the original is silent and the reconstruction is not.
    """
    if not original.numel():
        return 0.0
    return float(_stft_loss(sample_rate)(reconstruction[None].float(), original[None].float()))


def si_sdr_db(reconstruction: Tensor, original: Tensor) -> float:
    """Scale-invariant signal-to-distortion ratio in dB of zero-mean signals (Le Roux et al. 2019, eq. 3), within +-100.

    It depends on phases: a decoder trained on spectra scores low even if it sounds good. The version of torchmetrics
    is not used, because it gives a silent reconstruction 0 dB.
    """
    if not original.numel():
        return MAX_SI_SDR_DB
    estimate, target = (x.double() - x.double().mean() for x in (reconstruction, original))
    scaled = (estimate @ target) / (target @ target).clamp(min=1e-20) * target
    signal, distortion = scaled.square().sum(), (estimate - scaled).square().sum()
    if signal == 0:
        return -MAX_SI_SDR_DB if distortion > 0 or target.any() else MAX_SI_SDR_DB
    ratio = 10 * torch.log10(signal / distortion.clamp(min=1e-30))
    return float(ratio.clamp(-MAX_SI_SDR_DB, MAX_SI_SDR_DB))


def energy_ratio(reconstruction: Tensor, original: Tensor) -> float:
    """Power of the reconstruction divided by the power of the original; 1 if both are silent."""
    power, reference = (_power(x) + _SILENCE_POWER for x in (reconstruction, original))
    return power / reference


def clipped_samples(reconstruction: Tensor) -> int:
    """Number of samples at or beyond full scale of 16 bits."""
    return int((reconstruction.abs() >= _FULL_SCALE).sum())


def waveform_mse(reconstruction: Tensor, original: Tensor) -> float:
    """Mean squared error of samples. It hardly reflects how speech sounds; compare it with `silence_mse`."""
    return _power(reconstruction.double() - original.double())


def silence_mse(original: Tensor) -> float:
    """The `waveform_mse` of a silent reconstruction, which is the mean power of the original."""
    return _power(original)


def _power(wave: Tensor) -> float:
    """Mean square of the samples; 0 if there are none."""
    return float(wave.double().square().mean()) if wave.numel() else 0.0


@lru_cache(maxsize=4)
def _stft_loss(sample_rate: int) -> SpectralLoss:
    return SpectralLoss(SpectralConfig(windows=(512, 1024, 2048), mel_weight=0), sample_rate)
