"""Laws of interleaved grids, at any rank and size: one distribution over whole signals."""

import pytest
import torch
from torch import Tensor

from codeword.config import CategoricalConfig, InterleavedConfig, LogisticMixtureConfig, TokenizerConfig
from codeword.likelihoods import Likelihood, build_likelihood

SIZES = [(1,), (2,), (7,), (1, 3), (2, 2), (3, 2), (2, 5)]


def build(ndim: int, *, channels: int = 1, values: int = 2, levels: int = 2) -> Likelihood:
    torch.manual_seed(0)
    config = InterleavedConfig(
        levels=levels, width=4, hidden=4, blocks=1, features=2, output=LogisticMixtureConfig(components=2)
    )
    return build_likelihood(config, channels=channels, values=values, ndim=ndim)


def noise(*shape: int) -> Tensor:
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_probabilities_of_all_signals_sum_to_one(size: tuple[int, ...]) -> None:
    likelihood, count = build(len(size)), torch.Size(size).numel()
    every = torch.cartesian_prod(*[torch.arange(2)] * count).view(-1, 1, *size)
    log_probs = likelihood.log_prob(noise(1, 2, *size).expand(len(every), *[-1] * (len(size) + 1)), every)
    assert log_probs.logsumexp(0).item() == pytest.approx(0, abs=1e-4)
    assert log_probs.std() > 0.01 or count == 1


@pytest.mark.parametrize("size", [*SIZES, (16,), (8, 12)], ids=str)
def test_the_steps_take_each_value_once(size: tuple[int, ...]) -> None:
    likelihood, taken = build(len(size), channels=2, values=4), torch.full((2, torch.Size(size).numel()), -1)

    def take(weights: Tensor, i: int) -> Tensor:
        channel, places = likelihood.step(i, size)
        assert bool((taken[channel, places] == -1).all())
        taken[channel, places] = i % 4
        return torch.full(weights.shape[:-1], i % 4)

    x = likelihood.walk(noise(1, 2, *size), take)
    assert torch.equal(x[0].flatten(1), taken)


@pytest.mark.parametrize("size", [(9,), (6, 5)], ids=str)
def test_gradients_reach_the_features_of_every_place(size: tuple[int, ...]) -> None:
    likelihood, features = build(len(size), values=256), noise(1, 2, *size).requires_grad_()
    likelihood.loss(features, torch.randint(256, (1, 1, *size), generator=torch.Generator().manual_seed(0))).backward()
    assert features.grad is not None
    assert bool((features.grad != 0).all())


def test_a_value_changes_what_is_expected_of_its_neighbours() -> None:
    likelihood, features = build(1, values=16, levels=1), noise(1, 2, 8)

    def take(first: int) -> list[Tensor]:
        offered: list[Tensor] = []

        def choose(weights: Tensor, i: int) -> Tensor:
            offered.append(weights)
            return torch.full(weights.shape[:-1], first)

        likelihood.walk(features, choose)
        return offered

    (even, odd), (same, other) = take(0), take(15)
    assert torch.equal(even, same)
    assert not torch.equal(odd, other)


def test_the_mean_of_a_grid_is_given_the_rounded_mean_of_the_grids_before(size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    config = InterleavedConfig(width=4, hidden=4, blocks=1, features=2, output=CategoricalConfig())
    likelihood, features = build_likelihood(config, channels=2, values=4, ndim=len(size)), noise(2, 2, *size)
    mean = likelihood.mean(features).flatten(2)

    def choose(weights: Tensor, i: int) -> Tensor:
        channel, places = likelihood.step(i, size)
        torch.testing.assert_close(weights @ torch.arange(4.0), mean[:, channel, places])
        return mean[:, channel, places].round().long()

    likelihood.walk(features, choose)
    assert mean.std() > 0.1


def test_a_config_whose_cells_the_coarsest_grid_does_not_divide_is_an_error() -> None:
    with pytest.raises(ValueError, match="multiple of 8 values along each axis, not 4"):
        TokenizerConfig(likelihood=InterleavedConfig(levels=3))
