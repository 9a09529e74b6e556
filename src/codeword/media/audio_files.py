"""Opening of audio files: their headers, checked, and files that end too early or that libsndfile cannot read."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import soundfile

from codeword.errors import DataError
from codeword.media.cut_files import is_cut
from codeword.media.mp3 import mp3_samples

AUDIO_SUFFIXES = frozenset(
    {".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".nist", ".oga", ".ogg", ".opus", ".rf64", ".snd"}
    | {".sph", ".w64", ".wav", ".wave"}
)
"""Lower-case suffixes, with the dot, of the audio files that can be read."""

# Formats that libsndfile cannot read: name, suffixes, first bytes and their position.
_UNREADABLE = (
    ("MPEG-4 audio", (".m4a", ".m4b", ".mp4", ".3gp"), b"ftyp", 4),
    ("AAC", (".aac",), b"\xff\xf1", 0),
    ("Windows Media Audio", (".wma",), b"\x30\x26\xb2\x75", 0),
    ("AMR", (".amr", ".awb"), b"#!AMR", 0),
    ("WebM or Matroska", (".webm", ".mka"), b"\x1aE\xdf\xa3", 0),
    ("WavPack", (".wv",), b"wvpk", 0),
    ("Monkey's Audio", (".ape",), b"MAC ", 0),
    ("Musepack", (".mpc",), b"MPCK", 0),
    ("DSD", (".dsf",), b"DSD ", 0),
    ("AC-3", (".ac3",), b"\x0b\x77", 0),
    ("MIDI", (".mid", ".midi"), b"MThd", 0),
)

UNREADABLE_SUFFIXES = {suffix: name for name, suffixes, _, _ in _UNREADABLE for suffix in suffixes}
"""Lower-case suffixes, with the dot, of audio files that cannot be read, and the names of their formats."""

_RATES = range(1000, 768_001)

# Largest possible compression: FLAC stores a constant block of 65,535 samples in 14 bytes.
_FRAMES_PER_BYTE = 8192

# Samples of one frame of MP3.
_MP3_FRAME = 1152


@dataclass(frozen=True)
class AudioHeader:
    """Contents of the header of an audio file.

    Attributes:
        frames: the number of frames; a frame has one sample of each channel.
        sample_rate: the sample rate of the file in Hz.
        channels: the number of channels.
        format, subtype: the container and the kind of samples, by the names that libsndfile gives them.
    """

    frames: int
    sample_rate: int
    channels: int
    format: str
    subtype: str


def read_header(path: str | Path) -> AudioHeader:
    """Read the header of a file and check that the last frame can be read.

    Raises:
        DataError: the file is missing, empty, cut short, or no audio; damage in its middle is not detected.
    """
    with opened(Path(path)) as (file, header):
        if file.seekable():
            file.seek(header.frames - 1)
            if len(file.read(1, dtype="float32")) < 1:
                raise cut_short(Path(path))
        return header


@contextmanager
def opened(path: Path) -> Iterator[tuple[soundfile.SoundFile, AudioHeader]]:
    """Open an audio file and check its header; every error of libsndfile becomes a DataError."""
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty; remove it or fetch it again.")
        # As bytes, because soundfile refuses names that are not UTF-8.
        file = soundfile.SoundFile(os.fsencode(path))
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}; check the path.") from error
    except (soundfile.SoundFileError, OSError, TypeError) as error:  # TypeError: the suffix is one of headerless audio.
        if name := _unreadable(path):
            raise DataError(
                f"{path} is {name}, which cannot be read; convert it to WAV, FLAC, Ogg, Opus, MP3 or AIFF."
            ) from error
        raise DataError(f"{path} cannot be read as audio ({_reason(error)}); remove it or fetch it again.") from error
    with file:
        try:
            yield file, _header(path, file)
        except (soundfile.SoundFileError, OSError, ValueError) as error:
            # ValueError: in damaged MP3 libsndfile moves past the end, and soundfile then reads a negative number.
            raise DataError(f"{path} is cut short or damaged ({_reason(error)}); fetch it again.") from error


def check_channel(path: Path, header: AudioHeader, channel: int | None) -> None:
    """Raises DataError if the file has no channel of this number, counted from 1."""
    if channel is not None and channel > header.channels:
        raise DataError(
            f"{path} has {header.channels} channel{'s' * (header.channels > 1)}, so no channel {channel}; choose "
            f"another, or none."
        )


def cut_short(path: Path) -> DataError:
    """The error for a file that ends too early."""
    return DataError(f"{path} is cut short: its last part is missing; fetch it again.")


def _header(path: Path, file: soundfile.SoundFile) -> AudioHeader:
    """The header of an open file. Raises DataError if the file is too small for it, or its sample rate is unusual."""
    frames = int(file.frames)
    if file.format == "MP3" and (samples := mp3_samples(path)):
        if samples > frames + _MP3_FRAME:
            raise DataError(
                f"{path} is an MP3 file that does not say its length, and libsndfile reads only {frames:,} of its "
                f"{samples:,} samples; convert it to WAV or FLAC."
            )
        frames = min(frames, samples)
    header = AudioHeader(frames, int(file.samplerate), int(file.channels), file.format, file.subtype)
    if is_cut(path, header.frames):
        raise cut_short(path)
    if header.frames == 0:
        raise DataError(f"{path} holds no samples; remove it or fetch it again.")
    if header.frames > path.stat().st_size * _FRAMES_PER_BYTE:
        raise DataError(
            f"{path} claims {header.frames:,} samples, more than {path.stat().st_size:,} bytes hold; write it again."
        )
    if header.sample_rate not in _RATES:
        raise DataError(
            f"{path} has a sample rate of {header.sample_rate} Hz; {_RATES[0]} to {_RATES[-1]} Hz can be read."
        )
    return header


def _unreadable(path: Path) -> str | None:
    """The name of the format of a file, by its first bytes or its suffix, if libsndfile cannot read this format."""
    if path.is_file():
        with path.open("rb") as file:
            content = file.read(16)
        for name, _, magic, position in _UNREADABLE:
            if content[position:].startswith(magic):
                return name
    return UNREADABLE_SUFFIXES.get(path.suffix.lower())


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).removeprefix("Error : ").strip().rstrip(".")
