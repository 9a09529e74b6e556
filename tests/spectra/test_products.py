"""Convolutions with fixed bases compute the Fourier transforms of the library, at every length."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from codeword.spectra.products import Magnitudes, Synthesis
from codeword.spectra.stft import istft, magnitudes, stft

SIZES = st.sampled_from([(64, 16), (64, 32), (40, 10), (100, 25), (75, 25)])


def waves(samples: int) -> torch.Tensor:
    return torch.randn(2, samples, generator=torch.Generator().manual_seed(samples)) * 0.1


@given(samples=st.integers(1, 500), sizes=SIZES)
def test_magnitudes_are_those_of_the_fast_transform(samples: int, sizes: tuple[int, int]) -> None:
    x = waves(samples)
    torch.testing.assert_close(Magnitudes(*sizes)(x), magnitudes(x, *sizes), atol=1e-5, rtol=1e-4)


@given(samples=st.integers(1, 500), sizes=SIZES.filter(lambda sizes: sum(sizes) % 2 == sizes[0] % 2 == 0))
def test_synthesis_is_the_inverse_of_the_fast_transform(samples: int, sizes: tuple[int, int]) -> None:
    spectrum = stft(waves(samples), *sizes)
    # A spectrum that belongs to no waveform, with parts that no real signal has.
    spectrum = spectrum + 0.1 * torch.randn(spectrum.shape, dtype=spectrum.dtype)
    found, wanted = Synthesis(*sizes)(spectrum.real, spectrum.imag), istft(spectrum, *sizes)
    # Where windows nearly vanish, at the edges of a signal of few frames, the division amplifies rounding.
    torch.testing.assert_close(found, wanted, atol=1e-5 * max(1, float(wanted.abs().max())), rtol=1e-4)
