"""Random changes of signals."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from codeword.data.augment import shift


def moved(ndim: int, most: int, seed: int) -> tuple[Tensor, Tensor]:
    """Signals whose values are their places, and the same moved."""
    x = torch.arange(8**ndim).view(1, 1, *[8] * ndim).repeat(3, 2, *[1] * ndim)
    return x, shift(x, most, generator=torch.Generator().manual_seed(seed))


@given(ndim=st.sampled_from([1, 2]), most=st.integers(0, 3), seed=st.integers(0, 1000))
def test_each_signal_moves_as_a_whole_and_stays_the_same_away_from_its_borders(ndim: int, most: int, seed: int) -> None:
    x, found = moved(ndim, most, seed)
    assert found.shape == x.shape
    inside = [slice(None), slice(None), *[slice(most, 8 - most)] * ndim]
    difference = (found - x)[tuple(inside)].flatten(1)
    # One offset for each signal, in all of its channels and places.
    assert torch.equal(difference, difference[:, :1].expand_as(difference))
    offsets = {sum(step * 8**axis for axis, step in enumerate(steps)) for steps in _steps(ndim, most)}
    assert set(difference.flatten().tolist()) <= offsets


def test_signals_are_moved_and_mirrored_at_their_borders() -> None:
    found = {tuple(moved(1, 2, seed)[1][n, 0, :3].tolist()) for seed in range(20) for n in range(3)}
    assert found == {(2, 1, 0), (1, 0, 1), (0, 1, 2), (1, 2, 3), (2, 3, 4)}


def _steps(ndim: int, most: int) -> list[tuple[int, ...]]:
    return [tuple(row) for row in torch.cartesian_prod(*[torch.arange(-most, most + 1)] * ndim).view(-1, ndim).tolist()]
