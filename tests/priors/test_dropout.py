"""Laws of the dropout of the priors with attention: in training steps alone, from the generator of the step alone."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from codeword.config import MaskedConfig, PairPriorConfig, PriorModelConfig, TransformerConfig
from codeword.priors import PairPrior, Sampler, build_prior, make_exact, seeded, walk
from codeword.priors.attention import AttentionPrior

_CODES = torch.randint(5, (3, 2, 3, 1), generator=torch.Generator().manual_seed(0))


def config(kind: str, dropout: float) -> PriorModelConfig:
    architecture = {"transformer": TransformerConfig, "masked": MaskedConfig}[kind]
    own = architecture(layers=2, width=8, heads=2, hidden=12, head_width=8, dropout=dropout)
    return PriorModelConfig(architecture=own, grid=(2, 3), codebook_sizes=(5,), classes=2)


def build(kind: str, dropout: float) -> AttentionPrior | PairPrior:
    torch.manual_seed(0)
    one = config("transformer" if kind == "pair" else kind, dropout)
    prior = PairPrior(PairPriorConfig(first=one, second=one)) if kind == "pair" else build_prior(one)
    assert isinstance(prior, AttentionPrior | PairPrior)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return prior.eval()


def loss(prior: AttentionPrior | PairPrior, seed: int | None = 1) -> Tensor:
    codes = (_CODES, _CODES) if isinstance(prior, PairPrior) else _CODES
    found: Tensor = prior(codes, generator=None if seed is None else seeded(seed))
    return found


KINDS = pytest.mark.parametrize("kind", ["transformer", "masked", "pair"])


@KINDS
def test_a_training_step_drops_by_its_generator_alone(kind: str) -> None:
    plain, prior = build(kind, 0).train(), build(kind, 0.5)
    assert torch.equal(loss(prior), loss(plain))
    prior.train()
    state = torch.get_rng_state()
    assert torch.equal(loss(prior), loss(prior))
    assert not torch.equal(loss(prior), loss(plain))
    if kind != "masked":  # Its loss is random anyway.
        assert torch.equal(loss(plain), loss(plain, 2))
    assert not torch.equal(loss(prior), loss(prior, 2))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", ["transformer", "masked"])
@pytest.mark.parametrize("form", [lambda prior: prior, make_exact], ids=["floats", "exact"])
def test_dropout_leaves_what_is_used_as_it_is(kind: str, form: Callable[..., AttentionPrior]) -> None:
    plain, prior = form(build(kind, 0)), form(build(kind, 0.5))
    assert torch.equal(prior.log_prob(_CODES), plain.log_prob(_CODES))
    drawn = [walk(each, 4, Sampler(generator=seeded(3))) for each in (plain, prior)]
    assert torch.equal(*drawn)


@given(dropout=st.floats(0.05, 0.95), seed=st.integers(0, 99))
def test_the_expected_update_is_that_without_dropout(dropout: float, seed: int) -> None:
    prior = build_prior(config("transformer", dropout)).train()
    assert isinstance(prior, AttentionPrior)
    found = prior.dropping(seeded(seed))._dropped(torch.ones(4, 50, 200))
    assert float((found == 0).float().mean()) == pytest.approx(dropout, abs=0.02)
    torch.testing.assert_close(found[found > 0], torch.full_like(found[found > 0], 1 / (1 - dropout)))


def test_a_prior_without_dropout_has_the_configuration_of_before() -> None:
    assert "dropout" not in config("transformer", 0).architecture.model_dump()
    assert PriorModelConfig.model_validate(config("masked", 0.1).model_dump()) == config("masked", 0.1)
