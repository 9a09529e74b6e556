"""Classifier-free guidance: two priors of the same codes, walked together."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from codeword.priors.base import Prior, Walked


class _States(NamedTuple):
    conditioned: Any
    free: Any


class Guided:
    """Logits of `free`, moved by `weight` times the difference to those of `conditioned`, for `walk`.

    The weight 1 walks p(codes | condition), 0 walks p(codes), and more exaggerates the condition (Ho and Salimans
    2022). The condition is the label, which `free` is not given, or what the prior `conditioned` is given itself, such
    as the codes of another medium.

    Example:
        >>> import torch
        >>> from codeword.config import PixelCNNConfig, PriorModelConfig
        >>> from codeword.priors import Guided, Sampler, build_prior, walk
        >>> tiny = PixelCNNConfig(layers=1, width=4, head_width=4)
        >>> prior = build_prior(PriorModelConfig(architecture=tiny, grid=(3, 3), codebook_sizes=(8,), classes=2))
        >>> walk(Guided(prior, prior, 2.0), 2, Sampler(), label=torch.tensor([0, 1])).shape
        torch.Size([2, 3, 3, 1])
    """

    def __init__(self, conditioned: Prior, free: Prior, weight: float) -> None:
        self.conditioned, self.free, self.weight = conditioned, free, weight
        self.grid, self.any_grid, self.classes = free.grid, free.any_grid, free.classes
        self.served_codes = free.served_codes

    def order(self, grid: tuple[int, ...]) -> Tensor:
        """The numbers (cells,) of the cells in the order of the walk, as `Prior.order`."""
        return self.free.order(grid)

    def start(
        self, batch: int, label: Tensor | None = None, *, codes: int | None = None, grid: tuple[int, ...] | None = None
    ) -> _States:
        """The states of both priors, as `Prior.start`."""
        return _States(
            self.conditioned.start(batch, label, codes=codes, grid=grid), self.free.start(batch, codes=codes, grid=grid)
        )

    def logits(self, state: _States, i: int) -> Tensor:
        """Logits (B, n) of symbol i."""
        free = self.free.logits(state.free, i)
        # Exactly those of one prior at the weights 0 and 1.
        return torch.lerp(free, self.conditioned.logits(state.conditioned, i), self.weight)

    def push(self, state: _States, i: int, symbols: Tensor) -> None:
        """Append symbol i: symbols (B,) int64."""
        self.conditioned.push(state.conditioned, i, symbols)
        self.free.push(state.free, i, symbols)


def guided(conditioned: Prior, free: Prior, weight: float) -> Walked:
    """`Guided`, or the prior `conditioned` itself at the weight 1, which takes half the time."""
    return conditioned if weight == 1 else Guided(conditioned, free, weight)
