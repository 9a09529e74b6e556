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


@given(st.integers(0, 1000), st.floats(-20, 6))
def test_the_gain_of_the_output_scales_the_waveform_and_no_probability(seed: int, gain_db: float) -> None:
    features = torch.randn(1, 20, 30, generator=torch.Generator().manual_seed(seed)) - 3
    x = ((wave(seed)[:1, None, :4800] / 2 + 0.5) * 65535).round().long()
    config = SpectrogramConfig(n_fft=320, hop=160, mels=20, iterations=0)
    plain, louder = (
        build_likelihood(c, channels=1, values=65536, sample_rate=16_000)
        for c in (config, config.model_copy(update={"output_gain_db": gain_db}))
    )
    scaled = plain.centred(plain.mean(features)) * 10 ** (gain_db / 20)
    torch.testing.assert_close(louder.centred(louder.mean(features)), scaled, rtol=1e-4, atol=1e-5)
    assert torch.equal(louder.log_prob(features, x), plain.log_prob(features, x))


def test_a_model_without_these_settings_has_the_config_that_it_had() -> None:
    assert not {"energy_weight", "output_gain_db"} & set(SpectrogramConfig().model_dump())
    changed = SpectrogramConfig(energy_weight=0.5, output_gain_db=1.5)
    assert SpectrogramConfig.model_validate(changed.model_dump()) == changed
