"""Laws of conversion: the nearer speaker counts, and codes without the speaker leave the probe at chance."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from codeword.errors import DataError
from codeword.evaluation.measure.voices import (
    ConvertedRecording,
    code_histograms,
    conversion_margin,
    conversion_metrics,
    speaker_probe,
    voice_centroids,
)

NAMES = ("19", "26", "27")


def voices(count: int, seed: int = 0) -> list[torch.Tensor]:
    """`count` utterances of each of three speakers, in turn."""
    generator = torch.Generator().manual_seed(seed)
    return [
        F.normalize(torch.eye(8)[i % 3] + 0.2 * torch.rand(8, generator=generator), dim=0) for i in range(3 * count)
    ]


def test_perfect_conversions_succeed_and_untouched_ones_fail() -> None:
    utterances, speakers = voices(5), list(NAMES) * 5
    centroids = voice_centroids(utterances, speakers)
    assert sorted(centroids) == sorted(NAMES)
    assert all(float(c.norm()) == pytest.approx(1) for c in centroids.values())
    targets = [NAMES[(NAMES.index(s) + 1) % 3] for s in speakers]
    arrived = [centroids[t] for t in targets]
    for vectors, success in ((arrived, 100), (utterances, 0)):
        margins = [conversion_margin(*pair, centroids) for pair in zip(vectors, speakers, targets, strict=True)]
        metrics = conversion_metrics([ConvertedRecording(margin, 1, 4) for margin in margins])
        assert metrics["conversion_success"].value == success
        assert metrics["conversion_per"].value == 25
    assert conversion_metrics([]) == {}


@given(st.integers(0, 1000))
def test_swapping_source_and_target_turns_the_margin_around(seed: int) -> None:
    centroids = voice_centroids(voices(3), list(NAMES) * 3)
    vectors = voices(1, seed)
    for vector, source, target in zip(vectors, NAMES, NAMES[::-1], strict=True):
        there = conversion_margin(vector, source, target, centroids)
        assert there == pytest.approx(-conversion_margin(vector, target, source, centroids))


def test_a_histogram_has_a_share_of_cells_for_each_codeword_of_each_book() -> None:
    (histogram,) = code_histograms([torch.tensor([[0, 1], [0, 2], [1, 2], [0, 2]])], codebook_sizes=(2, 3))
    assert histogram.tolist() == [0.75, 0.25, 0, 0.25, 0.75]


def test_the_speaker_probe_finds_speakers_in_codes_that_hold_them_and_only_there() -> None:
    generator = torch.Generator().manual_seed(0)
    speakers = list(NAMES) * 12
    plain = [torch.randint(9, (60, 2), generator=generator) for _ in speakers]
    telling = [codes.clone() for codes in plain]
    for codes, speaker in zip(telling, speakers, strict=True):
        # Each speaker has codewords that no other speaker uses.
        codes[::3, 0] = 9 + NAMES.index(speaker)

    def accuracy(codes: list[torch.Tensor]) -> float:
        recordings = list(zip(codes, speakers, strict=True))
        return speaker_probe(recordings[:24], recordings[24:], codebook_sizes=(12, 9)).value

    assert accuracy(telling) == 100
    assert accuracy(plain) < 75


def test_a_stranger_among_the_held_out_is_named() -> None:
    codes = torch.zeros(4, 1, dtype=torch.int64)
    with pytest.raises(DataError, match="61"):
        speaker_probe([(codes, "19")], [(codes, "61")], codebook_sizes=(2,))
