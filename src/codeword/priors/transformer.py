"""Transformer over the cells of a grid, with an exact parallel log-probability and a cached walk."""

from copy import copy
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.nn.attention import Memory, attend, biases, normalise
from codeword.nn.causal import shift
from codeword.priors.attention import AttentionPrior
from codeword.priors.base import Prior
from codeword.priors.exact_transformer import ExactTransformer
from codeword.priors.state import AttentionState, CellState


class Remembered(NamedTuple):
    """Log-probabilities (B,) of codes, their memory, and the normalised stream (B, W) at its end."""

    log_prob: Tensor
    memory: Memory
    end: Tensor


class Transformer(AttentionPrior):
    """Causal attention in raster order (Vaswani et al. 2017), on grids of any size.

    The input of a cell is the embedding of the cell before it, linear maps of those one step before it along each
    other axis, and embeddings of the label and of its place.
    """

    _given: Memory | None = None
    _guess: Tensor | None = None

    def given(self, memory: Memory, guess: Tensor | None = None) -> "Transformer":
        """The prior of codes after another sequence, with the same weights: p(codes | that sequence).

        `guess` (B, classes) are the probabilities of the classes by that sequence, which stand for a label that is not
        given.
        """
        conditioned = copy(self)
        conditioned._given, conditioned._guess = memory, guess
        return conditioned

    def remember(self, codes: Tensor, label: Tensor | None, end: Tensor) -> Remembered:
        """Codes (B, *G, n) for another prior with the same layers, and their log-probabilities.

        The memory has one more cell, with the last code and `end` (W,) as input. The arguments are not checked.
        """
        numbers = self._label(label, len(codes))
        embedded = self._embedded(codes)
        grid = tuple(embedded.shape[1:-1])
        around, h = self._around(grid), self._stream(embedded, numbers)
        last = embedded.flatten(1, -2)[:, -1:] + self.label_embedding(numbers)[:, None] + end
        h, memory = self._through(torch.cat([h, last], 1), [*around.windows(), around.end()], self._given)
        log_prob = self._total(self._logits_of(self._summary(h[:, :-1]).unflatten(1, grid), codes), codes)
        return Remembered(log_prob, memory, normalise(h[:, -1]))

    def _cell_features(self, embedded: Tensor, label: Tensor) -> Tensor:
        grid = tuple(embedded.shape[1:-1])
        h, _ = self._through(self._stream(embedded, label), list(self._around(grid).windows()), self._given)
        features: Tensor = self._summary(h).unflatten(1, grid)
        return features

    def _stream(self, embedded: Tensor, label: Tensor) -> Tensor:
        """Embeddings (B, *G, W) and labels (B,) to the input of each cell (B, cells, W)."""
        h = self._inputs(label, tuple(embedded.shape[1:-1]))
        h = h + F.pad(embedded.flatten(1, -2), (0, 0, 1, 0))[:, :-1]
        for axis, linear in enumerate(self.before):
            h = h + linear(shift(embedded.movedim(-1, 1), axis).movedim(1, -1)).flatten(1, -2)
        return h

    def _embedded_label(self, label: Tensor) -> Tensor:
        embedded = super()._embedded_label(label)
        if self._guess is None:
            return embedded
        guessed = self._guess @ self.label_embedding.weight[: self.classes]
        return torch.where((label == self.classes)[:, None], guessed, embedded)

    def exact(self) -> Prior:
        return ExactTransformer(self)

    # The walk ------------------------------------------------------------------------------------

    def start(
        self, batch: int, label: Tensor | None = None, *, codes: int | None = None, grid: tuple[int, ...] | None = None
    ) -> AttentionState:
        around, layers = self._around(grid or self.grid), self._layers()
        inputs = self._inputs(self._label(label, batch), around.grid)
        return AttentionState.new(
            around, inputs, codes=codes or len(self.codebook_sizes), layers=len(layers), heads=layers[0].heads
        )

    def _walk_cell(self, state: CellState, cell: int) -> Tensor:
        state = cast(AttentionState, state)
        h = state.input(cell)
        for before, linear in zip(state.before(cell), self.before, strict=False):
            if before is not None:
                h = h + linear(before)
        h, layers = h[:, None], self._layers()
        bias = biases(self.offset_bias, state.window(cell))
        for n, layer in enumerate(layers):
            query, key, value, hidden = layer.project(h)
            given = None if self._given is None else self._given.of_layer(n)
            h = h + layer.update(attend(query, Memory(*state.append(n, cell, key, value)), bias[n], given), hidden)
        return self._summary(h)[:, 0]

    def _enter(self, state: CellState, cell: int, embedded: Tensor) -> None:
        cast(AttentionState, state).entered.append(embedded)
