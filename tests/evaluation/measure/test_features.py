"""Laws of the distance of two sets of features, and of precision and recall."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from codeword.evaluation.measure.features import frechet_distance, within


def features(seed: int, *, count: int = 50, dim: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dim, dim, generator=generator)
    return torch.randn(count, dim, generator=generator) @ mixing + torch.randn(dim, generator=generator)


seeds = st.integers(0, 1000)


@given(seeds)
def test_equal_sets_have_no_distance_in_any_order(seed: int) -> None:
    x = features(seed)
    assert frechet_distance(x.flip(0), x) == pytest.approx(0, abs=1e-6)


@given(seeds, seeds)
def test_the_distance_is_symmetric(first: int, second: int) -> None:
    a, b = features(first, count=40), features(second)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-6, abs=1e-6)


@given(seeds, st.floats(-5, 5), st.floats(0, 3))
def test_the_distance_of_moved_and_scaled_gaussians_has_a_closed_form(seed: int, offset: float, scale: float) -> None:
    x = features(seed).double()
    x = x - x.mean(0)
    # The mean moves, and the root of the covariance is scaled.
    expected = 4 * offset**2 + (1 - scale) ** 2 * float(x.var(0).sum())
    assert frechet_distance(scale * x + offset, x) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(seeds, seeds)
def test_the_distance_does_not_depend_on_the_axes(first: int, second: int) -> None:
    a, b = features(first).double(), features(second).double()
    turn, _ = torch.linalg.qr(features(first + second, count=4).double())
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b), rel=1e-6, abs=1e-6)


def test_fewer_features_than_dimensions_have_a_distance_too() -> None:
    assert frechet_distance(features(0, count=3, dim=8), features(1, count=3, dim=8)) > 0


@given(seeds)
def test_a_set_lies_within_itself_and_not_within_one_far_away(seed: int) -> None:
    x = features(seed)
    assert bool(within(x, x).all())
    assert not bool(within(x + 1000, x).any())
    assert within(torch.cat([x, x + 1000]), x).tolist() == [True] * 50 + [False] * 50


@given(seeds, seeds)
def test_more_neighbours_make_a_larger_manifold(first: int, second: int) -> None:
    a, b = features(first), features(second)
    assert bool((within(a, b, neighbours=1) <= within(a, b, neighbours=5)).all())


def test_a_sphere_ends_at_the_neighbour_of_the_given_number() -> None:
    reference = torch.tensor([[0.0], [1.0], [3.0]])
    found = torch.tensor([[-1.5], [-0.9], [4.9], [5.1]])
    assert within(found, reference, neighbours=1).tolist() == [False, True, True, False]


def test_few_features_have_a_manifold_too() -> None:
    assert within(torch.zeros(1, 2), torch.ones(2, 2)).tolist() == [False]
