"""Laws of the codec without a network: any prefix of its codes decodes, more codes are nearer, lengths come back."""

import pytest
import torch
from torch import Tensor

from codeword.evaluation.measure.baseline import KMeansBaseline, log_mel_cells
from codeword.spectra.losses import log_mel_distance

RATE = 8_000


def wave(seed: int, samples: int = 8_000) -> Tensor:
    """Tones that come and go, in noise."""
    generator = torch.Generator().manual_seed(seed)
    time_s = torch.arange(samples) / RATE
    tones = [torch.sin(2 * torch.pi * hz * time_s) for hz in (200 + 400 * torch.rand(3, generator=generator))]
    swell = torch.sin(2 * torch.pi * 3 * time_s + seed).clamp(min=0)
    return 0.1 * swell * torch.stack(tones).sum(0) + 0.003 * torch.randn(samples, generator=generator)


def fitted() -> KMeansBaseline:
    cells = torch.cat([log_mel_cells(wave(s), sample_rate=RATE) for s in range(6)])
    return KMeansBaseline.fit(cells, (16, 8, 8), sample_rate=RATE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def baseline() -> KMeansBaseline:
    return fitted()


@pytest.mark.parametrize("samples", [0, 1, 79, 80, 160, 161, 1009])
def test_every_length_comes_back_and_a_cell_is_20_ms(baseline: KMeansBaseline, samples: int) -> None:
    assert baseline.cells_per_second == 50
    codes = baseline.encode(wave(9, 2000)[:samples])
    assert codes.shape == (-(-samples // 160), 3)
    decoded = baseline.decode(codes, length=samples)
    assert decoded.shape == (samples,)
    assert float(decoded.abs().max() if samples else 0) <= 1


def test_more_books_are_nearer_to_the_original(baseline: KMeansBaseline) -> None:
    original = wave(0)
    codes = baseline.encode(original)
    distances = [
        log_mel_distance(baseline.decode(codes[:, :k], length=len(original)), original, sample_rate=RATE)
        for k in (1, 2, 3)
    ]
    assert distances[0] > distances[2]


def test_fewer_books_give_a_prefix_of_the_codes(baseline: KMeansBaseline) -> None:
    short = KMeansBaseline(baseline.codebooks[:1], sample_rate=RATE)
    assert torch.equal(short.encode(wave(1)), baseline.encode(wave(1))[:, :1])


def test_one_seed_gives_one_baseline(baseline: KMeansBaseline) -> None:
    for book, other in zip(baseline.codebooks, fitted().codebooks, strict=True):
        assert torch.equal(book, other)


def test_silence_decodes_to_something_finite(baseline: KMeansBaseline) -> None:
    assert baseline.decode(baseline.encode(torch.zeros(800)), length=800).isfinite().all()
