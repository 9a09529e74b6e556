"""Synthetic utterances of random syllables with known phones and speakers, for first runs and tests without files."""

from collections.abc import Iterator
from typing import get_args

import numpy as np

from codeword.config import SyntheticSpeechConfig
from codeword.data.base import Split
from codeword.data.phones.alignment import FRAMES_PER_S, SILENCE, Phone
from codeword.data.recordings import Recording, Recordings
from codeword.data.synthetic.source_filter import CONSONANTS, VOICES, VOWELS, speak
from codeword.media.channels import Wave

# Shortest and longest duration, in frames of 10 ms.
_VOWEL_FRAMES = (9, 22)
_CONSONANT_FRAMES = (6, 13)
_PAUSE_FRAMES = (10, 26)


class SyntheticSpeech(Recordings):
    """One split of synthetic utterances of 2 to 4 s, held in memory; the classes are the four voices.

    Utterance i of a split depends on i, the split and the sample rate alone, not on the number of utterances; its voice
    is i mod 4. Its phones are exact, on a grid of 10 ms.
    """

    in_memory = True

    def __init__(self, config: SyntheticSpeechConfig, split: Split) -> None:
        count = getattr(config, split)
        self._phones: list[tuple[Phone, ...]] = []
        self._pcm = []
        for i in range(count):
            rng = np.random.default_rng([get_args(Split).index(split), i])
            phones = tuple(_utterance(rng))
            wave = speak(phones, VOICES[i % len(VOICES)], sample_rate=config.sample_rate, rng=rng)
            self._phones.append(phones)
            self._pcm.append(np.rint(wave * 32767).astype(np.int16))
        recordings = [
            Recording(f"{split}-{i:04}", None, VOICES[i % len(VOICES)].name, len(pcm))
            for i, pcm in enumerate(self._pcm)
        ]
        super().__init__(config, recordings, classes=tuple(voice.name for voice in VOICES))

    def phones(self, i: int) -> tuple[Phone, ...]:
        return self._phones[i]

    def _wave(self, i: int, start: int, count: int) -> Wave:
        return self._pcm[i][start : start + count].astype(np.float32) / np.float32(32768)


def _utterance(rng: np.random.Generator) -> Iterator[Phone]:
    """Words of one to three syllables, with silence between them and at both ends."""
    frame = 0
    last = int(rng.integers(200, 330))

    def phone(name: str, frames: tuple[int, int]) -> Phone:
        nonlocal frame
        start = frame
        frame += int(rng.integers(frames[0], frames[1] + 1))
        return Phone(name, start / FRAMES_PER_S, frame / FRAMES_PER_S)

    yield phone(SILENCE, _PAUSE_FRAMES)
    while frame < last:
        for _ in range(rng.integers(1, 4)):
            if rng.random() < 0.9:
                yield phone(str(rng.choice(list(CONSONANTS))), _CONSONANT_FRAMES)
            yield phone(str(rng.choice(list(VOWELS))), _VOWEL_FRAMES)
            if rng.random() < 0.3:
                yield phone(str(rng.choice(["M", "N", "S", "SH"])), _CONSONANT_FRAMES)
            if frame >= last:
                break
        yield phone(SILENCE, _PAUSE_FRAMES)
