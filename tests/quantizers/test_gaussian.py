"""Laws of continuous latents: what they cost, and that they are not taken for codes."""

from math import log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny.tokenizers import every_binary_signal, one_cell_model
from torch.distributions import Normal, kl_divergence

from codeword.config import GaussianLatentsConfig, load_recipe
from codeword.errors import RecipeError, UnsupportedError
from codeword.evaluation.measure.images import measure
from codeword.quantizers import build_quantizer

CONFIG = GaussianLatentsConfig(latent_dim=3, dim=4)


@given(st.integers(0, 1000), st.floats(0.1, 3))
def test_the_nats_are_the_divergence_from_the_standard_normal(seed: int, scale: float) -> None:
    torch.manual_seed(seed)
    latents = build_quantizer(CONFIG)
    z = scale * torch.randn(2, 5, 4)
    mean, log_variance = latents.project_in(z).chunk(2, -1)  # type: ignore[operator]
    wanted = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(-1)
    result = latents(z)
    torch.testing.assert_close(result.nats, wanted)
    torch.testing.assert_close(result.training_loss(40), wanted.sum() / 40)


def test_the_bound_is_never_more_than_a_probability(ndim: int) -> None:
    """Over all signals, the exponentials of the bound sum to at most 1; they would not if latents were free."""
    tokenizer, x = one_cell_model(ndim, CONFIG).tokenizer, every_binary_signal(ndim)
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):  # Latents that say which signal it is, at any cost.
        optimizer.zero_grad()
        tokenizer(x, generator=generator).signal_loss.backward()
        optimizer.step()
    many = x.repeat(400, *(1,) * (ndim + 1))
    with torch.no_grad():
        analysis = tokenizer.analyse(many)
        signal = -tokenizer.likelihood.log_prob(analysis.features, many)
    assert analysis.quantized.nats is not None
    latent, signal = (nats.view(400, -1).mean(0) for nats in (analysis.quantized.nats, signal))
    assert float(torch.exp(-latent - signal).sum()) <= 1.01
    assert float(torch.exp(-signal).sum()) > 1.5


def test_evaluation_counts_latents_as_codes() -> None:
    model = one_cell_model(2, CONFIG)
    tokenizer = model.tokenizer
    x = torch.randint(2, (3, 1, 16, 16), generator=torch.Generator().manual_seed(0))
    nats = tokenizer.analyse(x).quantized.nats
    assert nats is not None
    found = measure(tokenizer, model.prior, x, torch.zeros(3, dtype=torch.int64))["code_bits"]
    torch.testing.assert_close(found, nats.flatten(1).sum(1) / log(2))


def test_draws_come_from_the_generator_alone() -> None:
    latents, z = build_quantizer(CONFIG), torch.randn(2, 5, 4)
    first, again, other = (latents(z, generator=torch.Generator().manual_seed(seed)).vectors for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(latents(z).vectors, latents(z).vectors)


def test_a_recipe_with_a_learned_prior_is_refused() -> None:
    quantizer = "tokenizer.quantizer={kind='gaussian'}"
    with pytest.raises(RecipeError, match=r"set prior = \{ kind = 'uniform' \}"):
        load_recipe("cifar10", overrides=[quantizer])
    assert load_recipe("cifar10", overrides=[quantizer, "prior={kind='uniform'}"]).prior.kind == "uniform"


def test_there_are_no_codes() -> None:
    model = one_cell_model(2, CONFIG)
    with pytest.raises(UnsupportedError, match="continuous latents"):
        model.tokenizer.encode(torch.zeros(1, 1, 2, 2, dtype=torch.int64))
    with pytest.raises(UnsupportedError, match="continuous latents"):
        model.tokenizer.decode(torch.zeros(1, 1, 1, 1, dtype=torch.int64))
