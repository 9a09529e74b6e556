"""Laws of the distances between waveforms: zero for equals, finite for silence, and what each is blind to."""

from collections.abc import Callable
from math import isfinite, log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from codeword.evaluation.measure.distances import (
    clipped_samples,
    energy_ratio,
    si_sdr_db,
    silence_mse,
    stft_distance,
    waveform_mse,
)
from codeword.spectra.losses import log_mel_distance

RATE = 16_000

DISTANCES: dict[str, Callable[[Tensor, Tensor], float]] = {
    "log-mel": lambda found, original: log_mel_distance(found, original, sample_rate=RATE),
    "stft": lambda found, original: stft_distance(found, original, sample_rate=RATE),
    "si-sdr": si_sdr_db,
    "energy": energy_ratio,
    "mse": waveform_mse,
}


def noise(samples: int, seed: int = 0, scale: float = 0.1) -> Tensor:
    return scale * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("samples", [0, 1, 159, 161, 4000])
def test_every_distance_is_finite_for_silence_on_either_side_and_any_length(name: str, samples: int) -> None:
    quiet, loud = torch.zeros(samples), noise(samples)
    for found, original in ((quiet, quiet), (quiet, loud), (loud, quiet), (loud, loud)):
        assert isfinite(DISTANCES[name](found, original))


@pytest.mark.parametrize(("name", "best"), [("log-mel", 0), ("stft", 0), ("energy", 1), ("mse", 0), ("si-sdr", 100)])
def test_a_perfect_reconstruction_has_the_best_value(name: str, best: float) -> None:
    assert DISTANCES[name](noise(4000), noise(4000)) == pytest.approx(best, abs=1e-6)


@given(gain=st.floats(0.01, 10))
def test_si_sdr_is_blind_to_the_scale_and_the_energy_ratio_is_not(gain: float) -> None:
    original = noise(2000)
    found = original + noise(2000, seed=1, scale=0.02)
    assert si_sdr_db(gain * found, original) == pytest.approx(si_sdr_db(found, original), abs=1e-3)
    assert energy_ratio(gain * original, original) == pytest.approx(gain**2, rel=1e-3)


@given(db=st.floats(-10, 30))
def test_si_sdr_of_added_noise_is_its_signal_to_noise_ratio(db: float) -> None:
    original, added = noise(8000), noise(8000, seed=1)
    # Noise with no part along the original, so that the ratio is exact.
    added = added - added.mean()
    centred = original - original.mean()
    added = added - (added @ centred) / (centred @ centred) * centred
    added = added * (centred.norm() / added.norm()) * 10 ** (-db / 20)
    assert si_sdr_db(original + added, original) == pytest.approx(db, abs=0.01)


def test_log_mel_distance_of_a_gain_is_its_logarithm_in_nepers() -> None:
    original = noise(8000)
    assert log_mel_distance(2 * original, original, sample_rate=RATE) == pytest.approx(log(2), abs=1e-3)


def test_predicting_silence_scores_silence_mse() -> None:
    original = noise(3000)
    assert waveform_mse(torch.zeros(3000), original) == pytest.approx(silence_mse(original))
    assert silence_mse(original) == pytest.approx(float(original.square().mean()))


def test_samples_at_full_scale_of_16_bits_are_clipped() -> None:
    assert clipped_samples(torch.tensor([0.0, 0.999, 32767 / 32768, 1.0, -1.0, 1.5])) == 4
