"""Masked transformer: many cells at a time, in any order."""

from copy import copy
from functools import lru_cache
from itertools import pairwise
from math import ceil, cos, log, pi, prod
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from codeword.config import MaskedConfig, PriorModelConfig
from codeword.errors import UsageError
from codeword.priors.attention import AttentionPrior
from codeword.priors.base import Prior
from codeword.priors.state import CellState, MaskedState
from codeword.priors.uniform import Uniform

_BASES = (2, 3, 5)


class Masked(AttentionPrior):
    """A transformer that sees some cells and predicts the others (Chang et al. 2022, MaskGIT).

    The cells are drawn in a number of `passes`, those of a pass independently of each other given all cells of the
    passes before. The first pass draws few cells and the last one many (MaskGIT, sec. 3.3, the cosine schedule). The
    cells of a pass are far apart, because they follow each other in a Halton sequence (Besnier et al. 2025). Unlike
    MaskGIT's, this order does not depend on what was drawn, so that the log-probability is exact: it is that of the
    codes that these passes draw. With more passes it is higher, because fewer cells are taken for independent.

    The training loss is the mean over all orders of one cell at a time (Hoogeboom et al. 2022, eq. 7), so that any
    cells can be drawn given any others.
    """

    causal: ClassVar[bool] = False

    def __init__(self, config: PriorModelConfig) -> None:
        super().__init__(config)
        architecture = config.architecture
        assert isinstance(architecture, MaskedConfig)
        self.passes = architecture.passes
        self.unknown = nn.Parameter(nn.init.normal_(torch.empty(self.width), std=0.1))
        self._drawn: Tensor | None = None

    def with_passes(self, passes: int) -> "Masked":
        """The prior with the same weights that draws all cells in this number of passes. Raises UsageError."""
        if passes < 1:
            raise UsageError(f"passes must be 1 or more, not {passes}.")
        other = copy(self)
        other.passes = passes
        return other

    def redrawing(self, drawn: Tensor) -> "Masked":
        other = copy(self)
        other._drawn = drawn
        return other

    def order(self, grid: tuple[int, ...]) -> Tensor:
        order = halton_order(grid)
        if self._drawn is None:
            return order
        drawn = self._drawn.flatten().cpu()[order]
        return torch.cat([order[~drawn], order[drawn]])

    def exact(self) -> Prior:
        """The uniform prior: this one has no form in integers, so compressed files do without it."""
        return Uniform(self.config)

    def forward(
        self,
        codes: Tensor,
        label: Tensor | None = None,
        counts: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        batch, *grid, _ = codes.shape
        cells = prod(grid)
        # Any cells of each signal are known, from none to all but one.
        known = torch.rand(batch, cells, generator=generator).argsort(1).argsort(1)
        known = (known < torch.randint(cells, (batch, 1), generator=generator)).to(codes.device)
        state = self._state(self._embedded(codes, counts), self._label(label, batch))
        features = self.dropping(generator)._features(state, known).unflatten(1, grid)
        weights = (~known * (cells / (~known).sum(1, keepdim=True))).unflatten(1, grid)
        total = self._total(self._logits_of(features, codes, counts), codes, counts, weights)
        return -total.sum() / (codes.numel() if counts is None else counts.sum() * cells)

    def _cell_features(self, embedded: Tensor, label: Tensor) -> Tensor:
        state = self._state(embedded, label)
        in_order = torch.cat([self._pass(state, first, last) for first, last in pairwise(state.ends)], 1)
        features: Tensor = in_order[:, state.order.argsort()].unflatten(1, embedded.shape[1:-1])
        return features

    def _state(self, embedded: Tensor, label: Tensor, codes: int = 1) -> MaskedState:
        """The state for embeddings (B, *G, W) and labels (B,)."""
        grid = tuple(embedded.shape[1:-1])
        order = self.order(grid).to(embedded.device)
        fixed = 0 if self._drawn is None else int((~self._drawn).sum())
        return MaskedState(
            codes=codes,
            embedded=embedded.flatten(1, -2),
            inputs=self._inputs(label, grid),
            order=order,
            ends=sorted({0, fixed, *(fixed + n for n in pass_ends(len(order) - fixed, self.passes))}),
            windows=list(self._around(grid).windows()),
        )

    def _pass(self, state: MaskedState, first: int, last: int) -> Tensor:
        """The features (B, last - first, F) of the cells from number `first` of the walk on, given all before."""
        known = torch.zeros(len(state.order), dtype=torch.bool, device=state.order.device)
        known[state.order[:first]] = True
        return self._features(state, known, state.order[first:last])

    def _features(self, state: MaskedState, known: Tensor, cells: Tensor | slice = slice(None)) -> Tensor:
        """The features (B, n, F) of `cells`, given those in `known` (..., cells) bool."""
        h = state.inputs + torch.where(known[..., None], state.embedded, self.unknown)
        return self._summary(self._through(h, state.windows)[0][:, cells])

    # The walk ------------------------------------------------------------------------------------

    def start(
        self, batch: int, label: Tensor | None = None, *, codes: int | None = None, grid: tuple[int, ...] | None = None
    ) -> MaskedState:
        embedded = self.unknown.new_zeros(batch, *(grid or self.grid), self.width)
        return self._state(embedded, self._label(label, batch), codes or len(self.codebook_sizes))

    def _walk_cell(self, state: CellState, cell: int) -> Tensor:
        state = cast(MaskedState, state)
        if cell in state.ends:
            state.first = cell
            state.features = self._pass(state, cell, state.ends[state.ends.index(cell) + 1])
        assert state.features is not None
        return state.features[:, cell - state.first]

    def _enter(self, state: CellState, cell: int, embedded: Tensor) -> None:
        state = cast(MaskedState, state)
        state.embedded[:, state.order[cell]] = embedded


def pass_ends(cells: int, passes: int) -> list[int]:
    """The number of cells that are known after each of at most `passes` passes (MaskGIT, sec. 3.3, cosine).

    Each pass draws one cell or more.
    """
    passes = min(passes, cells)
    known = [round(cells * (1 - cos(pi / 2 * n / passes))) for n in range(1, passes + 1)]
    return [max(n, least) for n, least in zip(known, range(1, passes + 1), strict=True)]


@lru_cache(maxsize=64)
def halton_order(grid: tuple[int, ...]) -> Tensor:
    """The numbers (cells,) in raster order of the cells of a grid, as a Halton sequence meets them."""
    # A box of the sequence's own, smaller than a cell in each axis, fits into each cell, and holds one of these points.
    digits = [ceil(log(2 * n, base)) for n, base in zip(grid, _BASES, strict=False)]
    points = np.arange(prod(base**d for base, d in zip(_BASES, digits, strict=False)))
    places = [
        np.minimum(n - 1, (_radical_inverse(points, base) * n).astype(np.int64))
        for n, base in zip(grid, _BASES, strict=False)
    ]
    cells, first_met = np.unique(np.ravel_multi_index(places, grid), return_index=True)
    return torch.from_numpy(cells[first_met.argsort()])


def _radical_inverse(numbers: np.ndarray, base: int) -> np.ndarray:
    """The digits of each number in a base, in reverse order behind the point."""
    inverse, scale = np.zeros(len(numbers)), 1.0
    while numbers.any():
        numbers, digit = np.divmod(numbers, base)
        scale /= base
        inverse += digit * scale
    return inverse
