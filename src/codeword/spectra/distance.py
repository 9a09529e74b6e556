"""Distances between spectra of two waveforms."""

from torch import Tensor

from codeword.spectra.stft import LogMel


def log_mel_distance(reconstruction: Tensor, original: Tensor, *, sample_rate: int) -> float:
    """Mean absolute difference of the log-mel magnitudes of two waveforms (T,), in nepers (1 Np is 8.7 dB).

    80 bands, natural logarithm, floor 1e-5, windows of 64 ms every 10 ms.
    """
    if not original.numel():
        return 0.0
    mel = LogMel(sample_rate, 2 * round(0.032 * sample_rate), round(0.01 * sample_rate), 80)
    return float((mel(reconstruction[None]) - mel(original[None])).abs().mean())
