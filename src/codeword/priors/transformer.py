"""Transformer over the cells of a grid, with an exact parallel log-probability and a cached walk."""

from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.config import PriorModelConfig, TransformerConfig
from codeword.nn.attention import AttentionLayer, Neighbourhood, attend, biases, normalise, places
from codeword.nn.causal import shift
from codeword.priors.base import Prior
from codeword.priors.cell import CellPrior
from codeword.priors.exact_transformer import ExactTransformer
from codeword.priors.state import AttentionState, CellState


class Transformer(CellPrior):
    """Causal attention in raster order (Vaswani et al. 2017), on grids of any size.

    The input of a cell is the embedding of the cell before it, linear maps of those one step before it along each
    other axis, and embeddings of the label and of its place. A cell attends to itself and to all cells before it at the
    offsets that the grid of training has, with a bias for each offset; of a grid as large as that, it sees all of them.
    """

    any_grid: ClassVar[bool] = True

    def __init__(self, config: PriorModelConfig) -> None:
        architecture = config.architecture
        assert isinstance(architecture, TransformerConfig)
        width = architecture.width
        super().__init__(config, width=width, features=architecture.head_width, head_width=architecture.head_width)
        self.width = width
        self.before = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in self.grid[:-1])
        self.place = nn.ParameterList(nn.init.normal_(torch.empty(n, width), std=0.1) for n in self.grid)
        self.label_embedding = nn.Embedding(self.classes + 1, width)
        nn.init.zeros_(self.label_embedding.weight)
        offsets = Neighbourhood(self.grid, self.grid).count
        self.layers = nn.ModuleList(
            AttentionLayer(width, architecture.heads, architecture.hidden, offsets) for _ in range(architecture.layers)
        )
        self.summary = nn.Linear(width, architecture.head_width)

    def _cell_features(self, embedded: Tensor, label: Tensor) -> Tensor:
        grid = tuple(embedded.shape[1:-1])
        h = self._inputs(label, grid) + F.pad(embedded.flatten(1, -2), (0, 0, 1, 0))[:, :-1]
        for axis, linear in enumerate(self.before):
            h = h + linear(shift(embedded.movedim(-1, 1), axis).movedim(1, -1)).flatten(1, -2)
        windows = list(Neighbourhood(grid, self.grid).windows())
        for layer in self.layers:
            h = layer(h, windows)
        features: Tensor = self.summary(normalise(h)).unflatten(1, grid)
        return features

    def _inputs(self, label: Tensor, grid: tuple[int, ...]) -> Tensor:
        """The sum of the embeddings of labels (B,) and of the places of a grid (B, cells, W)."""
        total = self.label_embedding(label).view(len(label), *[1] * len(grid), -1)
        for axis, (table, cells) in enumerate(zip(self.place, grid, strict=True)):
            later = [1] * (len(grid) - axis - 1)
            total = total + table[places(cells, len(table)).to(table.device)].view(cells, *later, -1)
        return cast(Tensor, total.flatten(1, -2))

    def exact(self) -> Prior:
        return ExactTransformer(self)

    # The walk ------------------------------------------------------------------------------------

    def start(
        self, batch: int, label: Tensor | None = None, *, codes: int | None = None, grid: tuple[int, ...] | None = None
    ) -> AttentionState:
        around, layers = Neighbourhood(grid or self.grid, self.grid), self._layers()
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
        bias = biases(torch.stack([layer.offset_bias for layer in layers]), state.window(cell))
        for n, layer in enumerate(layers):
            query, key, value, hidden = layer.project(h)
            h = layer.update(h, attend(query, *state.append(n, cell, key, value), bias[n]), hidden)
        return cast(Tensor, self.summary(normalise(h[:, 0])))

    def _enter(self, state: CellState, cell: int, embedded: Tensor) -> None:
        cast(AttentionState, state).entered.append(embedded)

    def _layers(self) -> list[AttentionLayer]:
        return list(cast(list[AttentionLayer], self.layers))
