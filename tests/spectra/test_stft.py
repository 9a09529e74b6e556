"""Laws of the short-time Fourier transform and of what is built on it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codeword.config import SpectralConfig
from codeword.spectra.losses import SpectralLoss
from codeword.spectra.stft import LogMel, istft, magnitudes, mel_filters, stft

SIZES = st.sampled_from([(64, 16), (64, 32), (40, 10), (100, 25)])


def waves(batch: int, samples: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, samples, generator=torch.Generator().manual_seed(seed)) * 0.1


@given(samples=st.integers(1, 500), sizes=SIZES)
def test_frames_tile_the_signal_and_give_it_back(samples: int, sizes: tuple[int, int]) -> None:
    n_fft, hop = sizes
    x = waves(2, samples)
    spectrum = stft(x, n_fft, hop)
    assert spectrum.shape == (2, n_fft // 2 + 1, -(-samples // hop))
    # One frame alone leaves the edges of its window, where it is nearly zero, badly determined.
    if spectrum.shape[-1] > n_fft // hop:
        torch.testing.assert_close(istft(spectrum, n_fft, hop)[:, :samples], x, atol=1e-4, rtol=1e-3)


def test_a_piece_has_the_frames_of_the_whole() -> None:
    x = waves(1, 1600)
    whole, piece = stft(x, 64, 16), stft(x[:, 320:960], 64, 16)
    torch.testing.assert_close(piece[..., 2:-2], whole[..., 22:58], atol=1e-5, rtol=1e-5)


def test_magnitudes_are_those_of_the_spectrum_and_have_gradients_on_silence() -> None:
    x = waves(2, 400)
    torch.testing.assert_close(magnitudes(x, 64, 16), stft(x, 64, 16).abs().clamp(min=1e-5))
    silence = torch.zeros(1, 400, requires_grad=True)
    magnitudes(silence, 64, 16).log().sum().backward()
    assert bool(silence.grad.isfinite().all())  # type: ignore[union-attr]


def test_mel_filters_cover_the_band_with_triangles_of_unit_area() -> None:
    filters = mel_filters(16000, 1024, 40)
    assert filters.shape == (40, 513)
    areas = filters.sum(1) * (16000 / 1024)
    torch.testing.assert_close(areas, torch.ones(40), atol=0.1, rtol=0)
    peaks = filters.argmax(1)
    assert bool((peaks[1:] > peaks[:-1]).all())


def test_a_louder_wave_is_higher_by_the_logarithm_of_its_gain() -> None:
    log_mel = LogMel(16000, 256, 64, 20)
    x = waves(1, 2000)
    torch.testing.assert_close(log_mel(2 * x) - log_mel(x), torch.full((1, 20, 32), 2.0).log(), atol=1e-4, rtol=0)
    assert float(log_mel(torch.zeros(1, 100)).max()) == pytest.approx(-11.513, abs=1e-3)


def test_spectral_loss_is_zero_for_equals_and_grows_with_the_error() -> None:
    loss = SpectralLoss(SpectralConfig(windows=(64, 128), mels=8), 8000)
    x, noise = waves(2, 800), waves(2, 800, seed=1)
    losses = [float(loss(x + size * noise, x)) for size in (0.0, 0.1, 1.0)]
    assert losses[0] == 0
    assert losses[0] < losses[1] < losses[2]


def test_spectral_loss_on_silence_is_finite_with_finite_gradients() -> None:
    loss = SpectralLoss(SpectralConfig(windows=(64,), mels=4), 8000)
    guess = (0.01 * waves(1, 400)).requires_grad_()
    loss(guess, torch.zeros(1, 400)).backward()
    assert bool(guess.grad.isfinite().all())  # type: ignore[union-attr]


@given(samples=st.integers(1, 90), n_fft=st.integers(16, 40), hop=st.integers(4, 16))
def test_the_gradient_of_the_transform_is_that_of_its_parts(samples: int, n_fft: int, hop: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, samples, generator=generator, dtype=torch.float64, requires_grad=True)
    found = stft(x, n_fft, hop)
    torch.testing.assert_close(found.detach(), stft(x.detach(), n_fft, hop))
    weight = torch.randn(found.shape, generator=generator, dtype=torch.complex128)
    (gradient,) = torch.autograd.grad((found * weight).real.sum(), x)
    # The transform is linear: one sample at a time gives every partial derivative.
    impulses = torch.eye(samples, dtype=torch.float64)
    parts = stft(impulses, n_fft, hop)
    expected = torch.einsum("tfn,bfn->bt", parts, weight).real
    torch.testing.assert_close(gradient, expected)


@given(seed=st.integers(0, 9))
def test_inverted_log_mels_are_those_of_the_signal(seed: int) -> None:
    log_mel = LogMel(16000, 640, 160, 40)
    wanted = log_mel(waves(1, 3200, seed))
    found = log_mel.of_magnitude(log_mel.invert(wanted))
    assert float((found - wanted).abs().mean()) < 0.02
