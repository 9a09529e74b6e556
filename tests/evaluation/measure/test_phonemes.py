"""Laws of the phoneme protocol: fitted on training, scored held out, silence apart, compared with chance."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codeword.data.phones.alignment import Phone
from codeword.evaluation.measure.phones import (
    PHONES,
    Labelled,
    PhoneMap,
    cell_phones,
    co_occurrences,
    code_to_phone,
    kmeans,
    kmeans_features,
    normalised_mutual_information,
    phoneme_probe_accuracy,
)
from codeword.quantizers import nearest
from codeword.spectra.cepstra import with_neighbours

seeds = st.integers(0, 2**31)


def scores(train: Labelled, held_out: Labelled, *, codebook_size: int) -> dict[str, float]:
    return PhoneMap([train], codebook_size=codebook_size).scores([held_out])


def draw(high: int, count: int, seed: int) -> torch.Tensor:
    return torch.randint(high, (count,), generator=torch.Generator().manual_seed(seed))


def test_the_phone_of_a_cell_is_the_one_at_its_centre() -> None:
    spoken = (Phone("AA", 0.0, 0.029), Phone("B", 0.031, 0.06), Phone("+NOISE+", 0.06, 0.1))
    names = [PHONES[p] for p in cell_phones(spoken, cells=6, cells_per_second=50)]
    # Centres at 10, 30, 50, 70, 90, 110 ms: the second lies in the gap, the last behind the end.
    assert names == ["AA", "SIL", "B", "SIL", "SIL", "SIL"]


def test_there_are_39_phones_and_silence() -> None:
    assert len(set(PHONES)) == len(PHONES) == 40


@given(seeds, st.integers(1, 12))
def test_relabelling_the_codes_changes_no_score(seed: int, codebook_size: int) -> None:
    codes, phones = draw(codebook_size, 300, seed), draw(6, 300, seed + 1)
    shuffled = torch.randperm(codebook_size, generator=torch.Generator().manual_seed(seed))
    before, after = (
        scores((c[:200], phones[:200]), (c[200:], phones[200:]), codebook_size=codebook_size)
        for c in (codes, shuffled[codes])
    )
    assert before == pytest.approx(after)


@given(seeds)
def test_codes_that_are_the_phones_score_all_and_one_code_scores_chance(seed: int) -> None:
    phones = draw(8, 400, seed)
    train, held = phones[:300], phones[300:]
    perfect = scores((train, train), (held, held), codebook_size=8)
    assert (perfect["accuracy"], perfect["accuracy_with_silence"]) == (100, 100)
    assert perfect["nmi"] == pytest.approx(1)
    silent = scores((train * 0, train), (held * 0, held), codebook_size=1)
    assert silent["accuracy"] == silent["chance"]
    assert silent["accuracy_with_silence"] == silent["chance_with_silence"]
    assert silent["nmi"] == 0


@given(seeds)
def test_on_its_own_training_data_no_map_is_better_than_the_fitted_one(seed: int) -> None:
    codes, phones = draw(5, 200, seed), draw(7, 200, seed + 1)
    fitted = code_to_phone(codes, phones, codebook_size=5)
    other = draw(7, 5, seed + 2)
    assert (fitted[codes] == phones).sum() >= (other[codes] == phones).sum()


def test_the_map_knows_nothing_of_the_held_out_recordings() -> None:
    train = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([1, 1, 2, 2, 2])
    swapped = torch.tensor([0, 1, 3]), torch.tensor([2, 1, 2])
    found = scores(train, swapped, codebook_size=4)
    # Code 3 was never seen: it gets the most frequent phone of training, which is 2.
    assert found["accuracy"] == pytest.approx(100 / 3)
    assert found["chance"] == pytest.approx(200 / 3)


def test_silence_lifts_only_the_figure_that_counts_it() -> None:
    codes, phones = torch.tensor([0] * 8 + [1, 2]), torch.tensor([0] * 8 + [1, 2])
    wrong = torch.tensor([0] * 8 + [2, 1])
    found = scores((codes, phones), (wrong, phones), codebook_size=3)
    assert found["accuracy_with_silence"] == 80
    assert found["accuracy"] == 0
    assert found["chance_with_silence"] == 80


@given(seeds)
def test_mutual_information_is_symmetric_and_between_0_and_1(seed: int) -> None:
    a, b = draw(6, 100, seed), draw(6, 100, seed + 1)
    there = normalised_mutual_information(a, b, codebook_size=6)
    assert -1e-9 <= there <= 1
    assert there == pytest.approx(normalised_mutual_information(b, a, codebook_size=6))
    assert int(co_occurrences(a, b, codebook_size=6).sum()) == 100


def test_neighbours_stand_joined_each_cell_and_are_zero_beyond_the_ends() -> None:
    features = torch.tensor([[1.0], [2.0], [3.0]])
    assert with_neighbours(features).tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 0]]
    assert torch.equal(with_neighbours(features, 0), features)


def test_the_probe_finds_what_only_neighbours_tell_and_always_the_same() -> None:
    codes = draw(4, 400, 0)
    # The phone is the code before: nothing in the cell itself says it.
    phones = 1 + torch.cat([torch.zeros(1, dtype=torch.int64), codes[:-1]])
    one_hot = torch.nn.functional.one_hot(codes, 4).float()
    alone = phoneme_probe_accuracy([(one_hot[:300], phones[:300])], [(one_hot[300:], phones[300:])])
    joined = with_neighbours(one_hot)
    split = [(joined[1:300], phones[1:300])], [(joined[300:], phones[300:])]
    assert alone < 50
    assert phoneme_probe_accuracy(*split) == phoneme_probe_accuracy(*split) == 100
    assert phoneme_probe_accuracy([(one_hot, phones * 0)], [(one_hot, phones)]) == 0


@pytest.mark.parametrize("cosines", [None, 16])
@pytest.mark.parametrize("hop", [640, 320, 128, 131])
def test_kmeans_has_one_code_a_cell_and_tells_two_sounds_apart(hop: int, cosines: int | None) -> None:
    time_s = torch.arange(8000) / 16_000
    sounds = [0.3 * torch.sin(2 * torch.pi * hz * time_s) for hz in (300, 3000)]
    wave = torch.cat(sounds * 2)
    generator = torch.Generator().manual_seed(0)
    features, held = (kmeans_features(w, hop=hop, sample_rate=16_000, cosines=cosines) for w in (wave, wave[:5001]))
    book = kmeans([features], codebook_size=2, generator=generator)
    fitted = nearest(features, book)
    assert len(fitted) == -(-len(wave) // hop)
    assert len(held) == -(-5001 // hop)
    centre = 4000 // hop
    assert fitted[centre] != fitted[centre + 8000 // hop]
