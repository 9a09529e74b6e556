"""Base of the priors with attention: embeddings of labels and places, and the layers."""

from copy import copy
from typing import ClassVar, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.config import MaskedConfig, PriorModelConfig, TransformerConfig
from codeword.linear import Linear
from codeword.nn.attention import AttentionLayer, Memory, Neighbourhood, Window, normalise, places
from codeword.priors.cell import CellPrior


class AttentionPrior(CellPrior):
    """Residual layers of attention over the cells of a grid of any size (Vaswani et al. 2017).

    A cell attends to itself and to others at the offsets that the grid of training has, with a bias for each offset. In
    a grid no larger than that of training these are all cells, or with `causal` all cells before it.
    """

    any_grid: ClassVar[bool] = True
    causal: ClassVar[bool] = True
    _generator: torch.Generator | None = None

    def __init__(self, config: PriorModelConfig, *, layers: nn.ModuleList | None = None) -> None:
        """`layers` are those of another prior of the same architecture, which it shares."""
        architecture = config.architecture
        assert isinstance(architecture, TransformerConfig | MaskedConfig)
        width, heads = architecture.width, architecture.heads
        super().__init__(config, width=width, features=architecture.head_width, head_width=architecture.head_width)
        self.width, self.dropout = width, architecture.dropout
        # Maps of the cells one step before along each axis but the last, of priors that know these cells.
        self.before = nn.ModuleList(Linear(width, width, bias=False) for _ in self.grid[:-1] if self.causal)
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
        self.offset_bias = nn.Parameter(torch.zeros(architecture.layers, heads, self._around(self.grid).count))
        self.summary = Linear(width, architecture.head_width)

    def dropping(self, generator: torch.Generator | None) -> Self:
        if not self.dropout:
            return self
        other = copy(self)
        other._generator = generator
        return other

    def _dropped(self, update: Tensor) -> Tensor:
        if not (self.training and self.dropout):
            return update
        kept = torch.rand(update.shape, generator=self._generator).to(update.device) >= self.dropout
        return update * kept / (1 - self.dropout)

    def _around(self, grid: tuple[int, ...]) -> Neighbourhood:
        """The cells of `grid` that each of them attends to."""
        return Neighbourhood(grid, self.grid, causal=self.causal)

    def _through(self, h: Tensor, windows: list[Window], given: Memory | None = None) -> tuple[Tensor, Memory]:
        """The stream (B, cells, W) through all layers, which see `given` too, and the memory of it."""
        # The last offset is that of the cell after the end, which has no bias.
        kept, tables = [], F.pad(self.offset_bias, (0, 1))
        for n, layer in enumerate(self._layers()):
            update, own = layer(h, windows, tables[n], None if given is None else given.of_layer(n))
            h = h + self._dropped(update)
            kept.append(own)
        return h, Memory(*(torch.stack(parts) for parts in zip(*kept, strict=True)))

    def _summary(self, h: Tensor) -> Tensor:
        """The stream (B, cells, W) after all layers to the features of the cells (B, cells, F)."""
        features: Tensor = self.summary(normalise(h))
        return features

    def _inputs(self, label: Tensor, grid: tuple[int, ...]) -> Tensor:
        """The sum of the embeddings of labels (B,) and of the places of a grid (B, cells, W)."""
        total = self._embedded_label(label).view(len(label), *[1] * len(grid), -1)
        for axis, (table, cells) in enumerate(zip(self.place, grid, strict=True)):
            later = [1] * (len(grid) - axis - 1)
            total = total + table[places(cells, len(table)).to(table.device)].view(cells, *later, -1)
        return total.flatten(1, -2)

    def _embedded_label(self, label: Tensor) -> Tensor:
        """The embeddings (B, W) of labels (B,)."""
        return cast(Tensor, self.label_embedding(label))

    def _layers(self) -> list[AttentionLayer]:
        return list(cast(list[AttentionLayer], self.layers))
