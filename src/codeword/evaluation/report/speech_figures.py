"""Figures of recordings: waveforms, mel spectrograms, the codes below them, and phones of codes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from codeword.data.phones.alignment import SILENCE, Phone
from codeword.evaluation.report.figures import BLUE, GREY, INK, WIDTH_INCHES
from codeword.spectra.stft import LogMel, mel_filters

_WINDOW_S, _HOP_S = 0.04, 0.01
_RANGE_NATS = 9.0  # Range of the colour scale below the maximum of a figure; 78 dB.
_HERTZ = (500, 1000, 2000, 4000, 8000, 16_000)
_ENVELOPE_POINTS = 600


@dataclass(frozen=True)
class TitledWave:
    """A waveform (T,) in [-1, 1] with its title."""

    title: str
    wave: Tensor


@dataclass(frozen=True)
class Track:
    """A waveform (T,) with its phones, and the colours (K, G, 3) of the K codes of its G cells."""

    title: str
    wave: Tensor
    phones: Sequence[Phone]
    colours: Tensor
    cells_per_second: float


def waves_figure(rows: Sequence[TitledWave], *, sample_rate: int) -> Figure:
    """Each waveform next to its mel spectrogram, one below the other; all spectrograms have one colour scale."""
    figure = Figure(figsize=(WIDTH_INCHES, 0.35 + 1.05 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 2, sharex=True, squeeze=False, width_ratios=(2, 3))
    pictures = [_log_mel(row.wave, sample_rate) for row in rows]
    loudest = max(float(p.max()) for p in pictures)
    peak = max(1e-3, *(float(row.wave.abs().max()) for row in rows))
    for (left, right), row, picture in zip(axes, rows, pictures, strict=True):
        _envelope(left, row.wave, sample_rate)
        left.set_ylim(-peak, peak)
        left.set_title(row.title, loc="left", fontsize=9, color=INK, pad=3)
        _spectrogram(right, picture, sample_rate, loudest=loudest, seconds=len(row.wave) / sample_rate)
    for bottom in axes[-1]:
        bottom.set_xlabel("seconds", color=INK, fontsize=9)
    return figure


def spectrograms_figure(rows: Sequence[Sequence[TitledWave]], *, sample_rate: int) -> Figure:
    """A table of mel spectrograms with one colour scale; rows may differ in length."""
    columns = max(len(row) for row in rows)
    figure = Figure(figsize=(WIDTH_INCHES, 0.35 + 1.45 * len(rows)), layout="constrained")
    table = figure.subplots(len(rows), columns, sharex=True, sharey=True, squeeze=False)
    pictures = [[_log_mel(wave.wave, sample_rate) for wave in row] for row in rows]
    loudest = max(float(p.max()) for row in pictures for p in row)
    for r, (line, row) in enumerate(zip(table, rows, strict=True)):
        for c, axes in enumerate(line):
            if c >= len(row):
                axes.set_axis_off()
                continue
            seconds = len(row[c].wave) / sample_rate
            _spectrogram(axes, pictures[r][c], sample_rate, loudest=loudest, seconds=seconds)
            axes.set_title(row[c].title, loc="left", fontsize=8.5, color=INK, pad=3, parse_math=False)
            if c:
                axes.set_ylabel("")
    for axes in table[-1]:
        axes.set_xlabel("seconds", color=INK, fontsize=9)
    return figure


def tracks_figure(tracks: Sequence[Track], *, sample_rate: int) -> Figure:
    """Spectrograms with their phones above, and rows of coloured cells below."""
    rows = [len(t.colours) for t in tracks]
    heights = [h for n in rows for h in (1.9, 0.16 * n + 0.05)]
    figure = Figure(figsize=(WIDTH_INCHES, sum(heights) + 0.95 * len(tracks)), layout="constrained")
    axes = figure.subplots(2 * len(tracks), 1, squeeze=False, height_ratios=heights)[:, 0]
    for track, above, below in zip(tracks, axes[::2], axes[1::2], strict=True):
        seconds = len(track.wave) / sample_rate
        picture = _log_mel(track.wave, sample_rate)
        _spectrogram(above, picture, sample_rate, loudest=float(picture.max()), seconds=seconds)
        above.set_xticklabels([])
        _write_phones(above, track.phones)
        above.set_title(track.title, loc="left", fontsize=9, color=INK, pad=24 if track.phones else 4, parse_math=False)
        count, cells, _ = track.colours.shape
        end = cells / track.cells_per_second
        below.imshow(track.colours.numpy(), aspect="auto", interpolation="nearest", extent=(0, end, count + 0.5, 0.5))
        below.set_xlim(0, seconds)
        below.set_yticks(range(1, count + 1), [f"code {k}" for k in range(1, count + 1)])
        below.set_xlabel("seconds", color=INK, fontsize=9)
        _plain(below)
    return figure


def phones_figure(shares: Tensor, phones: Sequence[str]) -> Figure:
    """Shares (phones, codes) in [0, 1] as a heat map, one row for each phone."""
    figure = Figure(figsize=(WIDTH_INCHES, 1.0 + 0.155 * len(phones)), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(shares.numpy(), aspect="auto", interpolation="nearest", cmap="magma_r", vmin=0, vmax=1)
    axes.set_yticks(range(len(phones)), phones)
    axes.set_xlabel("first codes that occur, sorted by their most likely phone", color=INK, fontsize=9)
    _plain(axes)
    axes.tick_params(axis="y", labelsize=7)
    bar = figure.colorbar(picture, ax=axes, pad=0.01, aspect=40)
    bar.set_label("share of the code's cells", color=INK, fontsize=9)
    bar.ax.tick_params(labelsize=8, color=GREY, labelcolor=INK)
    bar.outline.set_visible(False)
    return figure


def codeword_colours(codebook: Tensor, counts: Tensor) -> Tensor:
    """Codewords (n, d), used `counts` (n,) times, to colours (n, 3) in [0, 1]: close codewords have similar colours.

    Red, green and blue are the ranks along the first three principal components, weighted by the counts.
    """
    weight = counts.double()[:, None] / counts.sum().clamp(min=1)
    centred = codebook.double() - (weight * codebook.double()).sum(0)
    directions = torch.linalg.svd(weight.sqrt() * centred, full_matrices=False).Vh[:3]
    ranks = (centred @ directions.t()).argsort(0).argsort(0).float()
    colours = 0.1 + 0.85 * ranks / max(1, len(codebook) - 1)
    return torch.nn.functional.pad(colours, (0, 3 - colours.shape[1]), value=0.5)


def _mel(sample_rate: int) -> LogMel:
    n_fft, hop = round(_WINDOW_S * sample_rate), max(1, round(_HOP_S * sample_rate))
    return LogMel(sample_rate, n_fft, hop, max(4, min(80, n_fft // 8)))


def _log_mel(wave: Tensor, sample_rate: int) -> Tensor:
    """Waveform (T,) to its log-mel spectrogram (mels, frames)."""
    spectrogram: Tensor = _mel(sample_rate)(wave[None])[0]
    return spectrogram


@lru_cache(maxsize=4)
def _band_hertz(sample_rate: int) -> tuple[float, ...]:
    """Centre frequency of each mel band in Hz."""
    mel = _mel(sample_rate)
    filters = mel_filters(sample_rate, mel.n_fft, mel.mels)
    bins = torch.linspace(0, sample_rate / 2, mel.n_fft // 2 + 1)
    return tuple((filters @ bins / filters.sum(1).clamp(min=1e-9)).tolist())


def _spectrogram(axes: Axes, picture: Tensor, sample_rate: int, *, loudest: float, seconds: float) -> None:
    mels, frames = picture.shape
    extent = (0, frames * _HOP_S, -0.5, mels - 0.5)
    colours: dict[str, Any] = {"cmap": "magma", "vmin": loudest - _RANGE_NATS, "vmax": loudest}
    axes.imshow(picture.numpy(), origin="lower", aspect="auto", interpolation="nearest", extent=extent, **colours)
    axes.set_xlim(0, seconds)
    bands = _band_hertz(sample_rate)
    shown = [f for f in _HERTZ if f <= bands[-1]]
    axes.set_yticks(np.interp(shown, bands, range(mels)), [f"{f / 1000:g}" for f in shown])
    axes.set_ylabel("kHz", color=INK, fontsize=8)
    _plain(axes)


def _envelope(axes: Axes, wave: Tensor, sample_rate: int) -> None:
    """Draw the minimum and maximum of consecutive blocks of samples, which looks like the whole waveform."""
    step = max(1, len(wave) // _ENVELOPE_POINTS)
    blocks = wave[: len(wave) // step * step].view(-1, step)
    times = torch.arange(len(blocks)) * step / sample_rate
    axes.fill_between(times.numpy(), blocks.amin(1).numpy(), blocks.amax(1).numpy(), color=BLUE, lw=0.4, step="post")
    axes.set_xlim(0, len(wave) / sample_rate)
    _plain(axes)


def _write_phones(axes: Axes, phones: Sequence[Phone]) -> None:
    """Write phones above the axes, alternately on two lines so that they do not overlap, and mark their starts."""
    spoken = [phone for phone in phones if phone.name != SILENCE]
    for i, phone in enumerate(spoken):
        middle, offset = ((phone.start_s + phone.end_s) / 2, 1.0), (0, 3 + 9 * (i % 2))
        style: dict[str, Any] = {"ha": "center", "fontsize": 7, "color": INK, "textcoords": "offset points"}
        axes.annotate(phone.name, middle, xycoords=("data", "axes fraction"), xytext=offset, **style)
    for phone in phones:
        axes.axvline(phone.start_s, color="white", lw=0.5, alpha=0.6)


def _plain(axes: Axes) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(color=GREY, labelcolor=INK, labelsize=8)
