"""A small source-filter speech synthesiser (Fant 1960): a pulse train and noise through time-varying resonances."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeword.data.phones.alignment import Phone
from codeword.media.channels import Wave

Array = NDArray[np.floating[Any]]
Spectra = NDArray[np.complexfloating[Any, Any]]

# Filters are updated every _HOP_S; resonances are smoothed over _GLIDE_S, loudness over _FADE_S.
_HOP_S = 0.005
_GLIDE_S = 0.045
_FADE_S = 0.015

_RMS = 0.06  # about the level of read speech
_FLOOR = 1e-4  # background noise of a room
_BANDWIDTHS_HZ = (80.0, 100.0, 150.0, 200.0, 250.0)
_HIGH_FORMANTS_HZ = (3500.0, 4500.0)
_BURST_S = 0.02


@dataclass(frozen=True)
class Voice:
    """A speaker: mean pitch, and the factor on all formants (above 1 for a shorter vocal tract)."""

    name: str
    pitch_hz: float
    formant_scale: float


@dataclass(frozen=True)
class Sound:
    """Synthesis parameters of a phone: formants in Hz at its start and end, amplitudes of the buzz and of the hiss.

    The buzz is a pulse train, the hiss is noise in a band around `hiss_hz`. A `stop` is silent except for hiss at its
    end.
    """

    begin_hz: tuple[float, float, float]
    end_hz: tuple[float, float, float]
    buzz: float
    hiss: float = 0.0
    hiss_hz: float = 1000.0
    hiss_width_hz: float = 1000.0
    nasal: bool = False
    stop: bool = False


VOICES = (Voice("alto", 190, 1.12), Voice("bass", 90, 0.93), Voice("soprano", 250, 1.22), Voice("tenor", 130, 1.0))


def _steady(*hz: float, buzz: float = 1.0) -> Sound:
    return Sound((hz[0], hz[1], hz[2]), (hz[0], hz[1], hz[2]), buzz)


# Formants of vowels from Peterson and Barney 1952 (men); those of a consonant are the end points of the transitions.
VOWELS = {
    "AA": _steady(730, 1090, 2440),
    "AY": Sound((730, 1090, 2440), (340, 2100, 2800), 1.0),
    "EH": _steady(530, 1840, 2480),
    "IY": _steady(270, 2290, 3010),
    "UW": _steady(300, 870, 2240),
}
CONSONANTS = {
    "F": Sound((400, 1100, 2300), (400, 1100, 2300), 0, 0.05, 4500, 6000),
    "K": Sound((300, 1900, 2300), (300, 1900, 2300), 0, 0.4, 1900, 700, stop=True),
    "M": Sound((250, 1000, 2200), (250, 1000, 2200), 0.4, nasal=True),
    "N": Sound((250, 1650, 2600), (250, 1650, 2600), 0.4, nasal=True),
    "S": Sound((320, 1700, 2600), (320, 1700, 2600), 0, 0.2, 6200, 2200),
    "SH": Sound((300, 1850, 2500), (300, 1850, 2500), 0, 0.2, 3000, 1200),
    "T": Sound((320, 1750, 2600), (320, 1750, 2600), 0, 0.4, 4500, 2500, stop=True),
}
SOUNDS = VOWELS | CONSONANTS | {"SIL": _steady(500, 1500, 2500, buzz=0)}


def speak(phones: Sequence[Phone], voice: Voice, *, sample_rate: int, rng: np.random.Generator) -> Wave:
    """Synthesise consecutive phones from 0 s on with a voice: wave (T,) in [-1, 1]."""
    samples = round(phones[-1].end_s * sample_rate)
    hop = max(1, round(_HOP_S * sample_rate))
    times_s = np.arange(samples // hop + 2) * (hop / sample_rate)
    tracks = _tracks(phones, times_s)
    # The FFT is longer than the window by half of it, for the decay of the filters.
    window, size = 4 * hop, 6 * hop
    hz = np.fft.rfftfreq(size, 1 / sample_rate).astype(np.float32)
    buzz = _frames(_buzz(samples, voice, sample_rate, rng), hop, window, len(times_s))
    hiss = _frames(rng.standard_normal(samples), hop, window, len(times_s))
    # Short filters on overlapping windows of the sources; each window uses the formants at its centre.
    spectra = np.fft.rfft(buzz, size) * _voiced_filter(tracks, voice, hz)
    spectra += np.fft.rfft(hiss, size) * _hiss_filter(tracks, voice, hz)
    wave = _overlap_add(np.fft.irfft(spectra, size), hop)[window // 2 :][:samples]
    wave *= _RMS / max(float(np.sqrt(np.mean(wave**2))), 1e-9)
    wave += _FLOOR * rng.standard_normal(samples)
    return (wave * min(1.0, 0.95 / float(np.abs(wave).max()))).astype(np.float32)


@dataclass(frozen=True)
class _Tracks:
    """Filter parameters at each of n frames: formants (n, 3) in Hz; amplitudes and band of the hiss, (n,) each."""

    formants_hz: Array
    buzz: Array
    nasal: Array
    hiss: Array
    hiss_hz: Array
    hiss_width_hz: Array


def _tracks(phones: Sequence[Phone], times_s: Array) -> _Tracks:
    starts = np.array([phone.start_s for phone in phones])
    ends = np.array([phone.end_s for phone in phones])
    sounds = [SOUNDS[phone.name] for phone in phones]
    numbers = np.clip(np.searchsorted(starts, times_s, side="right") - 1, 0, len(phones) - 1)
    progress = np.clip((times_s - starts[numbers]) / (ends - starts)[numbers], 0, 1)[:, None]

    def at_frames(values: Sequence[float | tuple[float, ...]]) -> Array:
        return np.array(values, np.float64)[numbers]

    begin_hz, end_hz = at_frames([s.begin_hz for s in sounds]), at_frames([s.end_hz for s in sounds])
    formants = begin_hz * (1 - progress) + end_hz * progress
    closed = at_frames([s.stop for s in sounds]) * (times_s < ends[numbers] - _BURST_S)
    step_s = times_s[1]
    return _Tracks(
        formants_hz=_smooth(formants, _GLIDE_S / step_s),
        buzz=_smooth(at_frames([s.buzz for s in sounds]), _FADE_S / step_s),
        nasal=_smooth(at_frames([s.nasal for s in sounds]), _FADE_S / step_s),
        hiss=_smooth(at_frames([s.hiss for s in sounds]) * (1 - closed), _FADE_S / step_s),
        hiss_hz=at_frames([s.hiss_hz for s in sounds]),
        hiss_width_hz=at_frames([s.hiss_width_hz for s in sounds]),
    )


def _smooth(track: Array, frames: float) -> Array:
    """A moving average over an odd number of frames along the first axis."""
    half = round(frames / 2)
    padded = np.pad(track, [(half, half)] + [(0, 0)] * (track.ndim - 1), mode="edge")
    views = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=0)
    smoothed: Array = views.mean(-1)
    return smoothed


def _buzz(samples: int, voice: Voice, sample_rate: int, rng: np.random.Generator) -> Array:
    """A train of pulses (samples,) with falling pitch, one or two accents, vibrato and jitter."""
    progress = np.arange(samples) / samples
    time_s = np.arange(samples) / sample_rate
    accents = 0.12 * np.sin(2 * np.pi * (rng.uniform(0.4, 0.9) * time_s + rng.random()))
    vibrato = 0.01 * np.sin(2 * np.pi * 5.5 * time_s)
    knots = np.arange(0, time_s[-1] + 0.02, 0.01)
    jitter = np.interp(time_s, knots, 0.015 * rng.standard_normal(len(knots)))
    pitch_hz = voice.pitch_hz * rng.uniform(0.92, 1.08) * np.exp(0.1 - 0.25 * progress + accents + vibrato + jitter)
    phase = np.cumsum(pitch_hz) / sample_rate
    after = np.flatnonzero(np.diff(np.floor(phase)) > 0) + 1
    # A pulse lies between two samples; it is divided between both, so that the pitch is exact.
    delay = (phase[after] % 1) * sample_rate / pitch_hz[after]
    strength = (1 + 0.05 * rng.standard_normal(len(after))) * np.sqrt(sample_rate / pitch_hz[after])
    pulses = np.zeros(samples)
    pulses[after] += strength * (1 - delay)
    pulses[after - 1] += strength * delay
    return pulses


def _voiced_filter(tracks: _Tracks, voice: Voice, hz: Array) -> Spectra:
    """Frequency response (n, bins): glottis and lips, together -6 dB per octave, then five resonances in series."""
    transfer = (tracks.buzz[:, None] / (1 + 1j * hz / 150)).astype(np.complex64)
    # Nasals are damped above the lowest formant.
    transfer *= 1 - 0.85 * tracks.nasal[:, None] * (hz > 400 * voice.formant_scale)
    high = np.broadcast_to(_HIGH_FORMANTS_HZ, (len(tracks.buzz), 2))
    for formant, width in zip(np.concatenate([tracks.formants_hz, high], 1).T, _BANDWIDTHS_HZ, strict=True):
        square = (formant[:, None] * voice.formant_scale).astype(np.float32) ** 2
        transfer *= square / (square - hz**2 + np.complex64(1j * width) * hz)
    return transfer


def _hiss_filter(tracks: _Tracks, voice: Voice, hz: Array) -> Spectra:
    """Frequency response (n, bins) of one broad band."""
    square = (tracks.hiss_hz[:, None] * voice.formant_scale).astype(np.float32) ** 2
    transfer = (1j * tracks.hiss_width_hz[:, None]).astype(np.complex64) * hz
    transfer *= tracks.hiss[:, None].astype(np.float32) / (square - hz**2 + transfer)
    return transfer


def _frames(signal: Array, hop: int, window: int, count: int) -> Array:
    """Cut a signal (T,) into frames (count, window) around 0, hop, 2 hop, ..., with Hann windows that sum to one."""
    padded = np.pad(signal, (window // 2, window + count * hop - len(signal)))
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    pieces = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop][:count]
    return pieces * (shape * (2 * hop / window))


def _overlap_add(frames: Array, hop: int) -> Array:
    """Add up frames (n, size) to a signal (T,); frame i starts at sample i * hop."""
    count, size = frames.shape
    parts = -(-size // hop)
    frames = np.pad(frames, ((0, 0), (0, parts * hop - size))).reshape(count, parts, hop)
    wave = np.zeros((count + parts, hop))
    for part in range(parts):
        wave[part : part + count] += frames[:, part]
    return wave.ravel()
