"""Laws of the transformer prior, on grids of all sizes and ranks: causal, normalised, and the same walked."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from codeword.config import PriorModelConfig, TransformerConfig, validate_json
from codeword.errors import RecipeError
from codeword.nn import attention
from codeword.nn.attention import Neighbourhood, places
from codeword.priors import Prior, Sampler, Transformer, build_prior, load_prior, make_exact, walk

GRIDS = st.integers(1, 3).flatmap(
    lambda rank: st.tuples(*[st.tuples(*[st.integers(1, (12, 5, 3)[rank - 1])] * rank)] * 2)
)


def build(grid: tuple[int, ...], *, codebook_sizes: tuple[int, ...] = (5, 3), layers: int = 2) -> Transformer:
    torch.manual_seed(0)
    architecture = TransformerConfig(layers=layers, width=8, heads=2, hidden=12, head_width=8)
    prior = build_prior(
        PriorModelConfig(architecture=architecture, grid=grid, codebook_sizes=codebook_sizes, classes=2)
    )
    assert isinstance(prior, Transformer)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return prior.eval()


def walked(prior: Prior, grid: tuple[int, ...], label: Tensor | None) -> tuple[Tensor, Tensor]:
    """Codes of three signals, and their log-probabilities (3,) in the walk."""
    draw, total = Sampler(generator=torch.Generator().manual_seed(1)), torch.zeros(3)

    def choose(logits: Tensor, i: int) -> Tensor:
        nonlocal total
        symbols = draw(logits)
        total = total - F.cross_entropy(logits, symbols, reduction="none")
        return symbols

    return walk(prior, 3, choose, label=label, grid=grid), total


@pytest.mark.parametrize("exact", [False, True])
@given(grids=GRIDS, label=st.one_of(st.none(), st.integers(0, 1)), queries=st.sampled_from([1, 7, 512]))
def test_the_walk_of_any_grid_gives_the_parallel_log_probability(
    exact: bool, grids: tuple[tuple[int, ...], tuple[int, ...]], label: int | None, queries: int
) -> None:
    trained, grid = grids
    prior: Prior = make_exact(build(trained)) if exact else build(trained)
    labels = None if label is None else torch.full((3,), label)
    codes, total = walked(prior, grid, labels)
    assert codes.shape == (3, *grid, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "QUERIES", queries)
        torch.testing.assert_close(prior.log_prob(codes, labels), total, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(("trained", "grid"), [((6,), (6,)), ((4,), (11,)), ((3, 4), (3, 4)), ((2, 2, 3), (2, 2, 3))])
def test_no_cell_sees_itself_or_a_later_one_and_each_sees_all_before(
    trained: tuple[int, ...], grid: tuple[int, ...]
) -> None:
    """Causality, and no blind spot on the grid of training, by gradient."""
    prior = build(trained, layers=1)
    embedded = torch.randn(1, *grid, prior.width, requires_grad=True)
    features = prior._cell_features(embedded, torch.zeros(1, dtype=torch.int64)).flatten(1, -2)
    for cell in range(features.shape[1]):
        gradient = torch.autograd.grad(features[0, cell].abs().sum(), embedded, retain_graph=True)[0]
        seen = gradient.abs().sum(-1).flatten() > 0
        # The input of a cell is the code before it, so that one layer sees as many before it as it attends to.
        expected = torch.zeros_like(seen)
        expected[max(0, cell - trained[0]) if len(grid) == 1 else 0 : cell] = True
        assert torch.equal(seen, expected)


def test_probabilities_of_all_codes_sum_to_one_on_any_grid() -> None:
    for trained, grid in product(((2,), (4,)), ((3,), (1,))):
        prior = build(trained, codebook_sizes=(3, 2))
        cells = torch.cartesian_prod(torch.arange(3), torch.arange(2))
        every = torch.cartesian_prod(*[torch.arange(6)] * grid[0]).view(-1, grid[0])
        assert prior.log_prob(cells[every]).logsumexp(0).item() == pytest.approx(0, abs=1e-4)


@given(cells=st.integers(1, 40), trained=st.integers(1, 12))
def test_places_are_counted_from_the_nearer_end(cells: int, trained: int) -> None:
    found = places(cells, trained).tolist()
    assert found == sorted(found)
    assert found[-1] == trained - 1 or cells < trained
    if cells >= trained:
        half = trained // 2
        assert found[:half] == list(range(half))
        assert found[cells - (trained - half) :] == list(range(half, trained))


@given(grids=GRIDS)
def test_offsets_depend_on_the_distance_alone_and_differ_between_distances(
    grids: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    trained, grid = grids
    around = Neighbourhood(grid, trained)
    window = around.window(0, torch.Size(grid).numel())
    cells = torch.cartesian_prod(*map(torch.arange, grid)).view(-1, len(grid))
    numbers: dict[tuple[int, ...], int] = {}
    for query, key in (~window.hidden).nonzero().tolist():
        distance = tuple((cells[query] - cells[key]).tolist())
        assert key <= query
        assert query - key <= around.span
        assert all(abs(d) < n for d, n in zip(distance, trained, strict=True))
        assert numbers.setdefault(distance, int(window.offsets[query, key])) == int(window.offsets[query, key])
    assert len(set(numbers.values())) == len(numbers)
    assert max(numbers.values()) < around.count


def test_the_state_of_a_long_walk_does_not_grow() -> None:
    prior = build((4,))
    state = prior.start(1, codes=2, grid=(200,))
    assert state.keys.shape[3] <= 2 * 4
    assert state.entered.maxlen == 1


def test_a_label_changes_the_probabilities_and_the_null_class_is_the_default() -> None:
    prior = build((3, 4))
    codes, _ = walked(prior, (3, 4), None)
    assert torch.equal(prior.log_prob(codes), prior.log_prob(codes, torch.full((3,), prior.classes)))
    assert not torch.equal(prior.log_prob(codes), prior.log_prob(codes, torch.zeros(3, dtype=torch.int64)))


def test_a_stored_prior_is_the_same(tmp_path) -> None:  # type: ignore[no-untyped-def]
    prior = build((3, 4))
    prior.save_pretrained(tmp_path)
    codes, _ = walked(prior, (3, 4), None)
    assert torch.equal(load_prior(tmp_path).log_prob(codes), prior.log_prob(codes))


def test_the_heads_must_share_the_width() -> None:
    with pytest.raises(RecipeError, match="multiple of heads, 3, not 8"):
        validate_json(
            PriorModelConfig,
            b'{"architecture": {"kind": "transformer", "width": 8, "heads": 3}, "grid": [4], "codebook_sizes": [3]}',
            place="here",
        )
