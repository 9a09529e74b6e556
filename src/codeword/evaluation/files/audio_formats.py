"""Common formats of recordings, written and read by libsndfile."""

import io
from dataclasses import dataclass
from typing import ClassVar

import soundfile
import torch
from torch import Tensor

from codeword.media.audio import quantise


@dataclass(frozen=True)
class AudioFormat:
    """A format of recordings; `level` is libsndfile's compression level, the higher the smaller the file."""

    name: str
    setting: str
    lossless: bool
    container: str
    subtype: str
    level: float
    bitrate_mode: str | None = None
    together: ClassVar[bool] = False

    @property
    def title(self) -> str:
        return self.name


def _opus(kbit: float) -> AudioFormat:
    # libsndfile requests 6 kbit/s from Opus at level 1, the lowest, and 256 kbit/s at level 0.
    return AudioFormat("Opus", f"{kbit:g} kbit/s asked for", False, "OGG", "OPUS", 1 - (kbit - 6) / 250)


def _mp3(level: float) -> AudioFormat:
    # In other modes at low rates LAME's delay is not stored in the file, so the decoded signal is shifted.
    return AudioFormat("MP3", f"level {level:g}", False, "MP3", "MPEG_LAYER_III", level, "AVERAGE")


LADDER = (
    AudioFormat("FLAC", "level 8", True, "FLAC", "PCM_16", 1.0),
    *(_opus(kbit) for kbit in (6, 8, 11, 16, 32)),
    *(_mp3(level) for level in (0.996, 0.98, 0.9)),
)
"""Every format; the lossy ones from their lowest rate."""


def written(wave: Tensor, form: AudioFormat, *, sample_rate: int) -> tuple[int, Tensor]:
    """A waveform (T,) in [-1, 1] as a file: its size in bytes, and the waveform (T,) that is read from it.

    Raises:
        soundfile.SoundFileError: the format or this libsndfile does not have this sample rate.
    """
    samples = pcm16(wave)
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
    decoded = torch.zeros(len(samples))
    decoded[: len(found)] = torch.from_numpy(found[: len(samples)])
    assert not form.lossless or torch.equal(decoded, samples.float() / 32768), f"{form.name} is not lossless."
    return size, decoded


def pcm16(wave: Tensor) -> Tensor:
    """A waveform (T,) in [-1, 1] as 16-bit samples (T,)."""
    return (quantise(wave, 65536) - 32768).to(torch.int16)
