"""Laws of the prior of pairs: one distribution in either order, the same walked, and of each medium alone."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from codeword.config import PairPriorConfig, PriorModelConfig, TransformerConfig
from codeword.errors import RecipeError
from codeword.priors import Guided, PairPrior, Sampler, seeded, walk
from codeword.store import read_config

GRIDS = st.sampled_from([(4,), (2, 3), (1,)])


def build(
    first: tuple[int, ...] = (2, 3), second: tuple[int, ...] = (4,), *, sizes: tuple[int, ...] = (3, 4)
) -> PairPrior:
    torch.manual_seed(0)
    architecture = TransformerConfig(layers=2, width=8, heads=2, hidden=12, head_width=32)
    configs = [
        PriorModelConfig(architecture=architecture, grid=grid, codebook_sizes=own, classes=2)
        for grid, own in ((first, sizes[:1]), (second, sizes))
    ]
    prior = PairPrior(PairPriorConfig(first=configs[0], second=configs[1]))
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return prior.eval()


def random_codes(prior: PairPrior, batch: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    first, second = (
        torch.stack([torch.randint(n, (batch, *part.grid), generator=generator) for n in part.codebook_sizes], -1)
        for part in prior.parts
    )
    return first, second


@given(first=GRIDS, second=GRIDS, start=st.integers(0, 1), label=st.one_of(st.none(), st.integers(0, 1)))
def test_the_walk_given_the_other_medium_gives_the_parallel_log_probability(
    first: tuple[int, ...], second: tuple[int, ...], start: int, label: int | None
) -> None:
    prior, total = build(first, second), torch.zeros(3)
    labels = None if label is None else torch.full((3,), label)
    draw = Sampler(generator=torch.Generator().manual_seed(2))

    def choose(logits: Tensor, i: int) -> Tensor:
        nonlocal total
        symbols = draw(logits)
        total = total - F.cross_entropy(logits, symbols, reduction="none")
        return symbols

    with torch.no_grad():
        codes = list(random_codes(prior, 3))
        codes[1 - start] = walk(prior.given(start, codes[start], labels), 3, choose, label=labels)
        found = prior.log_prob((codes[0], codes[1]), labels, start=start)
        torch.testing.assert_close(found.given, total, atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(found.alone, prior.parts[start].log_prob(codes[start], labels))
        loss = prior((codes[0], codes[1]), labels, start)
        symbols = codes[0].numel() + codes[1].numel()
        torch.testing.assert_close(loss, -(found.alone + found.given).sum() / symbols)


def test_the_guess_of_the_class_is_trained_where_no_label_is_given() -> None:
    prior = build()
    codes, classes = random_codes(prior, 2), torch.tensor([1, 0])
    with torch.no_grad():
        for label, trained in ((classes, False), (torch.full((2,), prior.classes), True)):
            added = prior(codes, label, 0, classes) - prior(codes, label, 0)
            assert bool(added > 0) == trained


def test_the_exact_form_is_close_and_gives_the_same_bits_walked_and_alone() -> None:
    prior = build()
    exact, codes = prior.exact(), random_codes(prior, 4)
    for start in range(2):
        other, n = exact.given(start, codes[start]), codes[1 - start].shape[-1]
        with torch.no_grad():
            expected = prior.given(start, codes[start]).log_prob(codes[1 - start])
        torch.testing.assert_close(other.log_prob(codes[1 - start]), expected, rtol=0.03, atol=0.1)
        flat, walked = codes[1 - start].flatten(1), list[Tensor]()
        walk(other, 4, lambda x, i, flat=flat, walked=walked: (walked.append(x.clone()), flat[:, i])[1])  # type: ignore[misc]
        together = [x.flatten(1, -2) for x in other.all_logits(codes[1 - start])]
        alone = exact.given(start, codes[start][1:2]).all_logits(codes[1 - start][1:2])
        assert all(torch.equal(x, together[i % n][:, i // n]) for i, x in enumerate(walked))
        assert all(torch.equal(x.flatten(1, -2), y[1:2]) for x, y in zip(alone, together, strict=True))


@pytest.mark.parametrize("start", [0, 1])
def test_many_pairs_at_a_time_have_the_exact_probabilities_of_each_alone(
    start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    prior = build().exact()
    codes = random_codes(build(), 5)
    together = prior.given(start, codes[start]).log_prob(codes[1 - start])
    # Two signals at a time, of which the last one is alone.
    monkeypatch.setattr("codeword.priors.exact._CELLS", 2 * codes[1 - start][0, ..., 0].numel())
    assert torch.equal(prior.given(start, codes[start]).log_prob(codes[1 - start]), together)


def test_probabilities_of_all_pairs_sum_to_one_in_either_order() -> None:
    prior = build((1,), (1,), sizes=(3,))
    every = torch.tensor(list(product(range(3), repeat=2)))
    codes = (every[:, :1, None], every[:, 1:, None])
    for start in range(2):
        found = prior.log_prob(codes, start=start)
        assert (found.alone + found.given).logsumexp(0).item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("start", [0, 1])
def test_guidance_of_one_draws_given_the_other_medium_and_of_none_without_it(start: int) -> None:
    prior, drawn = build(), list[Tensor]()
    alone, given = prior.parts[1 - start], prior.given(start, random_codes(prior, 8)[start])
    for one in (Guided(given, alone, 1), given, Guided(given, alone, 0), alone, Guided(given, alone, 3)):
        drawn.append(walk(one, 8, Sampler(generator=seeded(0))))
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[2], drawn[3])
    assert len({str(codes.tolist()) for codes in drawn}) == 3


@pytest.mark.parametrize("start", [0, 1])
def test_each_cell_of_the_second_medium_sees_all_codes_of_the_first(start: int) -> None:
    prior = build()
    codes = random_codes(prior, 1)
    inputs: list[Tensor] = []
    hook = (
        prior.parts[start]
        .embed[0]
        .register_forward_hook(lambda *args: inputs.append(args[2].requires_grad_()) or inputs[-1])
    )
    other = prior.given(start, codes[start])
    hook.remove()
    for logits in other.all_logits(codes[1 - start]):
        for cell in logits.flatten(0, -2):
            gradient = torch.autograd.grad(cell.square().sum(), inputs[0], retain_graph=True)[0]
            assert bool((gradient.abs().sum(-1) > 0).all())


def test_the_layers_are_stored_once_and_come_back(tmp_path) -> None:  # type: ignore[no-untyped-def]
    prior = build()
    assert prior.first.layers is prior.second.layers
    assert not any(name.startswith("second.layers") for name in prior.state_dict())
    prior.save_pretrained(tmp_path)
    again = PairPrior.from_pretrained(tmp_path)
    codes = random_codes(prior, 2)
    for start in range(2):
        assert torch.equal(again.log_prob(codes, start=start).given, prior.log_prob(codes, start=start).given)


def test_both_media_have_one_architecture(tmp_path) -> None:  # type: ignore[no-untyped-def]
    build().save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(file.read_text().replace('"hidden": 12', '"hidden": 16', 1))
    with pytest.raises(Exception, match="one architecture") as caught:
        read_config(tmp_path, PairPriorConfig)
    assert not isinstance(caught.value, RecipeError)
