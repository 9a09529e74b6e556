"""Laws of the phases that are found for magnitudes."""

from typing import cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codeword.spectra.phases import advancing_phases, griffin_lim
from codeword.spectra.stft import stft

N_FFT, HOP = 256, 64


def sinusoids(*frequencies: float, samples: int = 3200) -> torch.Tensor:
    """One waveform (1, samples) at 16 kHz."""
    times = torch.arange(samples) / 16000
    return cast(torch.Tensor, sum(torch.sin(2 * torch.pi * f * times) for f in frequencies))[None] * 0.1


def inconsistency(magnitude: torch.Tensor, *, iterations: int) -> float:
    """The distance of the waveform's magnitudes from those that were asked for, as a share of their norm."""
    phase, _ = advancing_phases(magnitude, N_FFT, HOP)
    found = stft(griffin_lim(magnitude, phase, N_FFT, HOP, iterations=iterations), N_FFT, HOP).abs()
    return float((found - magnitude).norm() / magnitude.norm())


@given(frequency=st.floats(200, 7500))
def test_a_sinusoid_is_found_without_an_iteration(frequency: float) -> None:
    magnitude = stft(sinusoids(frequency), N_FFT, HOP).abs()
    # The frames at the ends hold an onset, which is no sinusoid.
    assert inconsistency(magnitude, iterations=0) < 0.12


def test_iterations_approach_the_magnitude() -> None:
    magnitude = stft(sinusoids(300.0, 1210.0, 1370.0, 2500.0), N_FFT, HOP).abs()
    errors = [inconsistency(magnitude, iterations=n) for n in (0, 4, 32)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.1


@given(data=st.data(), batch=st.integers(1, 3), frames=st.integers(1, 30))
def test_blocks_have_the_phases_of_the_whole(data: st.DataObject, batch: int, frames: int) -> None:
    magnitude = torch.rand(batch, 33, frames, generator=torch.Generator().manual_seed(frames))
    whole, end = advancing_phases(magnitude, 64, 16)
    assert whole.shape == magnitude.shape
    cut = data.draw(st.integers(1, frames))
    first, state = advancing_phases(magnitude[..., :cut], 64, 16)
    parts = [first]
    if cut < frames:
        rest, state = advancing_phases(magnitude[..., cut:], 64, 16, after=state)
        parts.append(rest)
    assert torch.equal(torch.cat(parts, -1), whole)
    assert (state.phase == end.phase).all()


def test_signals_of_a_batch_do_not_mix() -> None:
    magnitude = torch.rand(3, 33, 12, generator=torch.Generator().manual_seed(0))
    together, _ = advancing_phases(magnitude, 64, 16)
    for one, phase in zip(magnitude, together, strict=True):
        assert torch.equal(advancing_phases(one[None], 64, 16)[0][0], phase)


@pytest.mark.parametrize("level", [0.0, 1e-12, 1.0])
def test_flat_magnitudes_have_finite_phases(level: float) -> None:
    magnitude = torch.full((1, 33, 8), level)
    phase, _ = advancing_phases(magnitude, 64, 16)
    assert bool(phase.isfinite().all())
    assert bool(griffin_lim(magnitude, phase, 64, 16, iterations=2).isfinite().all())
