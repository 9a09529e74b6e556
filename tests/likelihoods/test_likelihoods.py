"""Laws of the likelihoods: they are probabilities over integers, and their samples follow them."""

from math import inf, log

import pytest
import torch
from torch import Tensor

from codeword.config import (
    CategoricalConfig,
    GaussianConfig,
    InterleavedConfig,
    LikelihoodConfig,
    LogisticMixtureConfig,
    SpectralConfig,
    SpectrogramConfig,
    WaveNetDecoderConfig,
)
from codeword.errors import UnsupportedError
from codeword.likelihoods import Gaussian, Likelihood, build_likelihood
from codeword.likelihoods.logistic_mixture import INITIAL_LOG_SCALE

INTERLEAVED = InterleavedConfig(width=8, hidden=8, blocks=1, features=8, output=LogisticMixtureConfig(components=2))
CONFIGS: list[LikelihoodConfig] = [
    GaussianConfig(),
    CategoricalConfig(),
    LogisticMixtureConfig(components=3),
    INTERLEAVED,
]


@pytest.fixture(params=CONFIGS, ids=lambda c: c.kind)
def likelihood(request: pytest.FixtureRequest) -> Likelihood:
    torch.manual_seed(0)
    return build_likelihood(request.param, channels=3, values=256)


def features_for(likelihood: Likelihood, *shape: int, spread: float = 1.0, seed: int = 0) -> Tensor:
    noise = torch.randn(shape[0], likelihood.features, *shape[1:], generator=torch.Generator().manual_seed(seed))
    return noise * (0.2 if isinstance(likelihood, Gaussian) else spread)


@pytest.mark.parametrize("spread", [0.1, 1.0, 6.0])
def test_sums_to_one_over_all_values(likelihood: Likelihood, spread: float) -> None:
    """Of each channel, given the others: the channels before are fixed, those after are summed out too."""
    single = build_likelihood(type_config(likelihood), channels=1, values=256)
    features = features_for(single, 1, 5, spread=spread).expand(256, -1, -1)
    x = torch.arange(256)[:, None, None].expand(-1, 1, 5)
    for place in range(5):
        log_probs = single.log_prob(features[..., place : place + 1], x[..., place : place + 1])
        assert log_probs.logsumexp(0).item() == pytest.approx(0, abs=2e-4)


def test_sums_to_one_over_all_channels_together() -> None:
    for config in CONFIGS:
        tiny = build_likelihood(config, channels=3, values=5)
        x = torch.cartesian_prod(*[torch.arange(5)] * 3)[:, :, None]
        features = features_for(tiny, 1, 1).expand(125, -1, -1)
        assert tiny.log_prob(features, x).logsumexp(0).item() == pytest.approx(0, abs=1e-4)


def type_config(likelihood: Likelihood) -> LikelihoodConfig:
    return CONFIGS[[type(build_likelihood(c, channels=3, values=256)) for c in CONFIGS].index(type(likelihood))]


def test_any_rank_and_a_value_for_each_signal(likelihood: Likelihood, size: tuple[int, ...]) -> None:
    likelihood = build_likelihood(type_config(likelihood), channels=3, values=256, ndim=len(size))
    features = features_for(likelihood, 2, *size)
    x = likelihood.sample(features, generator=torch.Generator().manual_seed(0))
    assert torch.equal(x, likelihood.sample(features, generator=torch.Generator().manual_seed(0)))
    assert x.shape == (2, 3, *size)
    assert int(x.min()) >= 0
    assert int(x.max()) <= 255
    assert likelihood.log_prob(features, x).shape == (2,)
    mean = likelihood.mean(features)
    assert mean.shape == x.shape
    assert 0 <= float(mean.min()) <= float(mean.max()) <= 255


def test_log_prob_of_a_batch_is_that_of_its_signals(likelihood: Likelihood) -> None:
    features = features_for(likelihood, 3, 6)
    x = likelihood.sample(features)
    one_by_one = torch.cat([likelihood.log_prob(features[i : i + 1], x[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(likelihood.log_prob(features, x), one_by_one)


def test_samples_follow_the_likelihood(likelihood: Likelihood) -> None:
    """The histogram of many samples is the probability of each value."""
    single = build_likelihood(type_config(likelihood), channels=1, values=16)
    features = features_for(single, 1, 1).expand(40_000, -1, -1)
    x = single.sample(features, generator=torch.Generator().manual_seed(0)).flatten()
    observed = torch.bincount(x, minlength=16) / len(x)
    every = torch.arange(16)[:, None, None]
    predicted = single.log_prob(features[:16], every).exp()
    torch.testing.assert_close(observed, predicted.detach(), atol=0.012, rtol=0)


def test_extreme_features_stay_finite(likelihood: Likelihood) -> None:
    for scale in (1e2, 1e4):
        features = (scale * features_for(likelihood, 2, 4)).requires_grad_()
        x = torch.tensor([0, 1, 128, 255]).expand(2, 3, 4)
        log_prob = likelihood.log_prob(features, x)
        log_prob.sum().backward()
        assert bool(torch.isfinite(log_prob).all())
        assert bool(torch.isfinite(features.grad).all())  # type: ignore[arg-type]


def test_gaussian_fits_its_scale_to_the_error_without_changing_the_loss() -> None:
    likelihood = Gaussian(3, 256)
    x = torch.randint(256, (16, 3, 8), generator=torch.Generator().manual_seed(0))
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    errors = torch.tensor([0.02, 0.05, 0.1])
    features = (likelihood.centred(x) + noise * errors[:, None]).requires_grad_()
    optimizer = torch.optim.Adam(likelihood.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        loss = likelihood.loss(features, x)
        loss.backward()
        optimizer.step()
    squared = (features - likelihood.centred(x)).square()
    torch.testing.assert_close(loss, squared.mean())
    torch.testing.assert_close(
        likelihood.log_scale.exp().detach(), squared.mean((0, 2)).sqrt().detach(), rtol=1e-3, atol=0
    )


def test_gaussian_is_the_integral_of_its_density() -> None:
    likelihood = Gaussian(1, 256).double()
    mean, value = torch.tensor([[[0.1]]], dtype=torch.float64), torch.tensor([[[150]]])
    scale = likelihood.log_scale.exp().item()
    edges = (torch.tensor([149.5, 150.5], dtype=torch.float64) / 255 - 0.5 - 0.1) / scale
    expected = float((torch.special.ndtr(edges[1]) - torch.special.ndtr(edges[0])).log())
    assert likelihood.log_prob(mean, value).item() == pytest.approx(expected, rel=1e-4)


def test_mixture_agrees_with_the_textbook_form() -> None:
    likelihood = build_likelihood(LogisticMixtureConfig(components=3), channels=1, values=256)
    features = features_for(likelihood, 4, 6, spread=0.3).double()
    x = torch.randint(1, 255, (4, 1, 6), generator=torch.Generator().manual_seed(0))
    shared_mean, shared_log_scale, own = features.split([1, 1, 9], 1)
    logits, means, log_scales = own.view(4, 3, 3, 6).unbind(2)
    means, log_scales = means + shared_mean, log_scales + shared_log_scale + INITIAL_LOG_SCALE
    signal = x.double() / 127.5 - 1
    upper = torch.sigmoid((signal + 1 / 255 - means) * torch.exp(-log_scales))
    lower = torch.sigmoid((signal - 1 / 255 - means) * torch.exp(-log_scales))
    expected = ((upper - lower) * logits.softmax(1)).sum(1).log().sum(1)
    torch.testing.assert_close(likelihood.log_prob(features.float(), x).double(), expected, rtol=1e-3, atol=1e-2)


def test_coupling_uses_the_true_channels_before() -> None:
    """With couplings at their limit, a pixel whose channels agree is far likelier than one whose do not."""
    likelihood = build_likelihood(LogisticMixtureConfig(components=1), channels=3, values=256)
    features = torch.zeros(2, likelihood.features, 1)
    features[:, 3:6] = -1.0  # The log scales.
    features[:, 6 + 1 + 6] = 10.0  # The second channel's mean is its own prediction plus the first channel.
    x = torch.tensor([[200, 200, 128], [200, 60, 128]])[:, :, None]
    agree, differ = likelihood.log_prob(features, x)
    assert (agree - differ).item() > 5 * log(2)


@pytest.fixture
def spectrogram() -> Likelihood:
    config = SpectrogramConfig(n_fft=64, hop=16, mels=8, iterations=3)
    return build_likelihood(config, channels=1, values=256, sample_rate=8000)


def test_a_spectrogram_sums_to_one_over_all_values(spectrogram: Likelihood) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(5, 8, 1, generator=generator)
    torch.nn.init.normal_(spectrogram.log_scale.weight, generator=generator)  # type: ignore[union-attr,arg-type]
    x = torch.arange(256)[:, None, None]
    for one in features:
        log_probs = spectrogram.log_prob(one.expand(256, -1, -1), x)
        assert log_probs.logsumexp(0).item() == pytest.approx(0, abs=2e-4)


@pytest.mark.parametrize("weight", [0, 0.5])
def test_errors_of_a_spectrogram_are_its_training_loss(weight: float) -> None:
    config = SpectrogramConfig(n_fft=64, hop=16, mels=8, energy_weight=weight)
    likelihood = build_likelihood(config, channels=1, values=256, sample_rate=8000)
    x = torch.randint(256, (3, 1, 16 if weight else 160), generator=torch.Generator().manual_seed(0))
    features = torch.randn(3, 8, x.shape[-1] // 16, generator=torch.Generator().manual_seed(1))
    # Of one frame the loudness of the signal is that of the frame.
    torch.testing.assert_close(likelihood.errors(features, x).mean(), likelihood.loss(features, x))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_errors_are_squared_or_refused(config: LikelihoodConfig, ndim: int) -> None:
    likelihood = build_likelihood(config, channels=2, values=16)
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(16, (3, 2, *(4,) * ndim), generator=generator)
    features = torch.randn(3, likelihood.features, *(4,) * ndim, generator=generator)
    if not likelihood.one_pass:
        with pytest.raises(UnsupportedError, match="leave refine out"):
            likelihood.errors(features, x)
        return
    found = likelihood.errors(features, x)
    expected = ((likelihood.mean(features) - x) / 15).square().sum(1)
    torch.testing.assert_close(found, expected)


def test_a_spectrogram_is_heard_at_its_length_and_its_loss_falls_with_the_error(spectrogram: Likelihood) -> None:
    times = torch.arange(400) / 8000
    x = (128 + 60 * torch.sin(2 * torch.pi * 900 * times)).round().long()[None, None]
    exact = spectrogram._frames(x)  # type: ignore[operator]
    assert spectrogram.mean(exact).shape == (1, 1, 400)
    losses = [float(spectrogram.loss(exact + error, x).detach()) for error in (0.0, 0.2, 1.0)]
    assert losses == pytest.approx([0.0, 0.6, 3.0], abs=1e-4)
    silence = torch.full((1, 1, 400), 128)
    assert float((spectrogram.mean(spectrogram._frames(silence)) - 127.5).abs().max()) < 2  # type: ignore[operator]


@pytest.mark.parametrize("values", [4, 256])
def test_the_walk_offers_the_probabilities_of_the_numbers_taken(
    likelihood: Likelihood, values: int, size: tuple[int, ...]
) -> None:
    """Of four values a draw often takes the outer ones."""
    likelihood = build_likelihood(type_config(likelihood), channels=3, values=values, ndim=len(size))
    features = features_for(likelihood, 2, *size)
    x = likelihood.sample(features, generator=torch.Generator().manual_seed(1))
    total = torch.zeros(2)

    def take(weights: Tensor, i: int) -> Tensor:
        channel, places = likelihood.step(i, size)
        taken = x.flatten(2)[:, channel, places]
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        total.add_(weights.gather(-1, taken[..., None]).log().flatten(1).sum(1))
        return taken

    assert torch.equal(likelihood.walk(features, take), x)
    torch.testing.assert_close(total, likelihood.log_prob(features, x), rtol=1e-3, atol=1e-2)


def test_a_likelihood_without_a_list_of_values_cannot_be_walked(spectrogram: Likelihood) -> None:
    features = torch.zeros(1, spectrogram.features, 4)
    with pytest.raises(UnsupportedError, match="lossless needs"):
        spectrogram.walk(features, lambda weights, i: weights.argmax(-1))


DECLARING: list[LikelihoodConfig] = [*CONFIGS, SpectralConfig(), SpectrogramConfig(n_fft=64, hop=16, iterations=3)]


@pytest.mark.parametrize("config", DECLARING, ids=lambda c: c.kind)
def test_the_mean_depends_on_nothing_beyond_its_reach(config: LikelihoodConfig) -> None:
    likelihood = build_likelihood(config, channels=1, values=256, sample_rate=8000)
    features, _ = likelihood.begin(features_for(likelihood, 1, 1024 // likelihood.hop))
    changed = features.clone()
    place = features.shape[2] // 2
    changed[:, :, place] *= -1
    start, stop = place * likelihood.hop, (place + 1) * likelihood.hop
    reach = int(likelihood.reach)
    before, after = likelihood.finish(features), likelihood.finish(changed)
    assert not torch.equal(before[..., start:stop], after[..., start:stop])
    assert torch.equal(before[..., : start - reach], after[..., : start - reach])
    assert torch.equal(before[..., stop + reach :], after[..., stop + reach :])


def test_a_spectrogram_in_blocks_and_windows_has_the_mean_of_the_whole(spectrogram: Likelihood) -> None:
    features = features_for(spectrogram, 1, 1024 // spectrogram.hop, spread=0.1)
    whole, begun, state = spectrogram.mean(features), [], None
    for block in features.split(7, -1):
        some, state = spectrogram.begin(block, state)
        begun.append(some)
    joined = torch.cat(begun, -1)
    torch.testing.assert_close(spectrogram.finish(joined), whole, atol=0.1, rtol=0)
    start, kept = 17, int(spectrogram.reach)
    window = spectrogram.finish(joined[..., start:])
    torch.testing.assert_close(window[..., kept:], whole[..., start * spectrogram.hop + kept :], atol=0.1, rtol=0)


def test_a_sequential_likelihood_depends_on_the_whole_signal() -> None:
    wavenet = build_likelihood(WaveNetDecoderConfig(dilations=(1,), width=4, skip_width=4), channels=1, values=16)
    assert wavenet.reach == inf
    assert not wavenet.one_pass
