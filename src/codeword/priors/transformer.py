"""Transformer over the cells of a grid, with an exact parallel log-probability and a cached walk."""

from copy import copy
from typing import ClassVar, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.config import PriorModelConfig, TransformerConfig
from codeword.nn.attention import AttentionLayer, Memory, Neighbourhood, Window, attend, biases, normalise, places
from codeword.nn.causal import shift
from codeword.priors.base import Prior
from codeword.priors.cell import CellPrior
from codeword.priors.exact_transformer import ExactTransformer
from codeword.priors.state import AttentionState, CellState


class Remembered(NamedTuple):
    """Log-probabilities (B,) of codes, their memory, and the normalised stream (B, W) at its end."""

    log_prob: Tensor
    memory: Memory
    end: Tensor


class Transformer(CellPrior):
    """Causal attention in raster order (Vaswani et al. 2017), on grids of any size.

    The input of a cell is the embedding of the cell before it, linear maps of those one step before it along each
    other axis, and embeddings of the label and of its place. A cell attends to itself and to all cells before it at the
    offsets that the grid of training has, with a bias for each offset; of a grid as large as that, it sees all of them.
    """

    any_grid: ClassVar[bool] = True

    def __init__(self, config: PriorModelConfig, *, layers: nn.ModuleList | None = None) -> None:
        """`layers` are those of another prior of the same architecture, which it shares."""
        architecture = config.architecture
        assert isinstance(architecture, TransformerConfig)
        width, heads = architecture.width, architecture.heads
        super().__init__(config, width=width, features=architecture.head_width, head_width=architecture.head_width)
        self.width = width
        self.before = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in self.grid[:-1])
        self.place = nn.ParameterList(nn.init.normal_(torch.empty(n, width), std=0.1) for n in self.grid)
        self.label_embedding = nn.Embedding(self.classes + 1, width)
        nn.init.zeros_(self.label_embedding.weight)
        if layers is None:
            self.layers = nn.ModuleList(
                AttentionLayer(width, heads, architecture.hidden) for _ in range(architecture.layers)
            )
        else:
            # Not as a part of this module, so that they are stored once.
            object.__setattr__(self, "layers", layers)
        offsets = Neighbourhood(self.grid, self.grid).count
        self.offset_bias = nn.Parameter(torch.zeros(architecture.layers, heads, offsets))
        self.summary = nn.Linear(width, architecture.head_width)
        self._given: Memory | None = None
        self._guess: Tensor | None = None

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
        around, h = Neighbourhood(grid, self.grid), self._stream(embedded, numbers)
        last = embedded.flatten(1, -2)[:, -1:] + self.label_embedding(numbers)[:, None] + end
        h, memory = self._through(torch.cat([h, last], 1), [*around.windows(), around.end()])
        log_prob = self._total(self._logits_of(self._summary(h[:, :-1], grid), codes), codes)
        return Remembered(log_prob, memory, normalise(h[:, -1]))

    def _cell_features(self, embedded: Tensor, label: Tensor) -> Tensor:
        grid = tuple(embedded.shape[1:-1])
        h, _ = self._through(self._stream(embedded, label), list(Neighbourhood(grid, self.grid).windows()))
        return self._summary(h, grid)

    def _stream(self, embedded: Tensor, label: Tensor) -> Tensor:
        """Embeddings (B, *G, W) and labels (B,) to the input of each cell (B, cells, W)."""
        h = self._inputs(label, tuple(embedded.shape[1:-1]))
        h = h + F.pad(embedded.flatten(1, -2), (0, 0, 1, 0))[:, :-1]
        for axis, linear in enumerate(self.before):
            h = h + linear(shift(embedded.movedim(-1, 1), axis).movedim(1, -1)).flatten(1, -2)
        return h

    def _through(self, h: Tensor, windows: list[Window]) -> tuple[Tensor, Memory]:
        """The stream (B, cells, W) through all layers, and the memory of it."""
        # The last offset is that of the cell after the end, which has no bias.
        kept, tables = [], F.pad(self.offset_bias, (0, 1))
        for n, layer in enumerate(self._layers()):
            given = None if self._given is None else self._given.of_layer(n)
            h, own = layer(h, windows, tables[n], given)
            kept.append(own)
        return h, Memory(*(torch.stack(parts) for parts in zip(*kept, strict=True)))

    def _summary(self, h: Tensor, grid: tuple[int, ...]) -> Tensor:
        features: Tensor = self.summary(normalise(h)).unflatten(1, grid)
        return features

    def _inputs(self, label: Tensor, grid: tuple[int, ...]) -> Tensor:
        """The sum of the embeddings of labels (B,) and of the places of a grid (B, cells, W)."""
        embedded = self.label_embedding(label)
        if self._guess is not None:
            guessed = self._guess @ self.label_embedding.weight[: self.classes]
            embedded = torch.where((label == self.classes)[:, None], guessed, embedded)
        total = embedded.view(len(label), *[1] * len(grid), -1)
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
        bias = biases(self.offset_bias, state.window(cell))
        for n, layer in enumerate(layers):
            query, key, value, hidden = layer.project(h)
            given = None if self._given is None else self._given.of_layer(n)
            h = layer.update(h, attend(query, Memory(*state.append(n, cell, key, value)), bias[n], given), hidden)
        return cast(Tensor, self.summary(normalise(h[:, 0])))

    def _enter(self, state: CellState, cell: int, embedded: Tensor) -> None:
        cast(AttentionState, state).entered.append(embedded)

    def _layers(self) -> list[AttentionLayer]:
        return list(cast(list[AttentionLayer], self.layers))
