"""Audio files: every format of libsndfile is read as one channel of integers; the sizes in headers are checked.

A wave is a float32 array in [-1, 1], a signal an integer tensor.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, gcd
from pathlib import Path
from typing import IO

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from codeword.config import TokenizerConfig
from codeword.errors import DataError, UsageError
from codeword.media.base import Medium, regroup
from codeword.spectra.losses import log_mel_distance
from codeword.store import atomic_file

Wave = NDArray[np.float32]

AUDIO_SUFFIXES = frozenset(
    {".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".nist", ".oga", ".ogg", ".opus", ".rf64", ".snd"}
    | {".sph", ".w64", ".wav", ".wave"}
)
"""Lower-case suffixes, with the dot, of the files that `read_audio` can read."""

MAX_SAMPLES = 1 << 29
"""Largest number of samples that `read_audio` reads, 9 hours at 16 kHz; `read_blocks` has no limit."""

BLOCK_SAMPLES = 163_840
"""About 10 s at 16 kHz."""

MU = 255

_CONTAINERS = {".wav": "WAV", ".flac": "FLAC"}
_RATES = range(1000, 768_001)
# Samples of all channels that are read at a time.
_READ_SAMPLES = 1 << 18

# Largest possible compression: FLAC stores a constant block of 65,535 samples in 14 bytes.
_FRAMES_PER_BYTE = 8192

# libsndfile reads a WAV that was cut short without an error, but its log contains this line. Programs that write to a
# pipe put a size near the largest 32-bit number into the header, which means "unknown".
_CUT_WAV = re.compile(r"^data : (\d+) \(should be (\d+)\)$", re.MULTILINE)
_UNKNOWN_BYTES = 0x7FFFF000


class Audio(Medium):
    """Recordings of any length, sample rate and number of channels, read in blocks of one channel."""

    name, singular, plural, ndim = "audio", "a recording", "recordings", 1
    axes, cell_axes, dimension = ("samples",), ("cells",), "sample"
    suffixes, formats = AUDIO_SUFFIXES, ("wav", "flac")
    pretrained, hub_feature = "speech", "Audio"
    samples, shard_items = 8, 200

    def fits(self, config: TokenizerConfig) -> bool:
        return config.channels == 1 and config.values in (256, 65536) and config.sample_rate is not None

    def size(self, path: Path, config: TokenizerConfig) -> tuple[int, ...]:
        return (audio_length(path, _rate(config)),)

    def read(self, path: Path, config: TokenizerConfig) -> Iterator[Tensor]:
        return read_blocks(path, sample_rate=_rate(config), values=config.values)

    def write(
        self, path: Path, blocks: Iterable[Tensor], config: TokenizerConfig, *, grey: bool = False, replace: bool = True
    ) -> None:
        write_blocks(path, blocks, sample_rate=_rate(config), values=config.values, replace=replace)

    def compare(self, original: Path, reconstruction: Path, config: TokenizerConfig) -> dict[str, float]:
        """The log-mel distance in nepers, in blocks of about 10 s, each weighted by its length."""
        rate, total, samples = _rate(config), 0.0, 0
        pairs = (read_blocks(path, sample_rate=rate, values=65536) for path in (reconstruction, original))
        for decoded, expected in zip(*pairs, strict=True):
            waves = (dequantise(x[0], 65536) for x in (decoded, expected))
            total += log_mel_distance(*waves, sample_rate=rate) * expected.shape[1]
            samples += expected.shape[1]
        return {"log_mel_distance": round(total / samples, 3)}

    def size_of(self, seconds: float, config: TokenizerConfig) -> tuple[int, ...]:
        samples = round(seconds * _rate(config)) if 0 < seconds < float("inf") else 0
        if samples < 1:
            raise UsageError(f"The length must be above 0 seconds, not {seconds:g}.")
        return (samples,)


def _rate(config: TokenizerConfig) -> int:
    assert config.sample_rate is not None
    return config.sample_rate


@dataclass(frozen=True)
class AudioHeader:
    """Contents of the header of an audio file: number of frames, sample rate of the file in Hz, number of channels."""

    frames: int
    sample_rate: int
    channels: int


def read_audio(path: str | Path, *, sample_rate: int, values: int, start: int = 0, count: int | None = None) -> Tensor:
    """Read a recording, or at most `count` samples of it from sample `start` on: (1, T) int64 in [0, values).

    Channels are averaged, other sample rates are resampled to `sample_rate` in Hz (soxr, high quality), and samples are
    quantised by `quantise`. `start` and `count` are at `sample_rate`. Only the requested part of the file is read. If
    it is resampled, it may differ from the same part of the whole recording by one step of 65536.

    Raises:
        DataError: the file is missing, empty, cut short, no audio, longer than `MAX_SAMPLES`, or has samples that are
            not finite; or `start` is not below its length.
    """
    wave = read_wave(path, sample_rate=sample_rate, start=start, count=count)
    return torch.from_numpy(quantise_wave(wave, values))[None]


def read_wave(path: str | Path, *, sample_rate: int, start: int = 0, count: int | None = None) -> Wave:
    """As `read_audio`, but a wave (T,), not quantised; it may exceed [-1, 1] if the file has floats or is resampled."""
    path = Path(path)
    with _opened(path) as file:
        header = _header(path, file)
        length = resampled_length(header.frames, header.sample_rate, sample_rate)
        if start >= length:
            raise DataError(
                f"{path} has {length} samples at {sample_rate} Hz, so none from sample {start} on; "
                f"choose an earlier part."
            )
        stop = length if count is None else min(start + count, length)
        if stop - start > MAX_SAMPLES:
            raise DataError(
                f"{path} has {length:,} samples at {sample_rate} Hz, more than the {MAX_SAMPLES:,} that are read in "
                f"one piece; cut it into parts."
            )
        first, last, extra = _frame_range(start, stop, header, sample_rate)
        wave = np.concatenate(list(_waves(path, file, header, sample_rate, first=first, last=last)))
        return wave[extra : extra + stop - start]


def read_blocks(
    path: str | Path, *, sample_rate: int, values: int, block_samples: int = BLOCK_SAMPLES
) -> Iterator[Tensor]:
    """Read a recording of any length in blocks (1, block_samples) int64, the last one shorter, in bounded memory.

    The concatenated blocks equal the result of `read_audio`.

    Raises:
        DataError: as `read_audio`, but damage in the file is detected only when its block is read.
    """
    path = Path(path)
    with _opened(path) as file:
        header = _header(path, file)
        waves = _waves(path, file, header, sample_rate, first=0, last=header.frames)
        pieces = ((torch.from_numpy(quantise_wave(wave, values)),) for wave in waves)
        for (block,) in regroup(pieces, block_samples):
            yield block[None]


def read_header(path: str | Path) -> AudioHeader:
    """Read the header of a file and check that the last frame can be read.

    Raises:
        DataError: as `read_audio`, but damage in the middle of the file is not detected.
    """
    path = Path(path)
    with _opened(path) as file:
        header = _header(path, file)
        file.seek(header.frames - 1)
        if len(file.read(1, dtype="float32")) < 1:
            raise _cut(path)
        return header


def audio_length(path: str | Path, sample_rate: int) -> int:
    """Number of samples T of the result of `read_audio`, from the header of the file. Raises DataError."""
    header = read_header(path)
    return resampled_length(header.frames, header.sample_rate, sample_rate)


def resampled_length(frames: int, rate: int, sample_rate: int) -> int:
    """Number of samples after resampling `frames` from `rate` to `sample_rate`, rounded half up as in soxr."""
    return (2 * frames * sample_rate + rate) // (2 * rate)


def write_audio(path: str | Path, x: Tensor, *, sample_rate: int, values: int) -> None:
    """Write a signal (1, T) of integers in [0, values) atomically as 16-bit WAV or FLAC; the suffix decides.

    Raises:
        UsageError: the suffix is neither .wav nor .flac, or the tensor is no signal.
        CodewordError: the disk is full, or the path cannot be written to.
    """
    write_blocks(path, [x], sample_rate=sample_rate, values=values)


def write_blocks(
    path: str | Path, blocks: Iterable[Tensor], *, sample_rate: int, values: int, replace: bool = True
) -> None:
    """As `write_audio`, for a signal in consecutive blocks (1, n), of which one at a time is in memory."""
    path = Path(path)
    container = _CONTAINERS.get(path.suffix.lower())
    if container is None:
        raise UsageError(
            f"{path}: audio cannot be written as {path.suffix or 'a file without suffix'!r}; try .wav or .flac."
        )
    with atomic_file(path, replace=replace) as file:
        sink = _Sink(file)
        try:
            with soundfile.SoundFile(sink, "w", sample_rate, 1, "PCM_16", format=container) as sound:
                for x in blocks:
                    if x.is_floating_point() or x.ndim != 2 or x.shape[0] != 1:
                        raise UsageError(
                            f"{path}: a signal is an integer tensor of shape (1, T), "
                            f"not {x.dtype} of shape {tuple(x.shape)}."
                        )
                    sound.write(_to_pcm16(x, values))
        except soundfile.LibsndfileError as error:
            raise OSError(str(error)) from error
        finally:
            if sink.error is not None:
                raise sink.error


class _Sink:
    """A file that libsndfile writes to; it keeps the first error, because exceptions in its callbacks are lost."""

    def __init__(self, file: IO[bytes]) -> None:
        self.error: OSError | None = None
        self.tell = file.tell
        self.write = self._keep_error(file.write)
        self.seek = self._keep_error(file.seek)

    def _keep_error(self, call: Callable[..., int]) -> Callable[..., int]:
        def guarded(*arguments: object) -> int:
            try:
                return call(*arguments)
            except OSError as error:
                self.error = self.error or error
                return 0

        return guarded


def quantise(wave: Tensor, values: int) -> Tensor:
    """Quantise a wave of any shape, clipped to [-1, 1], to int64 in [0, values).

    65536 values are linear: `round(32768 w) + 32768`, so a 16-bit sample s becomes s + 32768. 256 values are mu-law in
    its continuous form (ITU-T G.711; van den Oord et al. 2016, WaveNet, sec. 2.2): `round(127.5 (F(w) + 1))` with
    `F(w) = sign(w) ln(1 + 255 |w|) / ln 256`.
    """
    return torch.from_numpy(quantise_wave(wave.detach().cpu().numpy(), values)).to(wave.device)


def dequantise(x: Tensor, values: int) -> Tensor:
    """The inverse of `quantise`: the float32 number in the centre of each quantisation step."""
    if values == 256:
        compressed = x.float() / 127.5 - 1
        return compressed.sign() * torch.expm1(compressed.abs() * np.log1p(MU)) / MU
    return (x.float() - 32768) / 32768


def quantise_wave(wave: Wave, values: int) -> NDArray[np.int64]:
    """`quantise` for arrays. It uses numpy, because torch would start a thread pool in each of the calling threads."""
    assert values in (256, 65536), values
    clipped = np.clip(wave, -1, 1)
    if values == 256:
        compressed = np.sign(clipped) * np.log1p(MU * np.abs(clipped)) / np.log1p(MU)
        steps = np.rint((compressed + 1) * 127.5)
    else:
        steps = np.minimum(np.rint(clipped * 32768) + 32768, 65535)
    integers: NDArray[np.int64] = steps.astype(np.int64)
    return integers


def _to_pcm16(x: Tensor, values: int) -> NDArray[np.int16]:
    if values == 256:
        x = quantise(dequantise(x, 256), 65536)
    return (x[0].cpu().numpy().astype(np.int64).clip(0, 65535) - 32768).astype(np.int16)


def _frame_range(start: int, stop: int, header: AudioHeader, sample_rate: int) -> tuple[int, int, int]:
    """Range of frames [first, last) to read for samples `start` to `stop`, and the number of extra samples before them.

    Frames are at the rate of the file, samples at `sample_rate`.
    """
    rate = header.sample_rate
    if rate == sample_rate:
        return start, stop, 0
    # The receptive field of the filter. Soxr stays in phase if the first frame is a multiple of the period, the
    # shortest time with a whole number of frames and of samples.
    margin = 1024 * ceil(max(1, rate / sample_rate))
    divisor = gcd(rate, sample_rate)
    period_frames, period_samples = rate // divisor, sample_rate // divisor
    periods = max(0, start * rate // sample_rate - margin) // period_frames
    last = min(header.frames, stop * rate // sample_rate + 1 + margin)
    return periods * period_frames, last, start - periods * period_samples


def _waves(
    path: Path, file: soundfile.SoundFile, header: AudioHeader, sample_rate: int, *, first: int, last: int
) -> Iterator[Wave]:
    """Read the frames [first, last) as waves (n,) of one channel at `sample_rate`."""
    resampler = None
    if header.sample_rate != sample_rate:
        resampler = soxr.ResampleStream(header.sample_rate, sample_rate, 1, dtype="float32")
    file.seek(first)
    block = max(1, _READ_SAMPLES // header.channels)
    while first < last:
        # One block at a time, because memory for all frames that a forged header claims could be too much.
        frames: Wave = file.read(min(block, last - first), dtype="float32", always_2d=True)
        if not len(frames):
            raise _cut(path)
        first += len(frames)
        wave: Wave = frames[:, 0] if header.channels == 1 else frames.mean(1, dtype=np.float32)
        if not np.isfinite(wave).all():
            raise DataError(
                f"{path} holds samples that are not finite numbers; export it again, for example with 16 bits."
            )
        yield wave if resampler is None else resampler.resample_chunk(wave, last=first >= last)


def _header(path: Path, file: soundfile.SoundFile) -> AudioHeader:
    """The header of an open file. Raises DataError if the file is too small for it, or its sample rate is unusual."""
    header = AudioHeader(int(file.frames), int(file.samplerate), int(file.channels))
    cut = _CUT_WAV.search(file.extra_info)
    if cut and int(cut[1]) > int(cut[2]) and int(cut[1]) < _UNKNOWN_BYTES:
        raise _cut(path)
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


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open an audio file; every error of libsndfile becomes a DataError."""
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty; remove it or fetch it again.")
        # As bytes, because soundfile refuses names that are not UTF-8.
        file = soundfile.SoundFile(os.fsencode(path))
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}; check the path.") from error
    except (soundfile.SoundFileError, OSError, TypeError) as error:  # TypeError: the suffix is one of headerless audio.
        raise DataError(f"{path} cannot be read as audio ({_reason(error)}); remove it or fetch it again.") from error
    with file:
        try:
            yield file
        except (soundfile.SoundFileError, OSError) as error:
            raise DataError(f"{path} is cut short or damaged ({_reason(error)}); fetch it again.") from error


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).removeprefix("Error : ").strip().rstrip(".")


def _cut(path: Path) -> DataError:
    return DataError(f"{path} is cut short: it has fewer samples than its header claims; fetch it again.")
