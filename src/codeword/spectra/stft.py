"""Short-time Fourier transforms and mel spectrograms with exactly one frame per hop of the signal.

Frame n is centred on the samples [n * hop, (n + 1) * hop): the signal is padded with silence at both ends, so that
T samples have ceil(T / hop) frames, and a piece of a long signal has the same frames as the whole signal.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from math import log
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.linear import linear

FLOOR = 1e-5
# Log-mels of speech have a mean of about -6 and a deviation of about 3; networks expect unit scale.
LOG_MEL_CENTRE, LOG_MEL_SPREAD = -6.0, 3.0
LOUDEST = 5.0
"""Natural logarithm of the largest magnitude that a decoder may ask for."""
QUIETEST_WEIGHT = 1e-8
"""The least sum of squared windows by which overlapping frames are divided."""
_INVERSION_STEPS = 12


def stft(x: Tensor, n_fft: int, hop: int) -> Tensor:
    """Waveforms (B, T) to the complex spectrum (B, n_fft // 2 + 1, ceil(T / hop)), Hann window."""
    if x.requires_grad and torch.is_grad_enabled():
        spectrum: Tensor = _DifferentiableSTFT.apply(x, n_fft, hop)  # type: ignore[no-untyped-call]
    else:
        spectrum = _spectrum(x, n_fft, hop)
    return spectrum.transpose(1, 2)


def magnitudes(x: Tensor, n_fft: int, hop: int) -> Tensor:
    """Absolute values (B, bins, N) of the `stft` of (B, T), at least 1e-5 so that logarithms have gradients."""
    # Real arithmetic: the gradient of a complex absolute value costs several times more.
    real, imaginary = torch.view_as_real(stft(x, n_fft, hop)).unbind(-1)
    return (real * real + imaginary * imaginary).clamp(min=FLOOR**2).sqrt()


def istft(spectrum: Tensor, n_fft: int, hop: int) -> Tensor:
    """The waveforms (B, N * hop) whose `stft` is nearest to the spectrum (B, bins, N).

    Overlap-add, divided by the sum of squared windows (Griffin and Lim 1984, eq. 6).
    """
    count = spectrum.shape[-1]
    frames = torch.fft.irfft(spectrum.transpose(1, 2), n=n_fft) * _window(n_fft, spectrum.real)
    kept = slice((n_fft - hop) // 2, (n_fft - hop) // 2 + count * hop)
    weight = _weight(count, n_fft, hop, frames.device, frames.dtype)
    return _overlap_add(frames, hop)[:, kept] / weight[kept]


def mel_filters(sample_rate: int, n_fft: int, mels: int) -> Tensor:
    """Triangles on the mel scale of Slaney's Auditory Toolbox, each of unit area: (mels, n_fft // 2 + 1)."""
    edges = _hertz(torch.linspace(0, _mel(sample_rate / 2), mels + 2, dtype=torch.float64))
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).float()


class LogMel(nn.Module):
    """Waveforms (B, T) in [-1, 1] to natural logarithms of mel magnitudes (B, mels, ceil(T / hop)), floor 1e-5.

    `transform` computes the `magnitudes`.
    """

    def __init__(self, sample_rate: int, n_fft: int, hop: int, mels: int) -> None:
        super().__init__()
        self.sample_rate, self.n_fft, self.hop, self.mels = sample_rate, n_fft, hop, mels
        self._bands = (sample_rate, n_fft, mels)
        self.transform: Callable[[Tensor], Tensor] = partial(magnitudes, n_fft=n_fft, hop=hop)

    def forward(self, x: Tensor) -> Tensor:
        # Half precision would lose the quiet bands.
        with torch.autocast(x.device.type, enabled=False):
            return self.of_magnitude(self.transform(x.float()))

    def of_magnitude(self, magnitude: Tensor) -> Tensor:
        """Magnitudes (B, bins, N) to log-mels (B, mels, N)."""
        mels = linear(magnitude.transpose(1, 2), _filters(*self._bands, magnitude.device))
        return mels.clamp(min=FLOOR).log().transpose(1, 2)

    def invert(self, log_mels: Tensor) -> Tensor:
        """Log-mels (B, mels, N) to non-negative magnitudes (B, bins, N) with these log-mels.

        Multiplicative updates (Lee and Seung 2001, theorem 1) from the clipped pseudo-inverse.
        """
        filters = _filters(*self._bands, log_mels.device)
        spread = filters.t().contiguous()
        mels = log_mels.transpose(1, 2).exp()
        magnitude = linear(mels, _inverse(*self._bands, log_mels.device)).clamp(min=FLOOR)
        wanted = linear(mels, spread)
        for _ in range(_INVERSION_STEPS):
            magnitude = magnitude * wanted / linear(linear(magnitude, filters), spread).clamp(min=1e-10)
        return magnitude.transpose(1, 2)


class _DifferentiableSTFT(torch.autograd.Function):
    """`_spectrum` with a gradient by one inverse transform, which costs half of what autograd makes of its parts."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, n_fft: int, hop: int) -> Tensor:
        ctx.n_fft, ctx.hop, ctx.samples = n_fft, hop, x.shape[-1]
        return _spectrum(x, n_fft, hop)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        # The inverse transform counts each bin twice but the first and, of an even window, the last.
        weight = torch.full((gradient.shape[-1],), ctx.n_fft / 2, device=gradient.device)
        weight[0] = ctx.n_fft
        if ctx.n_fft % 2 == 0:
            weight[-1] = ctx.n_fft
        frames = torch.fft.irfft(gradient * weight, n=ctx.n_fft)
        before = (ctx.n_fft - ctx.hop) // 2
        summed = _overlap_add(frames * _window(ctx.n_fft, frames), ctx.hop)
        return summed[:, before : before + ctx.samples], None, None


def _spectrum(x: Tensor, n_fft: int, hop: int) -> Tensor:
    """Waveforms (B, T) to the complex spectrum (B, ceil(T / hop), n_fft // 2 + 1)."""
    before = (n_fft - hop) // 2
    padded = F.pad(x, (before, n_fft - hop - before + -x.shape[-1] % hop))
    frames = padded.unfold(-1, n_fft, hop) * _window(n_fft, x)
    spectrum: Tensor = torch.fft.rfft(frames)
    return spectrum


@lru_cache(maxsize=32)
def _filters(sample_rate: int, n_fft: int, mels: int, device: torch.device) -> Tensor:
    # Cached instead of a buffer: models are built on the meta device when they are loaded, without values.
    with torch.inference_mode(False):
        return mel_filters(sample_rate, n_fft, mels).to(device)


@lru_cache(maxsize=32)
def _inverse(sample_rate: int, n_fft: int, mels: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.as_tensor(torch.linalg.pinv(mel_filters(sample_rate, n_fft, mels)), device=device)


def _window(n_fft: int, like: Tensor) -> Tensor:
    return torch.hann_window(n_fft, device=like.device, dtype=like.dtype)


def _overlap_add(frames: Tensor, hop: int) -> Tensor:
    """Sum of frames (B, N, n) that start every `hop` samples: (B, at least (N - 1) * hop + n)."""
    frames = F.pad(frames, (0, -frames.shape[-1] % hop)).unflatten(-1, (-1, hop))
    batch, count, parts, _ = frames.shape
    summed = frames.new_zeros(batch, count + parts - 1, hop)
    for part in range(parts):
        summed[:, part : part + count] += frames[:, :, part]
    return summed.flatten(1)


@lru_cache(maxsize=16)
def _weight(count: int, n_fft: int, hop: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Sum of `count` overlapping squared windows, at least `QUIETEST_WEIGHT`."""
    with torch.inference_mode(False):
        window = torch.hann_window(n_fft, device=device, dtype=dtype)
        return _overlap_add(window.square().expand(1, count, -1), hop)[0].clamp(min=QUIETEST_WEIGHT)


# Linear below 1000 Hz, logarithmic above: 15 mels to the first 1000 Hz, 27 to each factor of 6.4 beyond.
_BREAK_HZ, _HZ_A_MEL, _STEP = 1000.0, 200.0 / 3, log(6.4) / 27


def _mel(hertz: float) -> float:
    if hertz < _BREAK_HZ:
        return hertz / _HZ_A_MEL
    return _BREAK_HZ / _HZ_A_MEL + log(hertz / _BREAK_HZ) / _STEP


def _hertz(mel: Tensor) -> Tensor:
    bend = _BREAK_HZ / _HZ_A_MEL
    return torch.where(mel < bend, mel * _HZ_A_MEL, _BREAK_HZ * torch.exp((mel - bend) * _STEP))
