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
# Before and after a name, which so lasts less than a second.
_EDGE_FRAMES = (5, 12)

SHAPE_NAMES = {
    "disc": "T IY S K",
    "square": "S K EH",
    "triangle": "T AY N K",
    "ring": "IY N",
    "cross": "K AA S",
    "star": "S T AA",
    "crescent": "K EH S N T",
    "heart": "AA T",
    "stripes": "T AY S",
    "checker": "SH EH K AA",
}
"""The phones of the name of each shape of `SyntheticImages`, as far as the few sounds allow."""


class SyntheticSpeech(Recordings):
    """One split of synthetic utterances, held in memory: syllables of 2 to 4 s, whose classes are the four voices, or
    names of shapes below 1 s, whose classes are the shapes.

    Utterance i of a split depends on i, the split and the sample rate alone, not on the number of utterances; its voice
    is i mod 4, and its shape i mod 10. Its phones are exact, on a grid of 10 ms.
    """

    in_memory = True

    def __init__(self, config: SyntheticSpeechConfig, split: Split) -> None:
        syllables = self.speed_changes_class = config.says == "syllables"
        classes = tuple(voice.name for voice in VOICES) if syllables else tuple(SHAPE_NAMES)
        self._phones: list[tuple[Phone, ...]] = []
        self._pcm = []
        recordings = []
        for i in range(getattr(config, split)):
            rng = np.random.default_rng([get_args(Split).index(split), i])
            label = classes[i % len(classes)]
            phones = tuple(_utterance(rng) if syllables else _name(label, rng))
            wave = speak(phones, VOICES[i % len(VOICES)], sample_rate=config.sample_rate, rng=rng)
            self._phones.append(phones)
            self._pcm.append(np.rint(wave * 32767).astype(np.int16))
            recordings.append(Recording(f"{split}-{i:04}", None, label, len(wave)))
        super().__init__(config, recordings, classes=classes)

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


def _name(shape: str, rng: np.random.Generator) -> Iterator[Phone]:
    """The name of a shape between silences."""
    frame = 0
    for name in (SILENCE, *SHAPE_NAMES[shape].split(), SILENCE):
        least, most = _VOWEL_FRAMES if name in VOWELS else _CONSONANT_FRAMES if name in CONSONANTS else _EDGE_FRAMES
        start, frame = frame, frame + int(rng.integers(least, most + 1))
        yield Phone(name, start / FRAMES_PER_S, frame / FRAMES_PER_S)
