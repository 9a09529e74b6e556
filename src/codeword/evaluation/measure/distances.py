"""Distances of a reconstructed waveform from the original, without any model.

Waveforms are float (T,) in [-1, 1], both of one length. Every figure is finite for silence and for no samples at all.
"""

from functools import lru_cache

import torch
from torch import Tensor

from codeword.config import SpectralConfig
from codeword.spectra.losses import SpectralLoss

LARGEST_SI_SDR_DB = 100.0

# Power of rounding noise in 16 bits is 8e-11: below it a signal counts as silent.
_SILENCE = 1e-10
_FULL_SCALE = 32767 / 32768


def stft_distance(reconstruction: Tensor, original: Tensor, *, sample_rate: int) -> float:
    """Spectral convergence plus mean absolute difference of log magnitudes in nepers, averaged over three windows.

    Yamamoto et al. 2020 (Parallel WaveGAN), eq. 3-6, with windows of 512, 1024 and 2048 samples. Where the original
    is silent and the reconstruction is not, the convergence, a relative error, dominates.
    """
    if not original.numel():
        return 0.0
    return float(_stft_loss(sample_rate)(reconstruction[None].float(), original[None].float()))


def si_sdr_db(reconstruction: Tensor, original: Tensor) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019, eq. 3), within +-100, without means.

    It depends on phases: a decoder trained on spectra scores low however well it sounds. Not by torchmetrics, which
    gives a silent reconstruction 0 dB.
    """
    if not original.numel():
        return LARGEST_SI_SDR_DB
    estimate, target = (x.double() - x.double().mean() for x in (reconstruction, original))
    scaled = (estimate @ target) / (target @ target).clamp(min=1e-20) * target
    signal, distortion = scaled.square().sum(), (estimate - scaled).square().sum()
    if signal == 0:
        return -LARGEST_SI_SDR_DB if distortion > 0 or target.any() else LARGEST_SI_SDR_DB
    ratio = 10 * torch.log10(signal / distortion.clamp(min=1e-30))
    return float(ratio.clamp(-LARGEST_SI_SDR_DB, LARGEST_SI_SDR_DB))


def energy_ratio(reconstruction: Tensor, original: Tensor) -> float:
    """Power of the reconstruction over that of the original; 1 where both are silent."""
    power, reference = ((float(silence_mse(x)) + _SILENCE) for x in (reconstruction, original))
    return power / reference


def clipped_samples(reconstruction: Tensor) -> int:
    """Number of samples at or beyond full scale of 16 bits."""
    return int((reconstruction.abs() >= _FULL_SCALE).sum())


def waveform_mse(reconstruction: Tensor, original: Tensor) -> float:
    """Mean squared error of samples. It says little about how speech sounds: compare it with `silence_mse`."""
    return silence_mse(reconstruction.double() - original.double())


def silence_mse(original: Tensor) -> float:
    """The `waveform_mse` of a reconstruction that is silent: the original's mean power."""
    return float(original.double().square().mean()) if original.numel() else 0.0


@lru_cache(maxsize=4)
def _stft_loss(sample_rate: int) -> SpectralLoss:
    return SpectralLoss(SpectralConfig(windows=(512, 1024, 2048), mel_weight=0), sample_rate)
