"""Recordings in the formats that everybody has, by way of libsndfile."""

import io
from dataclasses import dataclass

import soundfile
import torch
from torch import Tensor

from codeword.media.audio import dequantise, quantise


@dataclass(frozen=True)
class SoundFormat:
    """A format of recordings; `level` is libsndfile's compression level, the higher the smaller the file."""

    name: str
    setting: str
    lossless: bool
    container: str
    subtype: str
    level: float
    bitrate_mode: str | None = None


def _opus(kbit: float) -> SoundFormat:
    # libsndfile asks Opus for 6 kbit/s at level 1, and for 250 more at level 0; lower it does not go.
    return SoundFormat("Opus", f"{kbit:g} kbit/s asked for", False, "OGG", "OPUS", 1 - (kbit - 6) / 250)


def _mp3(level: float) -> SoundFormat:
    # In other modes at low rates LAME's delay is not written down, so that what is read is shifted.
    return SoundFormat("MP3", f"level {level:g}", False, "MP3", "MPEG_LAYER_III", level, "AVERAGE")


LADDER = (
    SoundFormat("FLAC", "level 8", True, "FLAC", "PCM_16", 1.0),
    *(_opus(kbit) for kbit in (6, 8, 11, 16, 32)),
    *(_mp3(level) for level in (0.996, 0.98, 0.9)),
)
"""Every format; what loses from its lowest rate on."""


def written(x: Tensor, form: SoundFormat, *, sample_rate: int, values: int) -> tuple[int, Tensor]:
    """A signal (1, T) of integers in [0, values) as a file: its bytes, and the waveform (T,) that is read from it.

    Raises:
        soundfile.SoundFileError: the format has no such sample rate, or is not in this libsndfile.
    """
    samples = pcm16(x, values)
    content = io.BytesIO()
    soundfile.write(
        content,
        samples.numpy(),
        sample_rate,
        format=form.container,
        subtype=form.subtype,
        compression_level=form.level,
        bitrate_mode=form.bitrate_mode,
    )
    size = len(content.getvalue())
    content.seek(0)
    found, rate = soundfile.read(content, dtype="float32")
    assert rate == sample_rate
    wave = torch.zeros(len(samples))
    wave[: len(found)] = torch.from_numpy(found[: len(samples)])
    return size, wave


def pcm16(x: Tensor, values: int) -> Tensor:
    """A signal (1, T) of integers in [0, values) as 16-bit samples (T,)."""
    return (quantise(dequantise(x[0], values), 65536) - 32768).to(torch.int16)
