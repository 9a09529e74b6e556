"""Laws of the constant in place of codes: the likelihood alone is a probability, and nothing is paid for codes."""

import pytest
import torch

from codeword.config import (
    CategoricalConfig,
    ConvTrunkConfig,
    NoCodesConfig,
    PriorModelConfig,
    TokenizerConfig,
    UniformPriorConfig,
    load_recipe,
)
from codeword.errors import RecipeError
from codeword.priors import build_prior
from codeword.tokenizer import Tokenizer


def test_the_likelihood_alone_sums_to_one_over_all_signals(ndim: int) -> None:
    """With codes it could sum to more, because each signal would have features of its own."""
    torch.manual_seed(3)
    tokenizer = Tokenizer(
        TokenizerConfig(
            ndim=ndim,  # type: ignore[arg-type]
            channels=1,
            values=2,
            trunk=ConvTrunkConfig(width=16, residual_width=2, residual_blocks=1, strides=(2,)),
            quantizer=NoCodesConfig(dim=4),
            likelihood=CategoricalConfig(),
        )
    ).eval()
    values = 2**ndim
    x = torch.tensor([[i >> b & 1 for b in range(values)] for i in range(1 << values)]).view(-1, 1, *(2,) * ndim)
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=0.01)
    for _ in range(20):
        optimizer.zero_grad()
        tokenizer(x[-3:]).signal_loss.backward()
        optimizer.step()
    log_probs = tokenizer.log_prob(x)
    assert float(log_probs.exp().sum()) == pytest.approx(1, abs=1e-5)
    assert float(log_probs[-3:].mean()) > float(log_probs[:-3].mean()), "nothing was learned"
    assert torch.equal(tokenizer.decode(tokenizer.encode(x[:1])), tokenizer.decode(tokenizer.encode(x[-1:])))
    prior = build_prior(PriorModelConfig(architecture=UniformPriorConfig(), grid=(1,) * ndim, codebook_sizes=(1,)))
    assert not prior.log_prob(tokenizer.encode(x)).any()


def test_a_recipe_with_a_learned_prior_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"kind 'none' has no codes that a prior could learn; set prior = \{ kind"):
        load_recipe("cifar10", overrides=["tokenizer.quantizer={kind='none'}"])
