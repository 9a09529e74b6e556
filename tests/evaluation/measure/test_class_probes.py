"""Linear probes of classes: laws of ridge regression, and how well codes and pixels are read."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from codeword.config import EvaluationConfig, TokenizerConfig
from codeword.data import Batch, Dataset
from codeword.evaluation.measure import class_probes
from codeword.evaluation.measure.class_probes import DRAWS, SHOTS, Labelled, Splits, few_of_each, measure_probes
from codeword.evaluation.measure.probe import ridge_probes
from codeword.tokenizer import Tokenizer

IDENTITY = {"kind": "identity"}


class Marked(Dataset):
    """Noise (1, *S) of 16 values in which the first value along each axis tells the class, if `marked`."""

    classes = ("a", "b", "c")
    in_memory = True

    def __init__(self, ndim: int, count: int, *, seed: int, marked: bool = True) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.shape = (1, *[4] * ndim)
        self._x = torch.randint(0, 8, (count, *self.shape), generator=generator)
        self._label = torch.arange(count) % 3
        if marked:
            rows = self._x.view(count, -1)
            rows[torch.arange(count), self._label] = 15

    def __len__(self) -> int:
        return len(self._x)

    def take(self, indices: Sequence[int], *, generator: torch.Generator | None = None) -> Batch:
        rows = torch.tensor(indices)
        return Batch(self._x[rows], self._label[rows])


def identity(ndim: int) -> Tokenizer:
    """A tokenizer whose codes are the values."""
    tree = {"ndim": ndim, "channels": 1, "values": 16, "trunk": IDENTITY, "likelihood": IDENTITY}
    return Tokenizer(TokenizerConfig.model_validate(tree | {"quantizer": IDENTITY | {"codebook_sizes": [16]}}))


def splits(ndim: int, *, marked: bool = True) -> Splits:
    return Splits(*(Marked(ndim, count, seed=seed, marked=marked) for seed, count in enumerate((300, 90, 90))))


def noise(count: int, dim: int, *, seed: int) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def test_what_codes_and_pixels_tell_is_read(ndim: int) -> None:
    metrics, left_out = measure_probes(identity(ndim), splits(ndim), EvaluationConfig())
    assert not left_out
    assert metrics["probe_accuracy"].value == metrics["probe_accuracy_pixels"].value == 100
    for name in ("probe_accuracy_10_shot", "probe_accuracy_10_shot_pixels"):
        assert 60 < metrics[name].value <= 100


def test_what_nothing_tells_is_not_read(ndim: int) -> None:
    metrics, _ = measure_probes(identity(ndim), splits(ndim, marked=False), EvaluationConfig())
    for found in metrics.values():
        assert 15 < found.value < 55


def test_signals_of_too_many_numbers_are_left_out(ndim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_probes, "MOST_NUMBERS", 3)
    metrics, left_out = measure_probes(identity(ndim), splits(ndim), EvaluationConfig())
    assert not metrics
    assert left_out.keys() == {"probe_accuracy", "probe_accuracy_pixels"}
    assert f"at most 3 numbers of a signal, and there are {4**ndim}" in left_out["probe_accuracy"]


def test_a_class_with_few_signals_has_no_probe_of_few(ndim: int) -> None:
    metrics, _ = measure_probes(identity(ndim), splits(ndim), EvaluationConfig(limit=29))
    assert metrics.keys() == {"probe_accuracy", "probe_accuracy_pixels"}


def test_draws_hold_different_signals_of_each_class() -> None:
    train = Labelled(torch.arange(90.0).view(-1, 1), torch.arange(90) % 3)
    draws = few_of_each(train, classes=3)
    assert len(draws) == DRAWS
    for draw in draws:
        assert draw.labels.bincount().tolist() == [SHOTS] * 3
        assert torch.equal(draw.labels, draw.features[:, 0].long() % 3)
        assert len(draw.features.unique()) == 3 * SHOTS
    assert not torch.equal(draws[0].features, draws[1].features)


@given(st.integers(0, 1000))
def test_separable_features_are_read_without_error(seed: int) -> None:
    labels = torch.arange(60) % 3
    features = 5 * torch.eye(3)[labels] + 0.1 * noise(60, 3, seed=seed)
    for probe in ridge_probes(features, labels, classes=3, penalties=(1e-4, 1.0)):
        assert torch.equal(probe.predict(features), labels)


@given(st.integers(0, 1000))
def test_features_that_are_zero_change_nothing(seed: int) -> None:
    """With more features than signals the smaller system of equations is another one."""
    features, labels = noise(20, 5, seed=seed), torch.arange(20) % 2
    (narrow,) = ridge_probes(features, labels, classes=2, penalties=(0.1,))
    # The penalty is relative to the mean over features, which is lower with zeros.
    (wide,) = ridge_probes(torch.cat([features, torch.zeros(20, 35)], 1), labels, classes=2, penalties=(0.8,))
    torch.testing.assert_close(wide.weight[:5], narrow.weight, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(wide.bias, narrow.bias, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("dim", [2, 50])
def test_constant_features_leave_the_most_frequent_class(dim: int) -> None:
    labels = (torch.arange(40) % 4 == 0).long()
    for probe in ridge_probes(torch.ones(40, dim), labels, classes=2, penalties=(1e-3, 1.0)):
        assert not bool(probe.predict(torch.ones(3, dim)).any())


def test_features_along_one_direction_are_read_in_spite_of_rounding() -> None:
    labels = torch.arange(1024) % 2
    features = labels[:, None] * noise(1, 300, seed=0)
    for probe in ridge_probes(features, labels, classes=2, penalties=(1e-6, 1e-3)):
        assert torch.equal(probe.predict(features), labels)


@given(st.integers(0, 1000))
def test_a_high_penalty_leaves_the_shares_of_the_classes(seed: int) -> None:
    labels = (torch.arange(40) % 4 == 0).long()
    (probe,) = ridge_probes(noise(40, 3, seed=seed), labels, classes=2, penalties=(1e6,))
    torch.testing.assert_close(probe.bias, torch.tensor([0.75, 0.25]), rtol=1e-3, atol=1e-3)
