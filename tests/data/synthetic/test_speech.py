"""Synthetic speech: the same each time, quick, and what its phones say it is."""

import time
from itertools import pairwise

import numpy as np
import pytest
import torch

from codeword.config import SyntheticSpeechConfig
from codeword.data import open_dataset
from codeword.data.phones.alignment import phone_at
from codeword.data.recordings import Recordings
from codeword.data.synthetic.images import SyntheticImages
from codeword.data.synthetic.source_filter import SOUNDS, VOICES
from codeword.data.synthetic.speech import SHAPE_NAMES, SyntheticSpeech


@pytest.fixture(scope="module")
def train() -> SyntheticSpeech:
    return SyntheticSpeech(SyntheticSpeechConfig(train=24), "train")


def wave(data: Recordings, i: int) -> np.ndarray:
    return data.read(i)[0].numpy() / 32768 - 1


def power_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(samples**2) + 1e-12))


def test_an_utterance_depends_on_its_number_and_split_alone(train: SyntheticSpeech) -> None:
    few = SyntheticSpeech(SyntheticSpeechConfig(train=3), "train")
    assert all(torch.equal(few.read(i), train.read(i)) for i in range(3))
    assert few.phones(2) == train.phones(2)
    valid = open_dataset(SyntheticSpeechConfig(valid=1), "valid")
    assert isinstance(valid, Recordings)
    assert valid.read(0).shape != train.read(0).shape or not torch.equal(valid.read(0), train.read(0))


def test_utterances_last_two_to_four_seconds_and_phones_fill_them(train: SyntheticSpeech) -> None:
    for i, recording in enumerate(train.recordings):
        assert 32_000 < recording.samples < 66_000
        phones = train.phones(i)
        assert phones[0].start_s == 0
        assert all(a.end_s == b.start_s for a, b in pairwise(phones))
        assert round(phones[-1].end_s * 16_000) == recording.samples
    assert {p.name for i in range(24) for p in train.phones(i)} == set(SOUNDS)


def test_every_voice_speaks_and_is_a_class(train: SyntheticSpeech) -> None:
    assert train.classes == tuple(voice.name for voice in VOICES)
    assert [train.label(i) for i in range(5)] == [0, 1, 2, 3, 0]


def test_names_of_shapes_are_one_crop_each_in_every_voice() -> None:
    config = SyntheticSpeechConfig(says="shapes", train=40, speed=0.1)
    names = SyntheticSpeech(config, "train")
    assert names.classes == SyntheticImages.classes == tuple(SHAPE_NAMES)
    assert len(names) == 40
    for i, (shape, phones) in enumerate(list(SHAPE_NAMES.items()) * 4):
        assert names.recordings[i].samples < config.crop_samples
        assert [phone.name for phone in names.phones(i)] == ["SIL", *phones.split(), "SIL"]
        assert names.label(i) == names.classes.index(shape)
    # A crop of another speed has another voice, but the same name.
    batch = names.take(range(40), generator=torch.Generator().manual_seed(0))
    assert batch.label.tolist() == list(range(10)) * 4


def test_levels_are_those_of_speech(train: SyntheticSpeech) -> None:
    for i in range(8):
        assert -26 < power_db(wave(train, i)) < -22
        assert np.abs(wave(train, i)).max() < 0.96


def test_phones_are_where_they_are_said_to_be(train: SyntheticSpeech) -> None:
    """Silence is silent, hiss is high, vowels are loud and low: judged on the middle of each phone."""
    loud: dict[str, list[float]] = {}
    high: dict[str, list[float]] = {}
    for i in range(24):
        for phone in train.phones(i):
            middle = int((phone.start_s + phone.end_s) * 8000)
            piece = wave(train, i)[middle - 256 : middle + 256] * np.hanning(512)
            spectrum = np.abs(np.fft.rfft(piece)) ** 2
            loud.setdefault(phone.name, []).append(power_db(piece))
            high.setdefault(phone.name, []).append(spectrum[64:].sum() / spectrum.sum())
            assert phone_at(train.phones(i), middle / 16_000) == phone.name
    mean_db = {name: np.mean(values) for name, values in loud.items()}
    assert mean_db["SIL"] < -60
    assert min(mean_db[name] for name in ("AA", "AY", "EH", "IY", "UW")) > -32
    assert all(np.mean(high[name]) > 0.8 for name in ("S", "SH", "F"))
    assert all(np.mean(high[name]) < 0.2 for name in ("AA", "EH", "IY", "UW", "M", "N"))


def test_voices_differ_in_pitch(train: SyntheticSpeech) -> None:
    pitch_hz = {voice.name: [] for voice in VOICES}  # type: dict[str, list[float]]
    for i, recording in enumerate(train.recordings):
        for phone in train.phones(i):
            if phone.name in ("AA", "EH", "IY"):
                middle = int((phone.start_s + phone.end_s) * 8000)
                piece = wave(train, i)[middle - 512 : middle + 512]
                power = np.abs(np.fft.rfft(piece * np.hanning(1024), 2048)) ** 2
                # The cepstrum's peak: spectra of pulses repeat at the pitch.
                cepstrum = np.fft.irfft(np.log(power + 1e-9))[45:220]
                pitch_hz[recording.speaker].append(16_000 / (45 + cepstrum.argmax()))
    for voice in VOICES:
        assert 0.75 < np.median(pitch_hz[voice.name]) / voice.pitch_hz < 1.25


@pytest.mark.parametrize("rate", [8000, 22_050])
def test_other_rates_say_the_same(rate: int) -> None:
    data = SyntheticSpeech(SyntheticSpeechConfig(sample_rate=rate, train=2), "train")
    assert data.phones(0) == SyntheticSpeech(SyntheticSpeechConfig(train=1), "train").phones(0)
    assert abs(data.recordings[0].samples / rate - data.phones(0)[-1].end_s) < 1e-3


def test_making_it_is_quick() -> None:
    start = time.process_time()
    SyntheticSpeech(SyntheticSpeechConfig(train=16), "train")
    assert time.process_time() - start < 3


def test_crops_are_batched() -> None:
    config = SyntheticSpeechConfig(train=4, crop_samples=8000, values=256, speed=0.1, gain_db=6)
    data = open_dataset(config, "train")
    batch = data.take([0, 5, 9], generator=torch.Generator().manual_seed(0))
    assert batch.x.shape == (3, 1, 8000)
    assert batch.x.min() >= 0
    assert batch.x.max() < 256
