"""Laws of priors that also model the first n codes of every cell, for each kind of prior and each rank."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from codeword.config import (
    MaskedConfig,
    PixelCNNConfig,
    PriorConfig,
    PriorModelConfig,
    TransformerConfig,
    UniformPriorConfig,
    WaveNetConfig,
    validate_json,
)
from codeword.errors import RecipeError, UnsupportedError, UsageError
from codeword.priors import Prior, Sampler, build_prior, load_prior, make_exact, walk

_PIXELCNN = PixelCNNConfig(layers=2, width=6, head_width=8)
_TRANSFORMER = TransformerConfig(layers=2, width=6, heads=2, hidden=8, head_width=8)
_MASKED = MaskedConfig(layers=2, width=6, heads=2, hidden=8, head_width=8, passes=3)
KINDS: dict[str, tuple[PriorConfig, tuple[int, ...]]] = {
    "pixelcnn-1d": (_PIXELCNN, (5,)),
    "pixelcnn-2d": (_PIXELCNN, (2, 3)),
    "wavenet": (WaveNetConfig(dilations=(1, 2), width=6, skip_width=8, head_width=8), (5,)),
    "transformer-1d": (_TRANSFORMER, (5,)),
    "transformer-2d": (_TRANSFORMER, (2, 3)),
    "masked-1d": (_MASKED, (5,)),
    "masked-2d": (_MASKED, (2, 3)),
    "uniform-1d": (UniformPriorConfig(), (5,)),
    "uniform-2d": (UniformPriorConfig(), (2, 3)),
}
LEARNED = [name for name in KINDS if "uniform" not in name]


def build(
    name: str, *, served_codes: tuple[int, ...] = (1, 3), grid: tuple[int, ...] | None = None, spread: float = 1.0
) -> Prior:
    architecture, own_grid = KINDS[name]
    torch.manual_seed(0)
    config = PriorModelConfig(
        architecture=architecture,
        grid=grid or own_grid,
        codebook_sizes=(3, 4, 2, 5)[: max(served_codes, default=3) + 1],
        classes=2,
        served_codes=served_codes,
    )
    prior = build_prior(config).eval()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2 * spread)
    return prior


def random_codes(prior: Prior, batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.stack([torch.randint(n, (batch, *prior.grid), generator=generator) for n in prior.codebook_sizes], -1)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_the_walk_over_the_first_codes_gives_their_parallel_log_probability(
    name: str, exact: bool, data: st.DataObject
) -> None:
    prior = make_exact(build(name)) if exact else build(name)
    n = data.draw(st.sampled_from(prior.served_codes), label="codes")
    label = data.draw(st.sampled_from([None, torch.tensor([0, 1, 2])]), label="label")
    draw, total = Sampler(generator=torch.Generator().manual_seed(data.draw(st.integers(0, 9)))), torch.zeros(3)

    def choose(logits: Tensor, i: int) -> Tensor:
        nonlocal total
        symbols = draw(logits)
        total = total - F.cross_entropy(logits, symbols, reduction="none")
        return symbols

    codes = walk(prior, 3, choose, label=label, codes=n)
    assert codes.shape == (3, *prior.grid, n)
    torch.testing.assert_close(prior.log_prob(codes, label), total, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_the_probabilities_of_the_first_codes_sum_to_one(name: str) -> None:
    grid = (1, 2) if "2d" in name else (2,)
    prior = build(name, served_codes=(1, 2), grid=grid)
    for n in prior.served_codes:
        cells = torch.cartesian_prod(*map(torch.arange, prior.codebook_sizes[:n])).view(-1, n)
        codes = cells[torch.cartesian_prod(*[torch.arange(len(cells))] * 2)].view(-1, *grid, n)
        for label in (None, torch.ones(len(codes), dtype=torch.int64)):
            assert prior.log_prob(codes, label).logsumexp(0).item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("name", [name for name in KINDS if "masked" not in name])
def test_training_on_signals_of_different_numbers_of_codes_is_training_on_each(name: str) -> None:
    prior, counts, label = build(name), torch.tensor([3, 1, 4, 1]), torch.tensor([0, 1, 2, 0])
    codes = random_codes(prior, 4)
    loss = prior(codes, label, counts)
    alone = [prior.log_prob(codes[b : b + 1, ..., :n], label[b : b + 1]) for b, n in enumerate(counts.tolist())]
    symbols = int(counts.sum()) * codes[0, ..., 0].numel()
    torch.testing.assert_close(loss, -torch.cat(alone).sum() / symbols)
    for k, size in enumerate(prior.codebook_sizes):
        absent = counts <= k
        codes[absent, ..., k] = (codes[absent, ..., k] + 1) % size
    assert torch.equal(loss, prior(codes, label, counts)), "codes beyond the number were read"
    everything = torch.full((4,), 4)
    torch.testing.assert_close(prior(codes, label, everything), prior(codes, label))


@pytest.mark.parametrize("name", LEARNED)
def test_every_weight_has_a_gradient_whatever_the_numbers_of_codes(name: str) -> None:
    """Processes that train together exchange the gradient of every weight."""
    prior = build(name)
    prior(random_codes(prior, 2), None, torch.tensor([1, 1])).backward()
    assert all(weight.grad is not None for weight in prior.parameters())


@pytest.mark.parametrize("name", LEARNED)
def test_the_number_of_codes_reaches_the_cells_after_the_first(name: str) -> None:
    prior = build(name)
    codes = random_codes(prior, 2)
    before = {n: prior.log_prob(codes[..., :n]) for n in prior.served_codes}
    with torch.no_grad():
        prior.embed_count.weight[1].add_(1)  # type: ignore[union-attr, operator]
    after = {n: prior.log_prob(codes[..., :n]) for n in prior.served_codes}
    assert [torch.equal(before[n], after[n]) for n in (1, 3, 4)] == [True, False, True]


@pytest.mark.parametrize("name", KINDS)
def test_a_number_that_is_not_served_is_refused(name: str) -> None:
    prior = build(name)
    with pytest.raises(UnsupportedError, match=r"models the first .*3 or 4 codes of a cell and was asked for (5|0)"):
        walk(prior, 1, Sampler(), codes=0)
    if name in LEARNED:
        with pytest.raises(UnsupportedError, match="first 1 or 3 or 4 codes of a cell and was asked for 2"):
            walk(prior, 1, Sampler(), codes=2)
        with pytest.raises(UsageError, match="expected integers of shape"):
            prior.log_prob(random_codes(prior, 1)[..., :2])


@pytest.mark.parametrize("name", KINDS)
def test_a_saved_prior_is_the_same_loaded(name: str, tmp_path: object) -> None:
    prior = build(name)
    prior.save_pretrained(f"{tmp_path}/prior")
    loaded, codes = load_prior(f"{tmp_path}/prior"), random_codes(prior, 2)
    assert loaded.served_codes == prior.served_codes
    assert loaded.fingerprint == prior.fingerprint
    for n in prior.served_codes:
        assert torch.equal(loaded.log_prob(codes[..., :n]), prior.log_prob(codes[..., :n]))


def test_a_prior_of_all_codes_has_the_config_of_earlier_versions() -> None:
    config = PriorModelConfig(architecture=_PIXELCNN, grid=(4,), codebook_sizes=(3, 4))
    assert "served_codes" not in config.model_dump_json()
    assert validate_json(PriorModelConfig, config.model_dump_json(), place="config.json") == config


@pytest.mark.parametrize("wrong", ["[0]", "[0, 1]", "[3]", "[4]", "[2, 1]", "[1, 1]", "[-1]", "1", "[1.5]", '["a"]'])
def test_numbers_of_codes_that_cannot_be_are_refused_with_the_field(wrong: str) -> None:
    text = (
        f'{{"architecture": {{"kind": "wavenet"}}, "grid": [4], "codebook_sizes": [3, 4, 2], "served_codes": {wrong}}}'
    )
    with pytest.raises(RecipeError, match="served_codes"):
        validate_json(PriorModelConfig, text, place="config.json")
