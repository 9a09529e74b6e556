"""Laws of the masked prior, on grids of all sizes and ranks: exact, walked as computed, and any cells given any."""

from itertools import combinations, pairwise
from math import prod

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from codeword.config import MaskedConfig, PixelCNNConfig, PriorModelConfig
from codeword.errors import UnsupportedError, UsageError
from codeword.priors import Masked, Sampler, Uniform, build_prior, load_prior, make_exact, redraw, walk
from codeword.priors.masked import halton_order, pass_ends

GRID = st.integers(1, 3).flatmap(lambda rank: st.tuples(*[st.integers(1, (12, 5, 3)[rank - 1])] * rank))


def build(
    grid: tuple[int, ...],
    *,
    codebook_sizes: tuple[int, ...] = (5, 3),
    passes: int = 3,
    layers: int = 2,
    served_codes: tuple[int, ...] = (),
) -> Masked:
    torch.manual_seed(0)
    architecture = MaskedConfig(layers=layers, width=8, heads=2, hidden=12, head_width=8, passes=passes)
    prior = build_prior(
        PriorModelConfig(
            architecture=architecture, grid=grid, codebook_sizes=codebook_sizes, classes=2, served_codes=served_codes
        )
    )
    assert isinstance(prior, Masked)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return prior.eval()


def sampler(seed: int = 1) -> Sampler:
    return Sampler(generator=torch.Generator().manual_seed(seed))


@given(trained=GRID, data=st.data(), passes=st.integers(1, 20), label=st.one_of(st.none(), st.integers(0, 1)))
def test_the_walk_of_any_grid_gives_the_parallel_log_probability(
    trained: tuple[int, ...], data: st.DataObject, passes: int, label: int | None
) -> None:
    prior = build(trained, passes=passes)
    grid = data.draw(GRID.filter(lambda grid: len(grid) == len(trained)))
    labels = None if label is None else torch.full((3,), label)
    draw, total = sampler(), torch.zeros(3)

    def choose(logits: Tensor, i: int) -> Tensor:
        nonlocal total
        symbols = draw(logits)
        total = total - F.cross_entropy(logits, symbols, reduction="none")
        return symbols

    codes = walk(prior, 3, choose, label=labels, grid=grid)
    assert codes.shape == (3, *grid, 2)
    torch.testing.assert_close(prior.log_prob(codes, labels), total, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("passes", [1, 2, 3])
@pytest.mark.parametrize("grid", [(3,), (1, 3), (3, 1)])
def test_probabilities_of_all_codes_sum_to_one(grid: tuple[int, ...], passes: int) -> None:
    prior = build(grid, codebook_sizes=(3, 2), passes=passes)
    cells = torch.cartesian_prod(torch.arange(3), torch.arange(2))
    every = torch.cartesian_prod(*[torch.arange(6)] * 3)
    assert prior.log_prob(cells[every].view(-1, *grid, 2)).logsumexp(0).item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("grid", [(7,), (3, 4), (2, 2, 3)])
def test_a_cell_sees_all_cells_of_the_passes_before_and_no_other(grid: tuple[int, ...]) -> None:
    prior = build(grid, layers=1)
    embedded = torch.randn(1, *grid, prior.width, requires_grad=True)
    features = prior._cell_features(embedded, torch.zeros(1, dtype=torch.int64)).flatten(1, -2)
    order, ends = prior.order(grid), [0, *pass_ends(prod(grid), prior.passes)]
    for first, last in pairwise(ends):
        expected = torch.zeros(prod(grid), dtype=torch.bool)
        expected[order[:first]] = True
        for cell in order[first:last]:
            gradient = torch.autograd.grad(features[0, cell].abs().sum(), embedded, retain_graph=True)[0]
            assert torch.equal(gradient.abs().sum(-1).flatten() > 0, expected)


def test_the_training_loss_is_the_mean_over_all_orders(ndim: int) -> None:
    """Over which cells are known, in all ways, against the mean of the random loss."""
    grid = (3,) if ndim == 1 else (1, 3)
    prior = build(grid, codebook_sizes=(4,))
    codes = torch.tensor([2, 0, 3]).view(1, *grid, 1)
    expected = 0.0
    with torch.no_grad():
        for known in range(3):
            ways = list(combinations(range(3), known))
            for way in ways:
                drawn = torch.tensor([cell not in way for cell in range(3)]).view(grid)
                nats = -prior.redrawing(drawn).with_passes(1).cell_log_probs(codes)[0][drawn].mean()
                expected += float(nats) / len(ways) / 3
        many = codes.expand(20_000, *codes.shape[1:])
        found = float(prior(many, generator=torch.Generator().manual_seed(0)))
    assert found == pytest.approx(expected, rel=0.01)


def test_signals_of_different_numbers_of_codes_train_as_each_alone(ndim: int) -> None:
    """The masks of one seed; their loss is a sum over the codes of all signals."""
    prior = build((5,) if ndim == 1 else (2, 3), served_codes=(1,))
    codes, counts = walk(prior, 2, sampler()), torch.tensor([2, 1])

    def loss(codes: Tensor, counts: Tensor) -> Tensor:
        return prior(codes, None, counts, generator=torch.Generator().manual_seed(0)) * counts.sum()

    other = codes.clone()
    other[1, ..., 1] = (other[1, ..., 1] + 1) % 3
    both, ones = torch.full((2,), 2), torch.full((2,), 1)
    assert torch.equal(loss(codes, counts), loss(other, counts)), "a code beyond the number was read"
    assert not torch.equal(loss(codes, both), loss(other, both))
    # Of two like signals with the same mask, one has two codes and one has one.
    like = codes[:1].expand_as(codes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "rand", lambda *shape, generator: torch.arange(float(shape[1])).expand(shape))
        patch.setattr(torch, "randint", lambda high, shape, generator: torch.full(shape, 2))
        torch.testing.assert_close(2 * loss(like, counts), loss(like, both) + loss(like, ones))


@given(cells=st.integers(1, 300), passes=st.integers(1, 40))
def test_each_pass_draws_one_cell_or_more_and_the_last_one_ends(cells: int, passes: int) -> None:
    ends = pass_ends(cells, passes)
    assert len(ends) == min(cells, passes)
    assert ends[-1] == cells
    assert [0, *ends] == sorted({0, *ends})


@given(GRID)
def test_the_order_has_each_cell_once(grid: tuple[int, ...]) -> None:
    assert sorted(halton_order(grid).tolist()) == list(range(prod(grid)))


@pytest.mark.parametrize("grid", [(8, 9), (10, 6), (4, 30)])
def test_the_first_cells_are_far_apart(grid: tuple[int, int]) -> None:
    """Each of the first six is in another sixth of the grid: two by three."""
    first = halton_order(grid)[:6]
    assert len({(int(cell) // grid[1] * 2 // grid[0], int(cell) % grid[1] * 3 // grid[1]) for cell in first}) == 6


@given(grid=GRID, seed=st.integers(0, 99), data=st.data())
def test_cells_are_drawn_anew_given_all_others(grid: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    prior = build(grid)
    codes = walk(prior, 2, sampler(seed))
    drawn = torch.tensor(data.draw(st.lists(st.booleans(), min_size=prod(grid), max_size=prod(grid)))).view(grid)
    again = redraw(prior, codes, drawn, sampler())
    assert torch.equal(again[:, ~drawn], codes[:, ~drawn])
    if drawn.any():
        # Of any cell that is known, another code changes what the first drawn cells may be.
        conditional = prior.redrawing(drawn)
        first = conditional.order(grid)[int((~drawn).sum())]
        for cell in (~drawn).flatten().nonzero().flatten():
            other = codes.clone()
            other.flatten(1, -2)[:, cell, 0] = (other.flatten(1, -2)[:, cell, 0] + 1) % 5
            found = [conditional.cell_log_probs(x).flatten(1)[:, first] for x in (codes, other)]
            assert not torch.equal(*found)


def test_probabilities_of_what_is_drawn_anew_sum_to_one() -> None:
    prior = build((4,), codebook_sizes=(3,)).redrawing(torch.tensor([True, False, True, True]))
    every = torch.cartesian_prod(*[torch.arange(3)] * 3)
    codes = torch.stack([every[:, 0], torch.full((27,), 2), every[:, 1], every[:, 2]], 1)[..., None]
    drawn = prior.cell_log_probs(codes)[:, [0, 2, 3]].sum(1)
    assert drawn.logsumexp(0).item() == pytest.approx(0, abs=1e-5)


def test_redraw_of_a_prior_with_a_grid_of_its_own() -> None:
    config = PriorModelConfig(
        architecture=PixelCNNConfig(layers=1, width=4, head_width=4), grid=(3, 4), codebook_sizes=(5, 3)
    )
    prior = build_prior(config).eval()
    codes = walk(prior, 2, sampler())[:, :2, :3]
    drawn = torch.tensor([[False, True, False], [True, False, True]])
    again = redraw(prior, codes, drawn, sampler(2))
    assert torch.equal(again[:, ~drawn], codes[:, ~drawn])
    assert not torch.equal(again, codes)
    with pytest.raises(UnsupportedError, match="3 x 4"):
        redraw(prior, codes.repeat(1, 2, 1, 1), drawn.repeat(2, 1), sampler())
    with pytest.raises(UsageError, match="booleans of the grid 2 x 3"):
        redraw(prior, codes, drawn.long(), sampler())


def test_more_passes_are_another_prior_with_the_same_weights() -> None:
    prior = build((6,))
    codes = walk(prior, 2, sampler())
    assert not torch.equal(prior.log_prob(codes), prior.with_passes(6).log_prob(codes))
    assert torch.equal(prior.log_prob(codes), prior.with_passes(6).with_passes(3).log_prob(codes))
    with pytest.raises(UsageError, match="1 or more, not 0"):
        prior.with_passes(0)


def test_a_stored_prior_is_the_same_and_has_no_exact_form(tmp_path) -> None:  # type: ignore[no-untyped-def]
    prior = build((3, 4))
    prior.save_pretrained(tmp_path)
    codes = walk(prior, 2, sampler())
    assert torch.equal(load_prior(tmp_path).log_prob(codes), prior.log_prob(codes))
    assert isinstance(make_exact(prior), Uniform)
