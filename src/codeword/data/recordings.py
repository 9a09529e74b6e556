"""Data sets of recordings: training reads crops, the evaluation whole recordings."""

import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np
import soxr
import torch
from torch import Tensor

from codeword.config import AudioConfig
from codeword.data.base import Batch, Dataset
from codeword.data.files.replacement import Replacement
from codeword.data.files.tree import abbreviate
from codeword.data.phones.alignment import Phone
from codeword.data.phones.transcripts import transcript_of
from codeword.errors import DataError
from codeword.media.channels import Wave
from codeword.media.waves import quantise_wave, read_wave

# Decoding releases the interpreter lock; with more threads than this the disk is the limit.
_THREADS = min(8, os.cpu_count() or 1)

_EQUALISER_BANDS = 6


@dataclass(frozen=True)
class Recording:
    """One utterance: `name`, file (None for a synthetic one), speaker, and length in samples."""

    name: str
    path: Path | None
    speaker: str
    samples: int


@dataclass(frozen=True)
class Crop:
    """A crop: its `wave` (crop_samples,), the number of its recording, and the part of it that the wave is.

    The wave begins `start_s` seconds after the recording's start and passes `speed` seconds of it in each second.
    """

    wave: Wave
    recording: int
    start_s: float
    speed: float


@dataclass(frozen=True)
class _Change:
    """Augmentation of one crop.

    `position` from 0 to 1 is the position of the crop in its section of the recording (all sections of a recording have
    the same length), `speed` a factor, `gain_db` the gain of the crop, `bands_db` that of each equaliser band.
    """

    position: float
    speed: float
    gain_db: float
    bands_db: tuple[float, ...]


class Recordings(Dataset):
    """One split of recordings as int64 signals (1, crop_samples) in [0, values).

    The indices of `take` count the adjacent crops of all recordings, so longer recordings have more weight. The rest
    after the last complete crop of a recording is used only with augmentation. A recording shorter than a crop is one
    crop, padded with silence. With a generator, `take` shifts each crop at random, changes its gain and spectrum as
    configured, and for half of the crops the speed. Speed changes the voice, so such a crop has the null class.

    `classes` are the speakers of the training split, in every split; all other speakers have the null class,
    `len(classes)`. If a file cannot be read during training, one warning is logged and the next recording is read
    instead; `skipped` lists these files and those that could not be opened. `sample_rate` is in Hz.
    """

    speed_changes_class: bool = True
    """True if a crop of another speed has another class, as that of a speaker."""

    def __init__(
        self,
        config: AudioConfig,
        recordings: Sequence[Recording],
        *,
        classes: tuple[str, ...],
        skipped: Sequence[str] = (),
    ) -> None:
        self._config = config
        self.recordings = tuple(recordings)
        self.sample_rate = config.sample_rate
        self.shape = (1, config.crop_samples)
        self.classes = classes
        self.skipped = list(skipped)
        self._numbers = {speaker: i for i, speaker in enumerate(classes)}
        self._replacement = Replacement([r.name for r in self.recordings], self.skipped)
        # Entry i is the number of crops of recordings 0 to i, which is the index after the last crop of recording i.
        self._ends = list(accumulate(max(1, r.samples // config.crop_samples) for r in self.recordings))

    def __len__(self) -> int:
        return self._ends[-1]

    def take(self, indices: Sequence[int], *, generator: torch.Generator | None = None) -> Batch:
        crops = self.crops(indices, generator=generator)
        labels = [
            len(self.classes) if crop.speed != 1 and self.speed_changes_class else self.label(crop.recording)
            for crop in crops
        ]
        return Batch(self.quantised(crops), torch.tensor(labels, dtype=torch.int64))

    def quantised(self, crops: Sequence[Crop]) -> Tensor:
        """The signals of crops: (B, 1, crop_samples) int64."""
        return torch.from_numpy(np.stack([quantise_wave(crop.wave, self._config.values) for crop in crops]))[:, None]

    def crops(self, indices: Sequence[int], *, generator: torch.Generator | None = None) -> list[Crop]:
        """Read the crops at `indices`; with a generator they are augmented, as in `take`."""
        assert all(0 <= index < len(self) for index in indices)
        changes: Sequence[_Change | None] = [None] * len(indices)
        if generator is not None:
            # Threads finish in any order, so all random numbers are drawn before they start.
            drawn = torch.rand(len(indices), 4 + _EQUALISER_BANDS, generator=generator, dtype=torch.float64).tolist()
            changes = [self._change(*numbers) for numbers in drawn]
        if self.in_memory:
            return list(map(self._crop, indices, changes))
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(self._crop, indices, changes))

    def verify(self) -> str:
        """Read every recording. Returns a phrase with the numbers of recordings and hours, and the broken ones."""
        broken, aligned = list(self.skipped), 0
        for i, recording in enumerate(self.recordings):
            try:
                self.read(i)
            except DataError:
                broken.append(recording.name)
            aligned += self.phones(i) is not None
        hours = sum(r.samples for r in self.recordings) / self.sample_rate / 3600
        problems = f", {len(broken)} of them broken ({abbreviate(broken)})" if broken else ""
        count = len(self.recordings) + len(self.skipped)
        return f"{count:,} recordings of {hours:.2f} hours{problems}, phones known of {aligned:,}"

    def read(self, i: int) -> Tensor:
        """The whole recording `i`, (1, T) int64 in [0, values). Raises DataError."""
        wave = self._wave(i, 0, self.recordings[i].samples)
        return torch.from_numpy(quantise_wave(wave, self._config.values))[None]

    def label(self, i: int) -> int:
        """The class of recording `i`: the number of its speaker, or the null class for a speaker not in training."""
        return self._numbers.get(self.recordings[i].speaker, len(self.classes))

    def phones(self, i: int) -> tuple[Phone, ...] | None:
        """The phones of recording `i` with their times, or None if it has no alignment."""
        return self._alignments.get(Path(self.recordings[i].name).stem)

    def transcript(self, i: int) -> str | None:
        """The spoken words of recording `i`, or None if its file has no transcript next to it."""
        path = self.recordings[i].path
        try:
            return None if path is None else transcript_of(path)
        except DataError:
            return None

    @cached_property
    def _alignments(self) -> Mapping[str, tuple[Phone, ...]]:
        return {}

    def _wave(self, i: int, start: int, count: int) -> Wave:
        """Read `count` samples of recording `i` from `start` on. Raises DataError."""
        path = self.recordings[i].path
        assert path is not None
        return read_wave(path, sample_rate=self.sample_rate, start=start, count=count)

    def recording_of(self, index: int) -> int:
        """The number of the recording of the crop at `index`."""
        return bisect_right(self._ends, index)

    def _crop(self, index: int, change: _Change | None) -> Crop:
        """The crop at `index`, or the first crop of the next readable recording."""
        first = self.recording_of(index)
        crop = index - (self._ends[first - 1] if first else 0)
        return self._replacement.read(first, lambda i: self._augmented_crop(i, crop if i == first else 0, change))

    def _change(self, position: float, choice: float, speed: float, gain: float, *bands: float) -> _Change:
        """Draw the augmentation of a crop; all arguments are uniform random numbers in [0, 1)."""
        # Half of the crops keep their speed, and therefore their label.
        factor = 1 + self._config.speed * (2 * speed - 1) if choice < 0.5 else 1.0
        bands_db = tuple(self._config.colour_db * (2 * band - 1) for band in bands)
        return _Change(position, factor, self._config.gain_db * (2 * gain - 1), bands_db)

    def _augmented_crop(self, i: int, crop: int, change: _Change | None) -> Crop:
        """Read and augment crop number `crop` of recording `i`."""
        size, samples = self._config.crop_samples, self.recordings[i].samples
        if change is None:
            wave = _pad(self._wave(i, crop * size, min(size, samples)), size)
            return Crop(wave, i, crop * size / self.sample_rate, 1.0)
        count = min(max(1, round(size * change.speed)), samples)
        start = int((crop + change.position) / max(1, samples // size) * (samples - count + 1))
        wave = self._wave(i, start, count)
        if change.speed != 1:
            resampled = max(1, round(count / change.speed))
            wave = soxr.resample(wave, count, resampled)[:size]
        if any(change.bands_db) and len(wave):
            wave = _equalise(wave, change.bands_db)
        return Crop(_pad(_amplify(wave, change.gain_db), size), i, start / self.sample_rate, change.speed)


def _amplify(wave: Wave, gain_db: float) -> Wave:
    """Amplify a wave (n,); the gain is reduced if the result would exceed [-1, 1]."""
    gain = 10 ** (gain_db / 20)
    peak = float(np.abs(wave).max(initial=0))
    return wave * np.float32(min(gain, max(1.0, 1 / peak) if peak else 1.0))


def _equalise(wave: Wave, bands_db: Sequence[float]) -> Wave:
    """Filter a wave (n,) with an equaliser. Bands have equal distances in the square root of frequency."""
    spectrum = np.fft.rfft(wave)
    # A compromise: with equal distances in hertz most bands would cover high frequencies, in mel low ones.
    positions = np.sqrt(np.linspace(0, 1, len(spectrum)))
    gains_db = np.interp(positions, np.linspace(0, 1, len(bands_db)), bands_db)
    return np.fft.irfft(spectrum * 10 ** (gains_db / 20), len(wave)).astype(np.float32)


def _pad(wave: Wave, size: int) -> Wave:
    """Append silence to a wave (n,): (size,)."""
    return wave if len(wave) == size else np.pad(wave, (0, size - len(wave)))
