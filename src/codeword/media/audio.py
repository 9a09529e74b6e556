"""Audio: every format that libsndfile reads becomes one channel of integers; claims of headers are checked.

Waves are float32 arrays in [-1, 1]; signals are the integers that the rest of Codeword uses.
"""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, gcd
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from codeword.config import TokenizerConfig
from codeword.errors import CodewordError, DataError, UsageError
from codeword.media.base import Medium, regroup
from codeword.spectra.losses import log_mel_distance

Wave = NDArray[np.float32]

AUDIO_SUFFIXES = frozenset(
    {".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".nist", ".oga", ".ogg", ".opus", ".rf64", ".snd"}
    | {".sph", ".w64", ".wav", ".wave"}
)
"""Lower-case suffixes, with the dot, of the files that `read_audio` can read."""

MAX_SAMPLES = 1 << 29
"""The longest recording that is read in one piece, 9 hours at 16 kHz; `read_blocks` has no such limit."""

BLOCK_SAMPLES = 163_840
"""About 10 s at 16 kHz."""

MU = 255

_WRITTEN = {".wav": "WAV", ".flac": "FLAC"}
_RATES = range(1000, 768_001)
_BLOCK_NUMBERS = 1 << 18

# The densest that any format packs: FLAC stores a constant block of 65,535 samples in 14 bytes.
_FRAMES_PER_BYTE = 8192

# libsndfile silently shortens a WAV that was cut, but its log tells. Writers that could not seek back leave
# the largest numbers there are as "unknown".
_CUT_WAV = re.compile(r"^data : (\d+) \(should be (\d+)\)$", re.MULTILINE)
_UNKNOWN_BYTES = 0x7FFFF000


class Audio(Medium):
    """Recordings of any length, rate and number of channels, as one channel at the tokenizer's rate, in blocks."""

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

    def write(self, path: Path, blocks: Iterable[Tensor], config: TokenizerConfig, *, grey: bool = False) -> None:
        write_blocks(path, blocks, sample_rate=_rate(config), values=config.values)

    def compare(self, original: Path, reconstruction: Path, config: TokenizerConfig) -> dict[str, float]:
        """The log-mel distance in nepers, in blocks of about 10 s, each weighted by its length."""
        rate, total, samples = _rate(config), 0.0, 0
        pairs = (read_blocks(path, sample_rate=rate, values=65536) for path in (reconstruction, original))
        for found, wanted in zip(*pairs, strict=True):
            waves = (dequantise(x[0], 65536) for x in (found, wanted))
            total += log_mel_distance(*waves, sample_rate=rate) * wanted.shape[1]
            samples += wanted.shape[1]
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
class Header:
    """Contents of a file's header: `frames` at its own `sample_rate` in Hz, and its channels."""

    frames: int
    sample_rate: int
    channels: int


def read_audio(path: str | Path, *, sample_rate: int, values: int, start: int = 0, count: int | None = None) -> Tensor:
    """A recording, or `count` samples of it from `start` on (fewer where it ends): (1, T) int64 in [0, values).

    Channels are averaged, another rate is resampled to `sample_rate` (soxr, high quality), values are
    quantised as by `quantise`. Only the requested part is read. A part that is resampled may differ from the same part
    of the whole recording by rounding, by at most one step of 65536.

    Raises:
        DataError: the file is missing, empty, cut short, no audio, longer than `MAX_SAMPLES`, or holds samples that
            are not finite; or `start` lies after its end.
    """
    wave = read_wave(path, sample_rate=sample_rate, start=start, count=count)
    return torch.from_numpy(quantise_wave(wave, values))[None]


def read_wave(path: str | Path, *, sample_rate: int, start: int = 0, count: int | None = None) -> Wave:
    """As `read_audio`, but real numbers (T,), mostly in [-1, 1]: float files and resampling may overshoot."""
    path = Path(path)
    with _opened(path) as file:
        header = _header(path, file)
        length = resampled_length(header.frames, header.sample_rate, sample_rate)
        if start >= length:
            raise DataError(
                f"{path} has {length} samples at {sample_rate} Hz, none from sample {start} on; "
                f"ask for an earlier part."
            )
        stop = length if count is None else min(start + count, length)
        if stop - start > MAX_SAMPLES:
            raise DataError(
                f"{path} has {length:,} samples at {sample_rate} Hz, more than the {MAX_SAMPLES:,} that are read in "
                f"one piece; cut it into parts."
            )
        first, last, skip = _span(start, stop, header, sample_rate)
        wave = np.concatenate(list(_waves(path, file, header, sample_rate, first=first, last=last)))
        return wave[skip : skip + stop - start]


def read_blocks(
    path: str | Path, *, sample_rate: int, values: int, block_samples: int = BLOCK_SAMPLES
) -> Iterator[Tensor]:
    """A recording of any length in (1, block_samples) int64 blocks, the last one shorter, in bounded memory.

    Joined, they equal the result of `read_audio`.

    Raises:
        DataError: as `read_audio`, when the damage is reached.
    """
    path = Path(path)
    with _opened(path) as file:
        header = _header(path, file)
        waves = _waves(path, file, header, sample_rate, first=0, last=header.frames)
        pieces = ((torch.from_numpy(quantise_wave(wave, values)),) for wave in waves)
        for (block,) in regroup(pieces, block_samples):
            yield block[None]


def read_header(path: str | Path) -> Header:
    """Contents of a file's header, after a check that its last frame exists.

    Raises:
        DataError: as `read_audio`, but damage in the middle is not noticed.
    """
    path = Path(path)
    with _opened(path) as file:
        header = _header(path, file)
        file.seek(header.frames - 1)
        if len(file.read(1, dtype="float32")) < 1:
            raise _cut(path)
        return header


def audio_length(path: str | Path, sample_rate: int) -> int:
    """Number of samples that `read_audio` gives, from the header. Raises DataError."""
    header = read_header(path)
    return resampled_length(header.frames, header.sample_rate, sample_rate)


def resampled_length(frames: int, rate: int, sample_rate: int) -> int:
    """Length of `frames` at `rate` when resampled: the nearest whole number, halves up, as in soxr."""
    return (2 * frames * sample_rate + rate) // (2 * rate)


def write_audio(path: str | Path, x: Tensor, *, sample_rate: int, values: int) -> None:
    """Write a signal (1, T) of integers in [0, values) as 16-bit WAV or FLAC, by suffix, whole or not at all.

    Raises:
        UsageError: the suffix is neither .wav nor .flac, or the tensor is no signal.
        CodewordError: the disk is full, or the place cannot be written to.
    """
    write_blocks(path, [x], sample_rate=sample_rate, values=values)


def write_blocks(path: str | Path, blocks: Iterable[Tensor], *, sample_rate: int, values: int) -> None:
    """As `write_audio`, of a signal that comes in blocks (1, n), one of them in memory at a time."""
    path = Path(path)
    container = _WRITTEN.get(path.suffix.lower())
    if container is None:
        raise UsageError(
            f"{path}: audio cannot be written as {path.suffix or 'a file without suffix'!r}; try .wav or .flac."
        )
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as held:
            temporary = Path(held.name)
            with soundfile.SoundFile(held, "w", sample_rate, 1, "PCM_16", format=container) as file:
                for x in blocks:
                    if x.is_floating_point() or x.ndim != 2 or x.shape[0] != 1:
                        raise UsageError(
                            f"{path}: a signal is an integer tensor of shape (1, T), "
                            f"not {x.dtype} of shape {tuple(x.shape)}."
                        )
                    file.write(_to_pcm16(x, values))
            held.flush()
            os.fsync(held.fileno())
        temporary.chmod(0o644)  # NamedTemporaryFile makes files that only their owner can read.
        temporary.replace(path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise CodewordError(
            f"Could not write {path}: {error}; what stood there before is unchanged. "
            f"Free some space or choose another place, then run the command again."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def quantise(wave: Tensor, values: int) -> Tensor:
    """Real numbers in [-1, 1], clipped, to int64 in [0, values), of the same shape.

    65536: linear, `round(32768 w) + 32768`, so that a 16-bit sample s becomes s + 32768. 256: mu-law in its
    continuous form (ITU-T G.711; van den Oord et al. 2016, WaveNet, sec. 2.2),
    `F(w) = sign(w) ln(1 + 255 |w|) / ln 256`, then `round(127.5 (F + 1))`.
    """
    return torch.from_numpy(quantise_wave(wave.detach().cpu().numpy(), values)).to(wave.device)


def dequantise(x: Tensor, values: int) -> Tensor:
    """The float32 number that each integer of `quantise` stands for, the centre of its step."""
    if values == 256:
        compressed = x.float() / 127.5 - 1
        return compressed.sign() * torch.expm1(compressed.abs() * np.log1p(MU)) / MU
    return (x.float() - 32768) / 32768


def quantise_wave(wave: Wave, values: int) -> NDArray[np.int64]:
    """`quantise` for arrays. In numpy, because it runs in threads that must not start pools of torch's own."""
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


def _span(start: int, stop: int, header: Header, sample_rate: int) -> tuple[int, int, int]:
    """First and last + 1 frame to read for samples `start` to `stop`, and the number of samples decoded before them."""
    rate = header.sample_rate
    if rate == sample_rate:
        return start, stop, 0
    # The filter looks this far to both sides; and starting on a multiple of the ratio keeps soxr in phase.
    margin = 1024 * ceil(max(1, rate / sample_rate))
    shared = gcd(rate, sample_rate)
    frames_per_turn, samples_per_turn = rate // shared, sample_rate // shared
    turns = max(0, start * rate // sample_rate - margin) // frames_per_turn
    last = min(header.frames, stop * rate // sample_rate + 1 + margin)
    return turns * frames_per_turn, last, start - turns * samples_per_turn


def _waves(
    path: Path, file: soundfile.SoundFile, header: Header, sample_rate: int, *, first: int, last: int
) -> Iterator[Wave]:
    """Frames `first` to `last` as one channel at `sample_rate`, piece by piece."""
    resampler = None
    if header.sample_rate != sample_rate:
        resampler = soxr.ResampleStream(header.sample_rate, sample_rate, 1, dtype="float32")
    file.seek(first)
    block = max(1, _BLOCK_NUMBERS // header.channels)
    while first < last:
        # Never more than is asked for, and never all that a header claims: memory is taken block by block.
        frames: Wave = file.read(min(block, last - first), dtype="float32", always_2d=True)
        if not len(frames):
            raise _cut(path)
        first += len(frames)
        wave: Wave = frames[:, 0] if header.channels == 1 else frames.mean(1, dtype=np.float32)
        if not np.isfinite(wave).all():
            raise DataError(f"{path} holds samples that are not finite numbers; export it again, as 16-bit say.")
        yield wave if resampler is None else resampler.resample_chunk(wave, last=first >= last)


def _header(path: Path, file: soundfile.SoundFile) -> Header:
    """The header of an open file, if its claims are possible. Raises DataError."""
    header = Header(int(file.frames), int(file.samplerate), int(file.channels))
    cut = _CUT_WAV.search(file.extra_info)
    if cut and int(cut[1]) > int(cut[2]) and int(cut[1]) < _UNKNOWN_BYTES:
        raise _cut(path)
    if header.frames == 0:
        raise DataError(f"{path} holds no samples; remove it or fetch it again.")
    if header.frames > path.stat().st_size * _FRAMES_PER_BYTE:
        raise DataError(
            f"{path} claims {header.frames:,} samples, which {path.stat().st_size:,} bytes cannot hold; write it again."
        )
    if header.sample_rate not in _RATES:
        raise DataError(
            f"{path} has a sample rate of {header.sample_rate} Hz; {_RATES[0]} to {_RATES[-1]} Hz can be read."
        )
    return header


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """An open audio file; every error of libsndfile becomes a DataError of one sentence."""
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty; remove it or fetch it again.")
        file = soundfile.SoundFile(path)
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}; check the path.") from error
    except (soundfile.SoundFileError, OSError, TypeError) as error:  # TypeError: a suffix of headerless audio.
        raise DataError(f"{path} cannot be read as audio ({_reason(error)}); remove it or fetch it again.") from error
    with file:
        try:
            yield file
        except (soundfile.SoundFileError, OSError) as error:
            raise DataError(f"{path} is cut short or damaged ({_reason(error)}); fetch it again.") from error


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).removeprefix("Error : ").strip().rstrip(".")


def _cut(path: Path) -> DataError:
    return DataError(f"{path} is cut short: it ends before its header says; fetch it again.")
