"""Recordings as waves and as signals: read in one channel at any rate, quantised, and written.

A wave is a float32 array in [-1, 1], a signal an integer tensor. Every format of libsndfile is read; the sizes in
headers are checked.
"""

from collections.abc import Callable, Iterable, Iterator
from math import ceil, gcd
from pathlib import Path
from typing import IO

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from codeword.errors import DataError, UsageError
from codeword.media.audio_files import AudioHeader, check_channel, cut_short, opened, read_header
from codeword.media.base import regroup
from codeword.media.channels import Mono, Wave
from codeword.store import atomic_file

MAX_SAMPLES = 1 << 29
"""Largest number of samples that `read_audio` reads, 9 hours at 16 kHz; `read_blocks` has no limit."""

BLOCK_SAMPLES = 163_840
"""About 10 s at 16 kHz."""

MU = 255

_CONTAINERS = {".wav": "WAV", ".flac": "FLAC"}
# Samples of all channels that are read at a time.
_READ_SAMPLES = 1 << 18

# Full scale is 1. Filters of samples near the largest float32 give infinity.
_LARGEST = 1e9

# Levels in dB of a mix below its loudest channel. The mean of two equal channels without a common sound loses 3 dB, of
# one channel and a silent one 6 dB. A note names a loss of 10 dB; at 20 dB only one hundredth of the power is left.
_SAID_LOSS_DB = 10
_REFUSED_LOSS_DB = 20


def read_audio(path: str | Path, *, sample_rate: int, values: int, start: int = 0, count: int | None = None) -> Tensor:
    """Read a recording, or at most `count` samples of it from sample `start` on: (1, T) int64 in [0, values).

    `Mono` mixes the channels, other sample rates are resampled to `sample_rate` in Hz (soxr, high quality), and samples
    are quantised by `quantise`. `start` and `count` are at `sample_rate`. Only the requested part of the file is read.
    If it is resampled, it may differ from the same part of the whole recording by one step of 65536.

    Raises:
        DataError: the file is missing, empty, cut short, no audio, longer than `MAX_SAMPLES`, or has samples that are
            not finite; or `start` is not below its length.
    """
    wave = read_wave(path, sample_rate=sample_rate, start=start, count=count)
    return torch.from_numpy(quantise_wave(wave, values))[None]


def read_wave(path: str | Path, *, sample_rate: int, start: int = 0, count: int | None = None) -> Wave:
    """As `read_audio`, but a wave (T,), not quantised; it may exceed [-1, 1] if the file has floats or is resampled."""
    path = Path(path)
    with opened(path) as (file, header):
        length = samples_in(path, header, sample_rate)
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
        mono = Mono(header.channels, container=header.format)
        wave = np.concatenate(list(_waves(path, file, mono, sample_rate, first=first, last=last)))
        return wave[extra : extra + stop - start]


def read_blocks(
    path: str | Path,
    *,
    sample_rate: int,
    values: int,
    block_samples: int = BLOCK_SAMPLES,
    channel: int | None = None,
    notes: list[str] | None = None,
) -> Iterator[Tensor]:
    """Read a recording of any length in blocks (1, block_samples) int64, the last one shorter, in bounded memory.

    The concatenated blocks equal the result of `read_audio`, or those of `channel` alone, a number from 1 on. After the
    last block, `notes` holds a text for what was lost: clipped samples, and sound that the mix of the channels lacks.

    Raises:
        DataError: as `read_audio`, but damage in the file is detected only when its block is read; the file has no such
            channel; or, after the last block, the mix of the channels is 20 dB or more below one of them.
    """
    path = Path(path)
    with opened(path) as (file, header):
        check_channel(path, header, channel)
        samples_in(path, header, sample_rate)
        mono = Mono(header.channels, container=header.format, channel=channel)
        samples = clipped = 0

        def pieces() -> Iterator[tuple[Tensor]]:
            nonlocal samples, clipped
            for wave in _waves(path, file, mono, sample_rate, first=0, last=header.frames):
                samples += len(wave)
                clipped += int(np.count_nonzero(np.abs(wave) > 1))
                yield (torch.from_numpy(quantise_wave(wave, values)),)

        for (block,) in regroup(pieces(), block_samples):
            yield block[None]
    loss, loudest = mono.loss_db(), mono.loudest()
    if loss >= _REFUSED_LOSS_DB:
        raise DataError(
            f"{path}: the mix of its {header.channels} channels is {loss:.0f} dB below channel {loudest} alone, so "
            f"most of the sound would be lost; choose that channel."
        )
    found = []
    if clipped:
        found.append(f"{100 * clipped / samples:.3g} % of the samples clipped ({clipped:,} of {samples:,})")
    if loss >= _SAID_LOSS_DB:
        found.append(f"the mix of the channels is {loss:.0f} dB below channel {loudest} alone")
    if notes is not None:
        notes[:] = found


def audio_length(path: str | Path, sample_rate: int) -> int:
    """Number of samples T of the result of `read_audio`, from the header of the file. Raises DataError."""
    return samples_in(Path(path), read_header(path), sample_rate)


def resampled_length(frames: int, rate: int, sample_rate: int) -> int:
    """Number of samples after resampling `frames` from `rate` to `sample_rate`, rounded half up as in soxr."""
    return (2 * frames * sample_rate + rate) // (2 * rate)


def samples_in(path: Path, header: AudioHeader, sample_rate: int) -> int:
    """The number of samples of a file at `sample_rate`. Raises DataError if there is none."""
    length = resampled_length(header.frames, header.sample_rate, sample_rate)
    if not length:
        raise DataError(f"{path} is shorter than one sample at {sample_rate} Hz; leave it out.")
    return length


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
    path: Path, file: soundfile.SoundFile, mono: Mono, sample_rate: int, *, first: int, last: int
) -> Iterator[Wave]:
    """Read the frames [first, last) as waves (n,) of one channel at `sample_rate`."""
    resampler = None
    if file.samplerate != sample_rate:
        resampler = soxr.ResampleStream(file.samplerate, sample_rate, 1, dtype="float32")
    if first:  # Some kinds of samples can be read only from the start on.
        file.seek(first)
    block = max(1, _READ_SAMPLES // file.channels)
    while first < last:
        # One block at a time, because memory for all frames that a forged header claims could be too much.
        frames: Wave = file.read(min(block, last - first), dtype="float32", always_2d=True)
        if not len(frames):
            raise cut_short(path)
        first += len(frames)
        wave = mono(frames)
        if not (np.abs(wave) <= _LARGEST).all():  # Also if one is not a number.
            raise DataError(
                f"{path} holds samples that are not finite or above {_LARGEST:g}; export it again, for example with 16 "
                f"bits."
            )
        yield wave if resampler is None else resampler.resample_chunk(wave, last=first >= last)
