"""The terms of the spectral loss, and loudness in it."""

from math import log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codeword.config import SpectralConfig, SpectrogramConfig
from codeword.likelihoods import build_likelihood
from codeword.spectra.losses import SpectralLoss
from codeword.spectra.stft import LOG_MEL_SPREAD

OFF = {"convergence_weight": 0.0, "log_weight": 0.0, "mel_weight": 0.0}
gains = st.floats(0.25, 4)


def wave(seed: int) -> torch.Tensor:
    return 0.1 * torch.randn(2, 1600, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 1000), gains)
def test_the_energy_term_is_the_gain_in_nepers(seed: int, gain: float) -> None:
    loss = SpectralLoss(SpectralConfig(windows=(256, 512), energy_weight=2.0, **OFF), 16_000)
    assert float(loss(gain * wave(seed), wave(seed))) == pytest.approx(2 * abs(log(gain)), abs=1e-3)


@given(st.integers(0, 1000), gains)
def test_the_energy_of_log_mel_frames_is_their_common_shift(seed: int, gain: float) -> None:
    """A shift of all frames costs its size as a distance, and its size times the weight as loudness."""
    x = ((wave(seed)[:, None] / 2 + 0.5) * 65535).round().long()
    costs = []
    for weight in (0.0, 2.0):
        config = SpectrogramConfig(n_fft=320, hop=160, mels=20, energy_weight=weight)
        likelihood = build_likelihood(config, channels=1, values=65536, sample_rate=16_000)
        frames = likelihood._frames(x)  # type: ignore[operator]
        costs.append(float(likelihood.loss(frames + log(gain) / LOG_MEL_SPREAD, x).detach()))
    assert costs[0] == pytest.approx(abs(log(gain)), abs=1e-4)
    assert costs[1] == pytest.approx(3 * abs(log(gain)), abs=1e-3)


def test_a_model_without_the_term_has_the_config_that_it_had() -> None:
    assert "energy_weight" not in SpectrogramConfig().model_dump()
    assert SpectrogramConfig.model_validate(SpectrogramConfig(energy_weight=0.5).model_dump()).energy_weight == 0.5
