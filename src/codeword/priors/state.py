"""The states that walks of several priors share."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from codeword.nn.attention import Neighbourhood, Window


@dataclass(kw_only=True)
class CellState:
    """State of the walk within a cell: the head's features (B, head), and the codes (B,) of the cell so far.

    `codes` is the number of codes per cell.
    """

    codes: int
    hidden: Tensor | None = None
    cell: list[Tensor] = field(default_factory=list)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows of the batch, some of them maybe several times, while the codes of a cell are pushed.

        A search compares several codes of a cell in this way, although the network over the cells runs once. Before
        the last code of the cell is pushed, there must be B rows again, one for each signal.
        """
        assert self.hidden is not None
        self.hidden = self.hidden.index_select(0, rows)
        self.cell = [codes.index_select(0, rows) for codes in self.cell]


@dataclass(kw_only=True)
class MaskedState(CellState):
    """Cells (B, cells, W) in raster order: `embedded`, where they are known, and `inputs`, from labels and places.

    `order` (cells,) are their numbers in the order of the walk, and `ends` those numbers of the walk at which a pass
    begins or ends. `features` (B, n, F) are those of the cells of the latest pass, from number `first` of the walk on.
    """

    embedded: Tensor
    inputs: Tensor
    order: Tensor
    ends: list[int]
    windows: list[Window]
    features: Tensor | None = None
    first: int = 0


@dataclass(kw_only=True)
class AttentionState(CellState):
    """Keys and values of the cells that later ones attend to, so that a cell costs one row of the network.

    `keys` and `values` (layer, B, heads, places, W / heads) hold those of the cells from number `first` on. `entered`
    are the embeddings (B, W) of the latest cells, and `inputs` (B, cells, W) what the label and the place add to them.
    """

    around: Neighbourhood
    inputs: Tensor
    entered: deque[Tensor]
    keys: Tensor
    values: Tensor
    first: int = 0

    @classmethod
    def new(cls, around: Neighbourhood, inputs: Tensor, *, codes: int, layers: int, heads: int) -> "AttentionState":
        """A walk of the grid of `around` in a network of these numbers of layers and heads."""
        batch, cells, width = inputs.shape
        # Room for as many cells as are visible twice, so that they are moved rarely.
        shape = (layers, batch, heads, min(cells, 2 * around.span + 2), width // heads)
        return cls(
            codes=codes,
            around=around,
            inputs=inputs,
            entered=deque(maxlen=around.strides[0]),
            keys=torch.zeros(shape, device=inputs.device),
            values=torch.zeros(shape, device=inputs.device),
        )

    def input(self, cell: int) -> Tensor:
        """The input (B, W) of cell number `cell` from its label, its place and the cell before it."""
        own = self.inputs[:, cell]
        return own + self.entered[-1] if cell else own.clone()

    def before(self, cell: int) -> Iterator[Tensor | None]:
        """Yield for each axis the embedding (B, W) of the cell one step before `cell`, None at the border."""
        for stride, size in zip(self.around.strides, self.around.grid, strict=True):
            yield self.entered[-stride] if cell // stride % size else None

    def window(self, cell: int) -> Window:
        """The cells that cell number `cell` attends to, for which there is now room."""
        if cell - self.first == self.keys.shape[3]:
            first = cell - self.around.span
            for cache in (self.keys, self.values):
                kept = cache[:, :, :, first - self.first :].clone()
                cache[:, :, :, : kept.shape[3]] = kept
            self.first = first
        return self.around.window(cell, cell + 1)

    def append(self, layer: int, cell: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the key and the value (B, heads, 1, W / heads) of a cell; returns those of all cells of its window."""
        here = cell - self.first
        start = max(0, cell - self.around.span) - self.first
        found = []
        for cache, own in ((self.keys[layer], key), (self.values[layer], value)):
            cache[:, :, here] = own[:, :, 0]
            found.append(cache[:, :, start : here + 1])
        return found[0], found[1]
