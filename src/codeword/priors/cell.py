"""Base of priors over grids of cells: a network over the cells before, and a small one within the cell."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.config import LearnedPriorConfig, PriorModelConfig
from codeword.nn.arithmetic import FLOATS, SIGNAL, Floats, Sum
from codeword.priors.base import Prior


@dataclass(kw_only=True)
class CellState:
    """State of the walk within a cell: the head's features (B, head), and the codes (B,) of the cell so far."""

    hidden: Tensor | None = None
    cell: list[Tensor] = field(default_factory=list)


class CellPrior(Prior):
    """The codes of a cell are modelled one after the other, given the features of all cells before.

    A subclass defines the network. Its input is the sum of the embeddings of a cell's codes (W channels), its output
    the features (F channels) of each cell. A small network gives the K codes of a cell from these features and the
    codes before. With classes, the network is conditioned on the label; number `classes` is the null class, which
    gives the unconditional p(codes).
    """

    arithmetic: Floats = FLOATS

    def __init__(self, config: PriorModelConfig, *, width: int, features: int, head_width: int) -> None:
        super().__init__(config)
        assert isinstance(config.architecture, LearnedPriorConfig)
        if not config.architecture.conditional:
            self.classes = 0
        self.embed = nn.ModuleList(nn.Embedding(n, width) for n in self.codebook_sizes)
        self.head = nn.Linear(features, head_width)
        self.within = nn.ModuleList(nn.Embedding(n, head_width) for n in self.codebook_sizes[:-1])
        self.outputs = nn.ModuleList(nn.Linear(head_width, n) for n in self.codebook_sizes)
        for embedding in (*self.embed, *self.within):
            nn.init.normal_(cast(nn.Embedding, embedding).weight, std=0.1)

    @abstractmethod
    def _cell_features(self, codes: Tensor, label: Tensor) -> Tensor:
        """Codes (B, *G, K) and labels (B,) to the features of each cell from those before it (B, *G, F)."""

    @abstractmethod
    def _walk_cell(self, state: CellState, cell: int) -> Tensor:
        """The features (B, F) of cell number `cell`, after all cells before it have been entered."""

    @abstractmethod
    def _enter(self, state: CellState, cell: int, embedded: Tensor) -> None:
        """Append cell number `cell`, given its embedding (B, W)."""

    def sums(self) -> Iterator[Sum]:
        yield Sum(addends=_columns(self.embed))
        yield Sum(((self.head.weight, SIGNAL),), (self.head.bias[:, None], *_columns(self.within)))
        for output in cast(list[nn.Linear], self.outputs):
            yield Sum(((output.weight, SIGNAL),), (output.bias[:, None],))

    def _log_prob(self, codes: Tensor, label: Tensor | None) -> Tensor:
        total = torch.zeros(len(codes), device=codes.device)
        for k, logits in enumerate(self.all_logits(codes, label)):
            nll = F.cross_entropy(logits.flatten(0, -2), codes[..., k].flatten(), reduction="none")
            total = total - nll.view(len(codes), -1).sum(1)
        return total

    def all_logits(self, codes: Tensor, label: Tensor | None = None) -> Iterator[Tensor]:
        """Yield for each code k of the cells its logits (B, *G, codebook_sizes[k]) given all symbols before it."""
        hidden = self._hidden(self._cell_features(codes, self._label(label, len(codes))))
        for k, output in enumerate(self.outputs):
            if k:
                hidden = hidden + self.within[k - 1](codes[..., k - 1])
            yield output(self.arithmetic.signal_(F.relu(hidden))).float()

    def logits(self, state: CellState, i: int) -> Tensor:
        cell, k = divmod(i, len(self.codebook_sizes))
        if k == 0:
            state.hidden = self._hidden(self._walk_cell(state, cell))
            state.cell = []
        assert state.hidden is not None
        return cast(Tensor, self.outputs[k](self.arithmetic.signal_(F.relu(state.hidden))))

    def push(self, state: CellState, i: int, symbols: Tensor) -> None:
        cell, k = divmod(i, len(self.codebook_sizes))
        state.cell.append(symbols)
        if k < len(self.codebook_sizes) - 1:
            state.hidden = state.hidden + self.within[k](symbols)
        else:
            self._enter(state, cell, self._embedded(torch.stack(state.cell, -1)))

    def _hidden(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.arithmetic.signal_(F.relu(features))))

    def _embedded(self, codes: Tensor) -> Tensor:
        """Codes (..., K) to the sum of their embeddings (..., W)."""
        return self.arithmetic.signal_(torch.stack([table(codes[..., k]) for k, table in enumerate(self.embed)]).sum(0))

    def _label(self, label: Tensor | None, batch: int) -> Tensor:
        device = self.head.weight.device
        if label is None or self.classes == 0:
            return torch.full((batch,), self.classes, device=device)
        return label.to(device)


def _columns(tables: nn.ModuleList) -> tuple[Tensor, ...]:
    """The weights of embeddings, as addends (channels, n)."""
    return tuple(cast(nn.Embedding, table).weight.t() for table in tables)
