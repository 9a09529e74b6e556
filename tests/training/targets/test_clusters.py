"""Laws of clusters: a space where classes are round, the best path, means between common and own ones."""

from itertools import pairwise, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codeword.config import ClustersConfig
from codeword.quantizers import nearest
from codeword.spectra.cepstra import cells_of, cepstra, standardised
from codeword.training.targets.clusters import Clusters, best_path, bigrams, ridge, whitening

seeds = st.integers(0, 2**31)
SPAN, LEVELS, DIM = 4, 6, 5


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def classes(count: int, dims: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors of `dims` classes whose scatter is the same slanted one."""
    labels = torch.arange(count) % dims
    centres, slant = 3 * normal(dims, dims, seed=seed), normal(dims, dims, seed=seed + 1)
    return centres[labels] + normal(count, dims, seed=seed + 2) @ slant + 7, labels


@given(seeds)
def test_within_classes_what_is_whitened_has_covariance_one(seed: int) -> None:
    x, labels = classes(400, 6, seed)
    z = whitening(x, labels, 3, shrinkage=1e-9)(x)
    means = torch.stack([z[labels == k].mean(0) for k in range(6)])
    apart = z - means[labels]
    torch.testing.assert_close(apart.t() @ apart / len(z), torch.eye(3), rtol=0, atol=1e-3)
    torch.testing.assert_close(z.mean(0), torch.zeros(3), rtol=0, atol=1e-2)


@given(seeds)
def test_whitening_keeps_the_direction_in_which_two_classes_differ(seed: int) -> None:
    x, labels = classes(400, 6, seed)
    x = torch.where((labels % 2 == 0)[:, None], x - x[labels % 2 == 0].mean(0), x - x[labels % 2 == 1].mean(0))
    x[:, 2] += 100 * (labels % 2)
    z = whitening(x, labels % 2, 1)(x)[:, 0]
    assert (z[labels % 2 == 0].max() < z[labels % 2 == 1].min()) or (
        z[labels % 2 == 0].min() > z[labels % 2 == 1].max()
    )


@given(seeds, st.integers(1, 5), st.integers(1, 4))
def test_the_best_path_is_the_best_of_all(seed: int, length: int, codebook_size: int) -> None:
    scores, transitions = normal(length, codebook_size, seed=seed), normal(codebook_size, codebook_size, seed=seed + 1)

    def total(path: tuple[int, ...]) -> float:
        stays = sum(float(scores[i, k]) for i, k in enumerate(path))
        return stays + sum(float(transitions[a, b]) for a, b in pairwise(path))

    best = max(map(total, product(range(codebook_size), repeat=length)))
    assert total(tuple(best_path(scores, transitions).tolist())) == pytest.approx(best, abs=1e-5)


def test_bigrams_are_distributions_and_know_nothing_of_one_recording_after_another() -> None:
    logs = bigrams([torch.tensor([0, 1, 0, 1]), torch.tensor([2])], 3)
    torch.testing.assert_close(logs.exp().sum(1), torch.ones(3))
    assert logs[0].argmax() == 1
    torch.testing.assert_close(logs[2].exp(), torch.full((3,), 1 / 3))


@given(seeds)
def test_regression_finds_the_map_there_is(seed: int) -> None:
    x, weight, bias = normal(100, 4, seed=seed), normal(4, 3, seed=seed + 1), normal(3, seed=seed + 2)
    torch.testing.assert_close(ridge(x, x @ weight + bias, penalty=1e-4)(x), x @ weight + bias, rtol=1e-3, atol=1e-3)


@given(seeds, st.floats(0.1, 10), st.floats(-5, 5))
def test_cepstra_do_not_hear_loudness_nor_a_fixed_filter(seed: int, scale: float, shift: float) -> None:
    log_mels = 3 * normal(20, 50, seed=seed)
    heard = cepstra(log_mels, 8)
    assert heard.shape == (8, 50)
    torch.testing.assert_close(cepstra(log_mels + shift * normal(20, 1, seed=seed + 1), 8), heard, rtol=0, atol=1e-3)
    assert not standardised(torch.full((2, 9), scale)).abs().gt(1e-3).any()


def test_cells_are_frames_side_by_side_and_what_is_left_over_goes() -> None:
    frames = torch.arange(14.0).view(2, 7)
    assert cells_of(frames, 3).tolist() == [[0, 7, 1, 8, 2, 9], [3, 10, 4, 11, 5, 12]]


def fitted(smoothing: float, **options: float) -> tuple[Clusters, list[torch.Tensor]]:
    recordings = [standardised(normal(4, n, seed=n).cumsum(1)) for n in (80, 60, 100, 120)]
    config = ClustersConfig(cosines=4, classes=12, smoothing=smoothing, **options)
    generator = torch.Generator().manual_seed(0)
    clusters = Clusters.fit(
        config, recordings, [0, 1, 0, 1], span=SPAN, codebook_size=LEVELS, dim=DIM, generator=generator
    )
    return clusters, recordings


@pytest.mark.parametrize("speaker", [0, 1, 7])
def test_without_smoothing_the_code_is_the_nearest_of_the_speaker_s_codewords(speaker: int) -> None:
    clusters, recordings = fitted(0.0)
    codewords = clusters.voices[speaker] if speaker < 2 else clusters.codewords
    codes = clusters.codes(recordings[0], speaker)
    assert len(codes) == 80 - SPAN + 1
    for first in range(SPAN):
        z = clusters.vectors(recordings[0][:, first:])
        assert torch.equal(codes[first::SPAN], nearest(z, codewords))


def test_smoothing_changes_codes_less_often() -> None:
    def changes(smoothing: float) -> int:
        clusters, recordings = fitted(smoothing)
        codes = [clusters.codes(x, 0)[::SPAN] for x in recordings]
        return sum(int((c[1:] != c[:-1]).sum()) for c in codes)

    assert changes(3.0) < changes(0.0)


def test_a_speaker_of_whom_little_is_heard_has_nearly_everybody_s_codewords() -> None:
    far = fitted(1.0, adaptation=1e-3)[0]
    near = fitted(1.0, adaptation=1e9)[0]
    torch.testing.assert_close(near.voices, near.codewords.expand(2, -1, -1), rtol=0, atol=1e-3)
    assert not torch.allclose(far.voices, far.codewords.expand(2, -1, -1), atol=0.1)
