"""Laws of the priors: causal, normalised, and the same walked as computed in parallel."""

from math import log

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from codeword.config import MaskedConfig, PixelCNNConfig, PriorModelConfig, TransformerConfig, UniformPriorConfig
from codeword.errors import UsageError
from codeword.priors import PixelCNN, Prior, Sampler, Uniform, build_prior, walk


def random_codes(prior: Prior, batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.stack([torch.randint(n, (batch, *prior.grid), generator=generator) for n in prior.codebook_sizes], -1)


@given(
    grid=st.one_of(
        st.tuples(st.integers(1, 9)),
        st.tuples(st.integers(1, 5), st.integers(1, 5)),
        st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3)),
    ),
    codebook_sizes=st.lists(st.integers(2, 5), min_size=1, max_size=3),
    kernel=st.sampled_from([3, 5, 7]),
    layers=st.integers(1, 4),
    label=st.one_of(st.none(), st.integers(0, 2)),
)
def test_the_walk_gives_the_parallel_log_probability(
    grid: tuple[int, ...], codebook_sizes: list[int], kernel: int, layers: int, label: int | None
) -> None:
    torch.manual_seed(0)
    architecture = PixelCNNConfig(layers=layers, width=6, kernel=kernel, head_width=8)
    prior = build_prior(
        PriorModelConfig(architecture=architecture, grid=grid, codebook_sizes=tuple(codebook_sizes), classes=3)
    ).eval()
    torch.nn.init.normal_(prior.label_bias.weight)  # type: ignore[union-attr]
    labels = None if label is None else torch.full((3,), label)
    draw = Sampler(generator=torch.Generator().manual_seed(1))
    total = torch.zeros(3)

    def choose(logits: torch.Tensor, i: int) -> torch.Tensor:
        nonlocal total
        symbols = draw(logits)
        total = total - F.cross_entropy(logits, symbols, reduction="none")
        return symbols

    codes = walk(prior, 3, choose, label=labels)
    assert codes.shape == (3, *grid, len(codebook_sizes))
    torch.testing.assert_close(prior.log_prob(codes, labels), total, atol=1e-4, rtol=1e-5)


def test_no_symbol_sees_itself_or_a_later_one_and_each_sees_all_before(prior: PixelCNN) -> None:
    """Causality, and no blind spot, by gradient, on a grid that is not square."""
    codes = random_codes(prior, 1)
    deep = PixelCNN(
        PriorModelConfig(
            architecture=PixelCNNConfig(layers=8, width=8, kernel=3, head_width=16),
            grid=prior.grid,
            codebook_sizes=prior.codebook_sizes,
            classes=3,
        )
    ).eval()
    inputs: list[torch.Tensor] = []
    for table in deep.embed:
        table.register_forward_hook(lambda *args: inputs.append(args[2].requires_grad_()) or inputs[-1])
    hidden = deep._cell_features(deep._embedded(codes), torch.zeros(1, dtype=torch.int64))
    flat = hidden.flatten(1, -2)
    for cell in range(flat.shape[1]):
        gradient = torch.autograd.grad(flat[0, cell].sum(), inputs[0], retain_graph=True)[0]
        seen = gradient.abs().sum(-1).flatten() > 0
        assert not bool(seen[cell:].any()), "a cell sees itself or the future"
        assert bool(seen[:cell].all()), "a blind spot"


def test_probabilities_of_all_codes_sum_to_one() -> None:
    torch.manual_seed(0)
    for grid in ((3,), (1, 3), (3, 1)):
        config = PriorModelConfig(
            architecture=PixelCNNConfig(layers=2, width=6, kernel=3, head_width=8), grid=grid, codebook_sizes=(3, 2)
        )
        prior = build_prior(config).eval()
        cells = torch.cartesian_prod(torch.arange(3), torch.arange(2))
        every = torch.cartesian_prod(*[torch.arange(6)] * 3)
        codes = cells[every].view(-1, *grid, 2)
        assert prior.log_prob(codes).logsumexp(0).item() == pytest.approx(0, abs=1e-4)


def test_labels_matter_and_none_means_not_told(prior: PixelCNN) -> None:
    codes = random_codes(prior, 2)
    hidden = prior.log_prob(codes)
    assert torch.equal(hidden, prior.log_prob(codes, torch.full((2,), prior.classes)))
    assert not torch.equal(hidden, prior.log_prob(codes, torch.zeros(2, dtype=torch.int64)))


def test_an_unconditional_prior_ignores_labels() -> None:
    architecture = PixelCNNConfig(layers=2, width=6, head_width=8, conditional=False)
    prior = build_prior(PriorModelConfig(architecture=architecture, grid=(4,), codebook_sizes=(5,), classes=3))
    codes = random_codes(prior, 2)
    assert torch.equal(prior.log_prob(codes), prior.log_prob(codes, torch.tensor([0, 2])))


def test_uniform_costs_the_size_of_the_alphabet(ndim: int) -> None:
    grid = (4,) if ndim == 1 else (2, 3)
    prior = build_prior(PriorModelConfig(architecture=UniformPriorConfig(), grid=grid, codebook_sizes=(8, 4)))
    assert isinstance(prior, Uniform)
    codes = walk(prior, 5, Sampler(generator=torch.Generator().manual_seed(0)))
    assert codes.shape == (5, *grid, 2)
    cells = codes[0, ..., 0].numel()
    torch.testing.assert_close(prior.log_prob(codes), torch.full((5,), -cells * (log(8) + log(4))))


def test_one_seed_gives_one_sample_and_another_seed_another(prior: PixelCNN) -> None:
    first, again, other = (walk(prior, 4, Sampler(generator=torch.Generator().manual_seed(seed))) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@given(st.integers(1, 8), st.floats(0.05, 1.0), st.floats(0.2, 3.0))
def test_draw_keeps_to_the_likeliest(top_k: int, top_p: float, temperature: float) -> None:
    logits = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    draw = Sampler(temperature=temperature, top_k=top_k, top_p=top_p, generator=torch.Generator().manual_seed(1))
    symbols = draw(logits)
    rank = (logits > logits.gather(1, symbols[:, None])).sum(1)
    assert int(rank.max()) < top_k
    probabilities = (logits / temperature).softmax(1)
    mass_before = (probabilities * (logits > logits.gather(1, symbols[:, None]))).sum(1)
    assert float(mass_before.max()) < top_p + 1e-5


def test_draw_at_temperature_zero_and_one() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0]])
    assert Sampler(temperature=0)(logits).tolist() == [1]
    drawn = Sampler(generator=torch.Generator().manual_seed(0))(logits.expand(20_000, 3))
    frequencies = torch.bincount(drawn, minlength=3) / 20_000
    torch.testing.assert_close(frequencies, logits.softmax(1)[0], atol=0.015, rtol=0)


@pytest.mark.parametrize("bad", [{"temperature": -1.0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_draw_refuses_what_makes_no_sense(bad: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(bad))):
        Sampler(**bad)  # type: ignore[arg-type]


ARCHITECTURES = [
    PixelCNNConfig(layers=1, width=12, head_width=12),
    TransformerConfig(layers=1, width=12, heads=2, hidden=12, head_width=12),
    MaskedConfig(layers=1, width=12, heads=2, hidden=12, head_width=12),
]


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda config: config.kind)
@given(size=st.sampled_from([(5,), (3, 4)]), seed=st.integers(0, 99))
def test_codewords_with_one_meaning_begin_with_one_probability(
    architecture: PixelCNNConfig | TransformerConfig | MaskedConfig, size: tuple[int, ...], seed: int
) -> None:
    torch.manual_seed(seed)
    # Codewords 2 and 3 of the first code are one vector, and the third code adds nothing.
    contributions = [torch.randn(6, 4), 0.1 * torch.randn(5, 4), torch.zeros(1, 4)]
    contributions[0][3] = contributions[0][2]
    prior = build_prior(PriorModelConfig(architecture=architecture, grid=size, codebook_sizes=(6, 5, 1))).eval()
    codes = random_codes(prior, 3)
    prior.start_from(contributions)
    with torch.no_grad():
        # The biases of the outputs do not depend on the codewords.
        for output in prior.outputs:  # type: ignore[union-attr]
            output.bias.zero_()  # type: ignore[operator,union-attr]
    twos, threes = (torch.where((codes == 2) | (codes == 3), n, codes)[..., :1] for n in (2, 3))
    others = codes[..., 1:]
    found = [prior.log_prob(torch.cat([first, others], -1)) for first in (twos, threes)]
    torch.testing.assert_close(found[0], found[1])
    assert not torch.allclose(found[0], prior.log_prob(torch.cat([(twos + 1) % 6, others], -1)))


def test_codes_that_contribute_little_change_the_input_less(prior: PixelCNN) -> None:
    """The embeddings of a cell add up to a linear map of its vector."""
    contributions = [torch.randn(n, 3) / 4**k for k, n in enumerate(prior.codebook_sizes)]
    prior.start_from(contributions)
    tables = torch.cat([table.weight for table in prior.embed])  # type: ignore[misc]
    mapped = torch.linalg.lstsq(torch.cat(contributions), tables).solution
    torch.testing.assert_close(torch.cat(contributions) @ mapped, tables, atol=1e-5, rtol=1e-4)
