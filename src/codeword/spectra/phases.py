"""Phases for spectra of which only the magnitudes are known, and the waveforms that both give."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.spectra.stft import istft, stft

_SILENCE = 1e-7


@dataclass(frozen=True)
class Turns:
    """State of the sinusoids of a signal after a frame: the phase (B, bins) of each bin, and its last advance.

    Both in turns, float64.
    """

    phase: np.ndarray
    advance: Tensor


def advancing_phases(magnitude: Tensor, n_fft: int, hop: int, *, after: Turns | None = None) -> tuple[Tensor, Turns]:
    """Phases (B, bins, N), in radians, for the magnitudes (B, bins, N) of frames that follow those of `after`.

    Single-pass spectrogram inversion (Beauregard, Harish and Wyse 2015, sec. 3): a peak of a frame is a sinusoid, whose
    frequency a parabola through the logarithms of three bins gives. It turns on from the phase that its bin had in the
    frame before, by the mean of both frames' frequencies. The bins around a peak belong to the same sinusoid: in the
    middle of the window all have its phase, so at the start of the frame their signs alternate.
    """
    batch, bins, count = magnitude.shape
    place = torch.arange(bins, device=magnitude.device)
    # The borders are below silence, so that every frame has a peak.
    log = F.pad(magnitude.transpose(1, 2).clamp(min=_SILENCE).log(), (1, 1), value=np.log(_SILENCE) - 1)
    left, middle, right = log[..., :-2], log[..., 1:-1], log[..., 2:]
    is_peak = (middle > left) & (middle >= right)
    below = torch.where(is_peak, place, -bins).cummax(-1).values
    above = torch.where(is_peak, place, 2 * bins).flip(-1).cummin(-1).values.flip(-1)
    peak = torch.where(place - below <= above - place, below, above)
    frequency = place + (left - right) / 2 / (left - 2 * middle + right)
    advance = (frequency.gather(-1, peak).double() * (hop / n_fft)).cpu()
    before = advance[:, :1] if after is None else after.advance[:, None]
    steps = (advance + torch.cat([before, advance[:, :-1]], 1)) / 2

    # Rows of all signals side by side: one frame is then two operations of NumPy, which take a few microseconds.
    sources = (peak.cpu() + bins * torch.arange(batch)[:, None, None]).transpose(0, 1).reshape(count, -1).numpy()
    turns = (steps % 1).transpose(0, 1).reshape(count, -1).numpy()
    phase = np.zeros(batch * bins) if after is None else after.phase.ravel()
    for n, source in enumerate(sources):
        phase = turns[n] = (phase + turns[n])[source]
    found = torch.from_numpy(turns % 1).view(count, batch, bins).permute(1, 2, 0)
    alternating = place[:, None] % 2
    radians = torch.pi * (2 * found.float().to(magnitude.device) + alternating)
    return radians, Turns(phase.reshape(batch, bins), advance[:, -1])


def griffin_lim(magnitude: Tensor, phase: Tensor, n_fft: int, hop: int, *, iterations: int) -> Tensor:
    """A waveform (B, N * hop) whose spectrum has nearly the magnitude (B, bins, N), from phases of this shape.

    Griffin and Lim 1984, sec. III.
    """
    # The layout of a Fourier transform of frames: other layouts make each iteration twice as slow.
    magnitude, phase = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in (magnitude, phase))
    wave = istft(torch.complex(magnitude * phase.cos(), magnitude * phase.sin()), n_fft, hop)
    for _ in range(iterations):
        wave = istft(torch.sgn(stft(wave, n_fft, hop)).mul_(magnitude), n_fft, hop)
    return wave
