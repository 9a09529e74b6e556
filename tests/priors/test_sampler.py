"""The draws of symbols: the generators of seeds of any size."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codeword.priors import PixelCNN, Sampler, guided, seeded, walk


def drawn(generator: torch.Generator) -> list[float]:
    return torch.rand(4, generator=generator).tolist()


@given(st.integers(0, (1 << 32) - 1))
def test_a_small_seed_is_that_of_pytorch(seed: int) -> None:
    assert drawn(seeded(seed)) == drawn(torch.Generator().manual_seed(seed))


def test_seeds_of_any_size_and_sign_give_draws_of_their_own() -> None:
    seeds = [0, 1, -1, -2, (1 << 32) - 1, 1 << 32, 1 << 63, 1 << 64, -(1 << 64), 10**30, 10**5000]
    assert drawn(seeded(10**30)) == drawn(seeded(10**30))
    assert len({tuple(drawn(seeded(seed))) for seed in seeds}) == len(seeds)


@pytest.mark.parametrize(("weight", "own"), [(1.0, 1), (0.0, None)])
def test_guidance_of_one_is_the_class_and_of_none_is_without_it(
    prior: PixelCNN, weight: float, own: int | None
) -> None:
    labels = torch.tensor([1, 1, prior.classes, prior.classes])
    codes = walk(prior, 4, guided(Sampler(generator=seeded(0)), weight), label=labels)
    assert torch.equal(codes[:2], codes[2:])
    alone = walk(prior, 2, Sampler(generator=seeded(0)), label=None if own is None else torch.full((2,), own))
    assert torch.equal(codes[:2], alone)


@given(st.floats(1.1, 5), st.integers(0, 100))
def test_more_guidance_makes_what_the_class_favours_likelier(weight: float, seed: int) -> None:
    labelled, free = torch.randn(2, 1, 6, generator=seeded(seed))
    seen: list[torch.Tensor] = []

    def draw(logits: torch.Tensor, i: int) -> torch.Tensor:
        seen.append(logits)
        return logits.argmax(-1)

    guided(draw, weight)(torch.cat([labelled, free]), 0)
    assert torch.equal((seen[0] - labelled) > 0, (labelled - free) > 0)
