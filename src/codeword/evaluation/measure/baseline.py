"""Baseline codec without a network: residual k-means of log-mels, decoded with synthesised phases.

A trained model should be better at the same rate.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.quantizers import nearest
from codeword.quantizers.codebook import cluster
from codeword.spectra.phases import advancing_phases, griffin_lim
from codeword.spectra.stft import LogMel

KMEANS_ITERATIONS = 25
GRIFFIN_LIM_ITERATIONS = 4
RATE_HZ = 50

# Windows of 40 ms every 10 ms: long enough to resolve harmonics, with enough overlap for Griffin-Lim.
_WINDOW_S, _HOP_S, _MELS = 0.04, 0.01, 80


class KMeansBaseline:
    """A codec of waveforms (T,) in [-1, 1] at 50 cells a second; each cell is two log-mel frames of 80 bands.

    Each codebook is fitted to the residual of the codebooks before it, so the first k codes of a cell also decode.
    """

    def __init__(self, codebooks: Sequence[Tensor], *, sample_rate: int) -> None:
        self.codebooks = tuple(codebooks)
        self.sample_rate = sample_rate
        self.mel = _log_mel(sample_rate)

    @classmethod
    def fit(
        cls, cells: Tensor, codebook_sizes: Sequence[int], *, sample_rate: int, generator: torch.Generator | None = None
    ) -> "KMeansBaseline":
        """Fit one codebook for each of `codebook_sizes` to the `log_mel_cells` (N, 160) of training waveforms."""
        residual = cells
        codebooks = []
        for size in codebook_sizes:
            codebooks.append(cluster(residual, size, generator, iterations=KMEANS_ITERATIONS))
            residual = residual - codebooks[-1][nearest(residual, codebooks[-1])]
        return cls(codebooks, sample_rate=sample_rate)

    @property
    def cells_per_second(self) -> float:
        """Number of cells for each second of audio."""
        return self.sample_rate / (2 * self.mel.hop)

    def encode(self, wave: Tensor) -> Tensor:
        """Waveform (T,) to codes (G, K), G = ceil(T / 20 ms)."""
        residual, codes = log_mel_cells(wave, sample_rate=self.sample_rate), []
        for book in self.codebooks:
            codes.append(nearest(residual, book))
            residual = residual - book[codes[-1]]
        return torch.stack(codes, -1)

    def decode(self, codes: Tensor, *, length: int) -> Tensor:
        """Codes (G, k), of the first k codebooks, to a waveform (length,) in [-1, 1]."""
        if not length:
            return torch.zeros(0)
        codebooks = self.codebooks[: codes.shape[1]]
        cells = torch.stack([book[codes[:, k]] for k, book in enumerate(codebooks)]).sum(0)
        magnitude = self.mel.invert(cells.view(1, -1, _MELS).transpose(1, 2))
        phase, _ = advancing_phases(magnitude, self.mel.n_fft, self.mel.hop)
        wave = griffin_lim(magnitude, phase, self.mel.n_fft, self.mel.hop, iterations=GRIFFIN_LIM_ITERATIONS)
        return wave[0, :length].clamp(-1, 1)


def log_mel_cells(wave: Tensor, *, sample_rate: int) -> Tensor:
    """Waveform (T,) to cells of two consecutive log-mel frames (G, 2 * 80); the last cell is padded with silence."""
    if not len(wave):
        return torch.zeros(0, 2 * _MELS)
    mel = _log_mel(sample_rate)
    frames: Tensor = mel(F.pad(wave.float(), (0, -len(wave) % (2 * mel.hop)))[None])[0]
    return frames.t().reshape(-1, 2 * _MELS)


def _log_mel(sample_rate: int) -> LogMel:
    return LogMel(sample_rate, round(_WINDOW_S * sample_rate), round(_HOP_S * sample_rate), _MELS)
