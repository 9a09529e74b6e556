"""The classifier of signals: any rank and size, and the distance in its features."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny.distances import assert_trains_the_first

from codeword.config import ClassesConfig, ClassifierConfig
from codeword.nn.classifier import Classifier
from codeword.nn.features import feature_distance


def classifier(ndim: int, *, seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    tiny = ClassesConfig(stem=4, widths=(4, 8))
    config = ClassifierConfig(architecture=tiny, ndim=ndim, channels=2, values=16, classes=("a", "b", "c"))  # type: ignore[arg-type]
    return Classifier(config).eval()


def signals(ndim: int, *, side: int, seed: int) -> torch.Tensor:
    return torch.randint(0, 16, (2, 2, *[side] * ndim), generator=torch.Generator().manual_seed(seed))


@given(ndim=st.sampled_from([1, 2, 3]), side=st.integers(1, 9))
def test_signals_of_any_size_have_the_same_features(ndim: int, side: int) -> None:
    network, x = classifier(ndim), signals(ndim, side=side, seed=0)
    assert network.embed(x).shape == (2, 8)
    torch.testing.assert_close(network(x), network.finish(network.embed(x)))


@given(ndim=st.sampled_from([1, 2]), seed=st.integers(0, 1000))
def test_the_distance_is_zero_for_equal_signals_and_its_gradient_reaches_the_first(ndim: int, seed: int) -> None:
    network = classifier(ndim, seed=seed)
    a, b = (signals(ndim, side=8, seed=seed + n).float().requires_grad_() for n in range(2))
    assert_trains_the_first(network.distance, a, b)


@given(st.floats(0.1, 100))
def test_a_distance_is_relative(scale: float) -> None:
    a, b = torch.rand(2, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(feature_distance([a * scale], [b * scale]), feature_distance([a], [b]))


def test_a_stored_classifier_is_the_same(tmp_path: Path, ndim: int) -> None:
    network, x = classifier(ndim), signals(ndim, side=8, seed=0)
    network.save_pretrained(tmp_path)
    torch.testing.assert_close(Classifier.from_pretrained(tmp_path)(x), network(x))


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        ClassifierConfig(classes=("cat",))
