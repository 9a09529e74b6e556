"""Laws of the constant in place of codes: the likelihood alone is a probability, and nothing is paid for codes."""

import pytest
import torch
from tiny.tokenizers import every_binary_signal, one_cell_model

from codeword.config import NoCodesConfig, load_recipe
from codeword.errors import RecipeError


def test_the_likelihood_alone_sums_to_one_over_all_signals(ndim: int) -> None:
    """With codes it could sum to more, because each signal would have features of its own."""
    model, x = one_cell_model(ndim, NoCodesConfig(dim=4)), every_binary_signal(ndim)
    tokenizer = model.tokenizer
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=0.01)
    for _ in range(20):
        optimizer.zero_grad()
        tokenizer(x[-3:]).signal_loss.backward()
        optimizer.step()
    log_probs = tokenizer.log_prob(x)
    assert float(log_probs.exp().sum()) == pytest.approx(1, abs=1e-5)
    assert float(log_probs[-3:].mean()) > float(log_probs[:-3].mean()), "nothing was learned"
    assert torch.equal(tokenizer.decode(tokenizer.encode(x[:1])), tokenizer.decode(tokenizer.encode(x[-1:])))
    assert not model.prior.log_prob(tokenizer.encode(x)).any()


def test_a_recipe_with_a_learned_prior_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"kind 'none' has no codes that a prior could learn; set prior = \{ kind"):
        load_recipe("cifar10", overrides=["tokenizer.quantizer={kind='none'}"])
