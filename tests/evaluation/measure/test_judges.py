"""Laws of the judges: the edit distance is a metric, and no input, however bad, makes a judge fail."""

import importlib.util
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codeword.errors import UsageError
from codeword.evaluation.measure import judges

RATE = judges.RATE

phones = st.lists(st.sampled_from("abc"), max_size=8)


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"{package} is not installed")


def voice(seconds: float, pitch_hz: float = 120.0) -> torch.Tensor:
    """Harmonics of a gliding pitch under three formants, four syllables a second: near enough to speech."""
    time_s = torch.arange(round(seconds * RATE)) / RATE
    phase = 2 * torch.pi * pitch_hz * (time_s + 0.02 * torch.sin(3 * time_s))
    wave = torch.zeros_like(time_s)
    for harmonic in range(1, 40):
        centre = harmonic * pitch_hz
        gain = sum(np.exp(-(((centre - formant) / 150) ** 2)) for formant in (600, 1200, 2500))
        wave += float(gain) * torch.sin(harmonic * phase)
    return 0.1 * wave * (torch.sin(2 * torch.pi * 4 * time_s) > -0.3)


@needs("rapidfuzz")
@given(phones, phones, phones)
def test_the_edit_distance_is_a_metric(a: list[str], b: list[str], c: list[str]) -> None:
    assert judges.edit_distance(a, a) == 0
    assert judges.edit_distance(a, b) == judges.edit_distance(b, a)
    assert judges.edit_distance(a, c) <= judges.edit_distance(a, b) + judges.edit_distance(b, c)
    assert abs(len(a) - len(b)) <= judges.edit_distance(a, b) <= max(len(a), len(b))


@needs("rapidfuzz")
@pytest.mark.parametrize(("a", "b", "edits"), [("kitten", "sitting", 3), ("", "abc", 3), ("flaw", "lawn", 2)])
def test_the_edit_distance_of_known_strings(a: str, b: str, edits: int) -> None:
    assert judges.edit_distance(a, b) == edits


def test_a_missing_judge_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(judges.JUDGES, "clarity", ("no_such_judge",))
    assert "clarity" in judges.missing_judges()
    with pytest.raises(UsageError, match=r"clarity needs no_such_judge.*pip install 'codeword\[speech\]'"):
        judges._package("no_such_judge")


@needs("hama")
def test_silence_has_no_phones() -> None:
    for samples in (0, 1, 100, 16_000):
        assert judges.recognise(np.zeros(samples, dtype=np.float32)) == ()
    assert all(isinstance(phone, str) for phone in judges.recognise(voice(1.0)))


@needs("pystoi")
def test_stoi_is_one_for_equals_and_missing_where_it_cannot_say() -> None:
    speech = voice(1.5)
    assert judges.stoi(speech, speech) == pytest.approx(1, abs=1e-3)
    worse = judges.stoi(speech + 0.1 * torch.randn(len(speech), generator=torch.Generator().manual_seed(0)), speech)
    assert worse is not None
    assert worse < 0.99
    assert judges.stoi(torch.zeros(RATE), torch.zeros(RATE)) is None
    for samples in (0, 1, 100, 5000):
        assert judges.stoi(speech[:samples], speech[:samples]) is None
    # Long enough, but all of it silent except for a moment.
    blip = torch.zeros(RATE)
    blip[:800] = speech[:800]
    assert judges.stoi(blip, blip) is None


@needs("pesq")
def test_pesq_is_best_for_equals_worst_for_silence_and_there_is_none_without_speech() -> None:
    speech = voice(2.0)
    bands: tuple[tuple[Literal["wb", "nb"], float], ...] = (("wb", 4.64), ("nb", 4.55))
    for band, best in bands:
        assert judges.pesq(speech, speech, band=band) == pytest.approx(best, abs=0.02)
        assert judges.pesq(torch.zeros(len(speech)), speech, band=band) == judges.WORST_PESQ[band]
    assert judges.has_speech(speech)
    for samples in (0, 1, 100):
        assert not judges.has_speech(speech[:samples])
    assert not judges.has_speech(torch.zeros(len(speech)))


@needs("hama")
def test_words_are_pronounced_as_they_are_recognised() -> None:
    assert judges.pronounce("THE DOG") == (*judges.pronounce("the"), *judges.pronounce("dog"))
    assert judges.pronounce("dog") == ("d", "ɔ", "g")
    assert judges.pronounce("  ") == ()


@needs("speechmos")
def test_dnsmos_prefers_the_clean_and_is_missing_for_silence() -> None:
    speech = voice(1.5)
    clean = judges.dnsmos(speech)
    noisy = judges.dnsmos(speech + 0.1 * torch.randn(len(speech), generator=torch.Generator().manual_seed(0)))
    assert clean is not None
    assert noisy is not None
    assert all(1 <= value <= 5 for value in (*clean, *noisy))
    assert clean[0] > noisy[0]
    for wave in (torch.zeros(RATE), torch.zeros(0), voice(0.1)):
        assert judges.dnsmos(wave) is None


@needs("resemblyzer")
def test_a_voice_vector_is_of_unit_length_knows_its_voice_and_is_missing_for_silence() -> None:
    low, other, high = (
        judges.speaker_vector(voice(seconds, pitch)) for seconds, pitch in ((2, 100), (1.6, 100), (2, 210))
    )
    assert low is not None
    assert other is not None
    assert high is not None
    assert float(low.norm()) == pytest.approx(1, abs=1e-5)
    assert float(low @ other) > float(low @ high)
    for wave in (torch.zeros(RATE), torch.zeros(0), voice(0.1)):
        assert judges.speaker_vector(wave) is None
    faint = judges.speaker_vector(1e-3 * torch.randn(RATE, generator=torch.Generator().manual_seed(0)))
    assert faint is not None


@needs("resemblyzer")
def test_other_sample_rates_are_resampled_for_the_judges() -> None:
    speech = voice(2.0)
    half = torch.nn.functional.avg_pool1d(speech[None, None], 2)[0, 0]
    whole, resampled = judges.speaker_vector(speech), judges.speaker_vector(half, sample_rate=RATE // 2)
    assert whole is not None
    assert resampled is not None
    assert float(whole @ resampled) > 0.8
