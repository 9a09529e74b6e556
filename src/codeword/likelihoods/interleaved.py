"""Interleaved grids of values, each in parallel given those before (Reed et al. 2017, "Parallel Multiscale
Autoregressive Density Estimation", sec. 3).

The even and odd places along each axis make 2^ndim grids of a signal. That of the places even along all axes is split
again, `levels` times. The coarsest grid is coded first, given the features alone, and then, level by level, the others.
"""

from collections.abc import Callable, Sequence
from itertools import product
from math import prod
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.config import InterleavedConfig
from codeword.likelihoods.base import Likelihood
from codeword.nn.conv import CONV, TRANSPOSED, channels_last, reach, same
from codeword.nn.trunk import ResidualBlock
from codeword.nn.walk import Choose


class Grid(NamedTuple):
    """Every `step`-th place along each axis, from `start` on; `number` is its place in the order of coding."""

    number: int
    start: tuple[int, ...]
    step: int

    @property
    def places(self) -> tuple[slice, ...]:
        """Slices of the axes *S of a signal."""
        return tuple(slice(start, None, self.step) for start in self.start)


class Interleaved(Likelihood):
    """p(x | features) = product over grids of p(grid | grids before, features), each value by the likelihood `output`.

    One stream of hidden channels passes all grids: the parameters of a grid's distribution are computed from it, and
    then the values of the grid are added to it. So a walk costs no more than `log_prob`.
    """

    one_pass = False

    def __init__(self, config: InterleavedConfig, output: Likelihood, *, ndim: int) -> None:
        super().__init__(output.channels, output.values)
        self.output, self.features, self.period = output, config.features, 1 << config.levels
        self.grids = _grids(ndim, config.levels)
        self.levels = nn.ModuleList(
            _Level(config, output, ndim, [grid for grid in self.grids if grid.step == 1 << level])
            for level in range(config.levels, 0, -1)
        )
        self.reach = sum(level.reach for level in cast(list[_Level], self.levels))

    def log_prob(self, features: Tensor, x: Tensor) -> Tensor:
        log_probs: list[Tensor] = []

        def take(parameters: Tensor, grid: Grid) -> Tensor:
            values = x[:, :, *grid.places]
            log_probs.append(self.output.log_prob(parameters, values))
            return values

        self._visit(features, take)
        return torch.stack(log_probs).sum(0)

    @torch.no_grad()
    def mean(self, features: Tensor) -> Tensor:
        """The expected values of each grid given the rounded expected values of those before.

        The expected signal has no closed form.
        """
        return self._visit(features, lambda parameters, _: self.output.mean(parameters))

    @torch.no_grad()
    def sample(self, features: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        return self._visit(features, lambda parameters, _: self.output.sample(parameters, generator=generator)).long()

    @torch.no_grad()
    def walk(self, features: Tensor, choose: Choose) -> Tensor:
        def take(parameters: Tensor, grid: Grid) -> Tensor:
            first = grid.number * self.channels
            return self.output.walk(parameters, lambda weights, channel: choose(weights, first + channel))

        return self._visit(features, take).long()

    def step(self, i: int, size: tuple[int, ...]) -> tuple[int, Tensor]:
        number, channel = divmod(i, self.channels)
        places = torch.arange(prod(size)).view(size)
        return channel, places[self.grids[number].places].flatten()

    def _visit(self, features: Tensor, take: Callable[[Tensor, Grid], Tensor]) -> Tensor:
        """Let `take` turn the parameters (B, P, *R) of each grid into its values (B, C, *R); returns all, (B, C, *S).

        The next grids are given the rounded values.
        """
        x = torch.zeros(len(features), self.channels, *features.shape[2:], device=features.device)
        hidden: Tensor | None = None
        for level in cast(list[_Level], self.levels):
            hidden = level.enter(features, hidden)
            known = x[:, :, *[slice(None, None, level.step)] * (x.ndim - 2)]
            for network, grid in zip(cast(list[_Network], level.networks), level.grids, strict=True):
                hidden = network(hidden, _resized(2 * self.centred(known.round()), hidden.shape[2:]))
                region = x[:, :, *grid.places]
                known = take(_resized(network.head(hidden), region.shape[2:]), grid)
                region.copy_(known)
        return x


class _Level(nn.Module):
    """The networks of the grids with the same step, at the resolution of these grids.

    Its stream begins with that of the coarser level, and the features.
    """

    def __init__(self, config: InterleavedConfig, output: Likelihood, ndim: int, grids: list[Grid]) -> None:
        super().__init__()
        self.grids, self.step = grids, grids[0].step
        self.finer = None if grids[0].number == 0 else TRANSPOSED[ndim](config.width, config.width, 2, 2)
        self.condition = CONV[ndim](config.features, config.width, self.step, self.step)
        self.networks = nn.ModuleList(_Network(config, output, ndim) for _ in grids)
        # The convolutions of the networks are centred.
        self.reach = self.step * (1 + reach(self.networks) / 2)

    def enter(self, features: Tensor, coarser: Tensor | None) -> Tensor:
        """The stream (B, W, *S / step) from features (B, F, *S) and the coarser level's stream, of half this size."""
        size = [-(-n // self.step) for n in features.shape[2:]]
        features = _resized(features, [n * self.step for n in size])
        hidden: Tensor = self.condition(channels_last(features))
        if self.finer is not None:
            hidden = hidden + _resized(self.finer(coarser), size)
        return hidden


class _Network(nn.Module):
    """Adds the values known last to the stream (B, W, *R); `head` gives a distribution's parameters (B, P, *R)."""

    def __init__(self, config: InterleavedConfig, output: Likelihood, ndim: int) -> None:
        super().__init__()
        self.known = same(ndim, output.channels, config.width, 3)
        self.blocks = nn.Sequential(*(ResidualBlock(ndim, config.width, config.hidden) for _ in range(config.blocks)))
        self.head = same(ndim, config.width, output.features, 1)

    def forward(self, hidden: Tensor, known: Tensor) -> Tensor:
        """The stream (B, W, *R) and values (B, C, *R) on [-1, 1] to the stream."""
        out: Tensor = self.blocks(hidden + self.known(channels_last(known)))
        return out


def _grids(ndim: int, levels: int) -> list[Grid]:
    """The grids in the order of coding: within a level, places that are odd along more axes come first."""
    odd = sorted(product((0, 1), repeat=ndim), key=sum, reverse=True)[:-1]
    grids = [Grid(0, (0,) * ndim, 1 << levels)]
    for level, ones in product(range(levels, 0, -1), odd):
        grids.append(Grid(len(grids), tuple(one << level - 1 for one in ones), 1 << level))
    return grids


def _resized(x: Tensor, size: Sequence[int]) -> Tensor:
    """(B, C, *R) cut to `size`, or filled up with zeros."""
    # F.pad names the axes from the last to the first, and cuts where the padding is negative.
    padding = [n for before, after in zip(x.shape[:1:-1], reversed(size), strict=True) for n in (0, after - before)]
    return F.pad(x, padding) if any(padding) else x
