"""Fourier transforms of frames as convolutions with fixed bases, for programs that have no fast Fourier transform.

They compute what `codeword.spectra.stft` does, up to rounding. A window of n samples costs about 2 n^2 operations
instead of n log n.
"""

from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.spectra.stft import FLOOR, QUIETEST_WEIGHT


class Magnitudes(nn.Module):
    """Waveforms (B, T) to the `magnitudes` (B, n_fft // 2 + 1, ceil(T / hop)); T may be a symbol."""

    basis: Tensor

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("basis", _windowed(_waves(n_fft)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        before = (self.n_fft - self.hop) // 2
        # The last frame may need up to hop - 1 samples of silence more; samples beyond it make no further frame.
        padded = F.pad(x.unsqueeze(1), (before, self.n_fft - 1 - before))
        squares = F.conv1d(padded, self.basis, stride=self.hop).square()
        bins = self.n_fft // 2 + 1
        return (squares[:, :bins] + squares[:, bins:]).clamp(min=FLOOR**2).sqrt()


class Synthesis(nn.Module):
    """The `istft` (B, N * hop) of real and imaginary parts (B, n_fft // 2 + 1, N); N may be a symbol.

    `n_fft` and `n_fft - hop` are even.
    """

    basis: Tensor
    square: Tensor

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__()
        self.hop, self.cut = hop, (n_fft - hop) // 2
        # Each bin between the first and the last stands for two, one of negative frequency.
        twice = torch.full((n_fft // 2 + 1,), 2.0, dtype=torch.float64)
        twice[[0, -1]] = 1
        self.register_buffer("basis", _windowed(_waves(n_fft) * twice.repeat(2)[:, None] / n_fft), persistent=False)
        self.register_buffer("square", torch.hann_window(n_fft).square().view(1, 1, -1), persistent=False)

    def forward(self, real: Tensor, imaginary: Tensor) -> Tensor:
        parts = torch.cat([real, imaginary], 1)
        # A transposed convolution is the inverse transform of all frames and their overlap-add.
        wave, weight = (
            F.conv_transpose1d(frames, basis, stride=self.hop, padding=self.cut)
            for frames, basis in ((parts, self.basis), (torch.ones_like(parts[:1, :1]), self.square))
        )
        return (wave / weight.clamp(min=QUIETEST_WEIGHT)).squeeze(1)


def _waves(n_fft: int) -> Tensor:
    """Cosines, then negative sines, of all bins: (2 * (n_fft // 2 + 1), n_fft) in float64."""
    places = torch.arange(n_fft)
    # In integers, because a large angle would lose its last bits.
    angles = (torch.arange(n_fft // 2 + 1)[:, None] * places % n_fft).double() * (2 * pi / n_fft)
    return torch.cat([angles.cos(), -angles.sin()])


def _windowed(waves: Tensor) -> Tensor:
    window = torch.hann_window(waves.shape[1], dtype=torch.float64)
    return (waves * window).float().unsqueeze(1)
