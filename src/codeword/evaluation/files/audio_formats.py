"""Common formats of recordings, written and read by libsndfile."""

import io

import soundfile
import torch
from torch import Tensor

from codeword.evaluation.files.amounts import OtherFormat
from codeword.media.waves import quantise


def _opus(kbit: float) -> OtherFormat:
    # libsndfile requests 6 kbit/s from Opus at level 1, the lowest, and 256 kbit/s at level 0.
    options = {"format": "OGG", "subtype": "OPUS", "compression_level": 1 - (kbit - 6) / 250}
    return OtherFormat("Opus", f"{kbit:g} kbit/s asked for", False, options)


def _mp3(level: float) -> OtherFormat:
    # In other modes at low rates LAME's delay is not stored in the file, so the decoded signal is shifted.
    options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "compression_level": level, "bitrate_mode": "AVERAGE"}
    return OtherFormat("MP3", f"level {level:g}", False, options)


LADDER = (
    OtherFormat("FLAC", "level 8", True, {"format": "FLAC", "subtype": "PCM_16", "compression_level": 1.0}),
    *(_opus(kbit) for kbit in (6, 8, 11, 16, 32)),
    *(_mp3(level) for level in (0.996, 0.98, 0.9)),
)
"""Every format and setting; the lossy ones from their lowest rate."""


def round_trip(wave: Tensor, form: OtherFormat, *, sample_rate: int) -> tuple[int, Tensor]:
    """Write a waveform (T,) in [-1, 1] to a file in memory; returns its size in bytes and the decoded waveform (T,).

    Raises:
        soundfile.SoundFileError: the format or this version of libsndfile does not support this sample rate.
    """
    samples, content = pcm16(wave), io.BytesIO()
    soundfile.write(content, samples.numpy(), sample_rate, **form.options)
    size = len(content.getvalue())
    content.seek(0)
    read, rate = soundfile.read(content, dtype="float32")
    assert rate == sample_rate
    # A lossy decoder may return a few samples more or fewer.
    decoded = torch.zeros(len(samples))
    decoded[: len(read)] = torch.from_numpy(read[: len(samples)])
    assert not form.lossless or torch.equal(decoded, samples.float() / 32768), f"{form.name} is not lossless."
    return size, decoded


def pcm16(wave: Tensor) -> Tensor:
    """A waveform (T,) in [-1, 1] as 16-bit samples (T,)."""
    return (quantise(wave, 65536) - 32768).to(torch.int16)
