"""Recordings as data: crops that weigh by duration for training, whole utterances for everything else."""

import logging
import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import soxr
import torch
from torch import Tensor

from codeword.config import AudioConfig
from codeword.data.base import Batch, Dataset
from codeword.data.phones.alignment import Phone
from codeword.errors import DataError
from codeword.media.audio import Wave, quantise_wave, read_wave

_log = logging.getLogger("codeword")

# Decoding is in C and leaves the interpreter free; more threads than this only queue for the disk.
_THREADS = min(8, os.cpu_count() or 1)

_EQUALISER_BANDS = 6


@dataclass(frozen=True)
class Recording:
    """One utterance: its `name`, its file (None where it has none), who speaks, and its length at the recipe's rate."""

    name: str
    path: Path | None
    speaker: str
    samples: int


@dataclass(frozen=True)
class _Change:
    """What augmentation does to one crop: `place` in its share of the recording, from 0 to 1; how many times as fast
    it is played; how much louder, as a whole and in each band of the equaliser.
    """

    place: float
    speed: float
    gain_db: float
    bands_db: tuple[float, ...]


class Recordings(Dataset):
    """One split of recordings as int64 signals (1, crop_samples) in [0, values).

    `take` and `len` count the crops that lie end to end in all recordings, so that training weighs by duration;
    what remains behind a recording's last whole crop is reached by augmentation only. A recording shorter
    than a crop is one, padded with silence. With a generator each crop moves at random within its share of
    the recording, and its gain and colour, and for half of them the speed, change as the config says. A voice played
    faster or slower is another voice: its label is "not told".

    `classes` are the speakers of the training split, in every split; `label` is `len(classes)`, "not told",
    for others. A file that turns out broken while training is named once and the next one takes its place;
    `skipped` holds the names of those and of the ones that could not be opened. `sample_rate` is in Hz.
    """

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
        self._broken: dict[int, str] = {}
        # crops of recordings 0 .. i, summed: where the crops of recording i end.
        self._ends = list(accumulate(max(1, r.samples // config.crop_samples) for r in self.recordings))

    def __len__(self) -> int:
        return self._ends[-1]

    def take(self, indices: Sequence[int], *, generator: torch.Generator | None = None) -> Batch:
        assert all(0 <= index < len(self) for index in indices)
        changes: Sequence[_Change | None] = [None] * len(indices)
        if generator is not None:
            # Threads finish in any order, so all that is random is drawn before they start.
            drawn = torch.rand(len(indices), 4 + _EQUALISER_BANDS, generator=generator, dtype=torch.float64).tolist()
            changes = [self._change(*numbers) for numbers in drawn]
        if self.in_memory:
            read = list(map(self._crop, indices, changes))
        else:
            with ThreadPoolExecutor(_THREADS) as pool:
                read = list(pool.map(self._crop, indices, changes))
        x = torch.from_numpy(np.stack([quantise_wave(wave, self._config.values) for wave, _ in read]))
        labels = [
            self.label(i) if change is None or change.speed == 1 else len(self.classes)
            for (_, i), change in zip(read, changes, strict=True)
        ]
        return Batch(x[:, None], torch.tensor(labels, dtype=torch.int64))

    def read(self, i: int) -> Tensor:
        """The whole of recording `i`, (1, T) int64 in [0, values). Raises DataError."""
        wave = self._wave(i, 0, self.recordings[i].samples)
        return torch.from_numpy(quantise_wave(wave, self._config.values))[None]

    def label(self, i: int) -> int:
        """The class of recording `i`: its speaker's number, or `len(classes)` where training never heard them."""
        return self._numbers.get(self.recordings[i].speaker, len(self.classes))

    def phones(self, i: int) -> tuple[Phone, ...] | None:
        """What is said when in recording `i`, or None where that is not known."""
        return self._alignments().get(Path(self.recordings[i].name).stem)

    def _alignments(self) -> Mapping[str, tuple[Phone, ...]]:
        return {}

    def _wave(self, i: int, start: int, count: int) -> Wave:
        """`count` samples from `start` on of recording `i`. Raises DataError."""
        path = self.recordings[i].path
        assert path is not None
        return read_wave(path, sample_rate=self.sample_rate, start=start, count=count)

    def _crop(self, index: int, change: _Change | None) -> tuple[Wave, int]:
        """The crop at `index`, or one of the next recording that can be read, and its recording."""
        first = bisect_right(self._ends, index)
        crop = index - (self._ends[first - 1] if first else 0)
        for step in range(len(self.recordings)):
            i = (first + step) % len(self.recordings)
            try:
                return self._changed(i, 0 if step else crop, change), i
            except DataError as error:
                message = str(error)
                if self._broken.setdefault(i, message) is message:  # Atomic: one thread warns, once.
                    self.skipped.append(self.recordings[i].name)
                    _log.warning("%s The next recording takes its place.", message)
        raise DataError("None of the recordings can be read any more; check that the disk is there.")

    def _change(self, place: float, altered: float, speed: float, gain: float, *bands: float) -> _Change:
        """From uniform numbers in [0, 1)."""
        # Half of the crops keep their voice, and with it their label.
        faster = 1 + self._config.speed * (2 * speed - 1) if altered < 0.5 else 1.0
        bands_db = tuple(self._config.colour_db * (2 * band - 1) for band in bands)
        return _Change(place, faster, self._config.gain_db * (2 * gain - 1), bands_db)

    def _changed(self, i: int, crop: int, change: _Change | None) -> Wave:
        """Crop number `crop` of recording `i`, (crop_samples,)."""
        size, samples = self._config.crop_samples, self.recordings[i].samples
        if change is None:
            return _padded(self._wave(i, crop * size, min(size, samples)), size)
        count = min(max(1, round(size * change.speed)), samples)
        start = int((crop + change.place) / max(1, samples // size) * (samples - count + 1))
        wave = self._wave(i, start, count)
        if change.speed != 1:
            played = max(1, round(count / change.speed))
            wave = soxr.resample(wave, count, played)[:size]
        if any(change.bands_db) and len(wave):
            wave = _coloured(wave, change.bands_db)
        return _padded(_amplified(wave, change.gain_db), size)


def _amplified(wave: Wave, gain_db: float) -> Wave:
    """Louder or softer, but not made to clip, or to clip more."""
    gain = 10 ** (gain_db / 20)
    peak = float(np.abs(wave).max(initial=0))
    return wave * np.float32(min(gain, max(1.0, 1 / peak) if peak else 1.0))


def _coloured(wave: Wave, bands_db: Sequence[float]) -> Wave:
    """Through an equaliser: gains at places spread evenly over the square root of frequency, and between them."""
    spectrum = np.fft.rfft(wave)
    # The root is between hertz, which would give most bands to hiss, and mel, which would give them to hum.
    places = np.sqrt(np.linspace(0, 1, len(spectrum)))
    gains_db = np.interp(places, np.linspace(0, 1, len(bands_db)), bands_db)
    return np.fft.irfft(spectrum * 10 ** (gains_db / 20), len(wave)).astype(np.float32)


def _padded(wave: Wave, size: int) -> Wave:
    """(n,) to (size,), with silence behind."""
    return wave if len(wave) == size else np.pad(wave, (0, size - len(wave)))
