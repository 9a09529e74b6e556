"""The draws of symbols: the generators of seeds of any size."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from codeword.priors import seeded


def drawn(generator: torch.Generator) -> list[float]:
    return torch.rand(4, generator=generator).tolist()


@given(st.integers(0, (1 << 32) - 1))
def test_a_small_seed_is_that_of_pytorch(seed: int) -> None:
    assert drawn(seeded(seed)) == drawn(torch.Generator().manual_seed(seed))


def test_seeds_of_any_size_and_sign_give_draws_of_their_own() -> None:
    seeds = [0, 1, -1, -2, (1 << 32) - 1, 1 << 32, 1 << 63, 1 << 64, -(1 << 64), 10**30, 10**5000]
    assert drawn(seeded(10**30)) == drawn(seeded(10**30))
    assert len({tuple(drawn(seeded(seed))) for seed in seeds}) == len(seeds)
