"""Base of priors over grids of cells: a network over the cells before, and a small one within the cell."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from math import sqrt
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.config import LearnedPriorConfig, PriorModelConfig
from codeword.linear import Linear
from codeword.priors.base import Prior
from codeword.priors.state import CellState

# Standard deviation of the embeddings that start from codewords; with 0.1 and with 1, training is slower.
_INPUT_STD = 0.3


class CellPrior(Prior):
    """The codes of a cell are modelled one after the other, given the features of all cells before.

    A subclass defines the network. Its input is the sum of the embeddings of a cell's codes (W channels), its output
    the features (F channels) of each cell. A small network gives the codes of a cell from these features and the
    codes before. With classes, the network is conditioned on the label; number `classes` is the null class, which
    gives the unconditional p(codes). If the prior serves several numbers of codes, the input of a cell is the sum of
    the embeddings of its first n codes and of n.
    """

    def __init__(self, config: PriorModelConfig, *, width: int, features: int, head_width: int) -> None:
        super().__init__(config)
        assert isinstance(config.architecture, LearnedPriorConfig)
        if not config.architecture.conditional:
            self.classes = 0
        self.embed = nn.ModuleList(nn.Embedding(n, width) for n in self.codebook_sizes)
        # One row for each number of served codes; a prior of all codes needs none.
        self.embed_count = nn.Embedding(len(self.served_codes), width) if config.served_codes else None
        self.head = Linear(features, head_width)
        self.within = nn.ModuleList(nn.Embedding(n, head_width) for n in self.codebook_sizes[:-1])
        self.outputs = nn.ModuleList(Linear(head_width, n) for n in self.codebook_sizes)
        for embedding in (*self.embed, *self.within, self.embed_count):
            if embedding is not None:
                nn.init.normal_(cast(nn.Embedding, embedding).weight, std=0.1)

    @torch.no_grad()
    def start_from(self, contributions: Sequence[Tensor]) -> None:
        """Replace the tables of each code k by random linear maps of `contributions` (codebook_sizes[k], D).

        Codewords that mean nearly the same to the decoder then begin alike, and what is learned of one holds for the
        others too. All codes share the maps, so that the embeddings of a cell add up to a map of its vector. The random
        numbers are those of PyTorch's global generator.
        """
        vectors = [part.float().cpu() for part in contributions]
        sizes = [float(part.square().mean().sqrt()) or 1.0 for part in vectors]
        inputs = [part * (_INPUT_STD / max(sizes)) for part in vectors]
        # Each code has logits as large as those of the others, however small the part that it adds.
        outputs = [part / (size * sqrt(self.head.out_features)) for part, size in zip(vectors, sizes, strict=True)]
        for tables, parts in ((self.embed, inputs), (self.within, inputs), (self.outputs, outputs)):
            weights = [cast(Tensor, table.weight) for table in tables]
            if weights:
                drawn = torch.randn(vectors[0].shape[1], weights[0].shape[1]) / sqrt(vectors[0].shape[1])
                for weight, part in zip(weights, parts, strict=False):
                    weight.copy_(part @ drawn)

    @abstractmethod
    def _cell_features(self, embedded: Tensor, label: Tensor) -> Tensor:
        """Embeddings (B, *G, W) and labels (B,) to features (B, *G, F), those of each cell from the cells before it.

        Before it means in the `order` of the walk.
        """

    @abstractmethod
    def _walk_cell(self, state: CellState, cell: int) -> Tensor:
        """The features (B, F) of cell number `cell` of the walk, after all cells before it have been entered."""

    @abstractmethod
    def _enter(self, state: CellState, cell: int, embedded: Tensor) -> None:
        """Append cell number `cell` of the walk, given its embedding (B, W)."""

    def _log_prob(self, codes: Tensor, label: Tensor | None, counts: Tensor | None = None) -> Tensor:
        return self._total(self.all_logits(codes, label, counts), codes, counts)

    def _total(
        self,
        logits_of_codes: Iterable[Tensor],
        codes: Tensor,
        counts: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """The logits of each code of the cells to the log-probabilities (B,) of codes (B, *G, n).

        With `weights` (B, *G) these are weighted sums over the cells.
        """
        total = torch.zeros(len(codes), device=codes.device)
        for k, logits in enumerate(logits_of_codes):
            rows = _with_code(k, counts)
            nll = F.cross_entropy(logits.flatten(0, -2), codes[rows][..., k].flatten(), reduction="none")
            nll = nll.view(logits.shape[:-1])
            if weights is not None:
                nll = nll * weights[rows]
            total[rows] = total[rows] - nll.flatten(1).sum(1)
        return total

    def all_logits(self, codes: Tensor, label: Tensor | None = None, counts: Tensor | None = None) -> Iterator[Tensor]:
        """Yield for each code k of the cells its logits (B, *G, codebook_sizes[k]) given all symbols before it.

        Codes are (B, *G, n). With `counts` (B,) as in `forward`, the logits of code k are of the signals that have it.
        """
        features = self._cell_features(self._embedded(codes, counts), self._label(label, len(codes)))
        yield from self._logits_of(features, codes, counts)

    def _logits_of(self, features: Tensor, codes: Tensor, counts: Tensor | None = None) -> Iterator[Tensor]:
        """`all_logits` from the features (B, *G, F) of the cells."""
        hidden = self._hidden(features)
        for k in range(codes.shape[-1]):
            if k:
                hidden = hidden + self.within[k - 1](codes[..., k - 1])
            yield self.outputs[k](F.relu(hidden[_with_code(k, counts)])).float()

    def logits(self, state: CellState, i: int) -> Tensor:
        cell, k = divmod(i, state.codes)
        if k == 0:
            state.hidden = self._hidden(self._walk_cell(state, cell))
            state.cell = []
        assert state.hidden is not None
        return cast(Tensor, self.outputs[k](F.relu(state.hidden)))

    def push(self, state: CellState, i: int, symbols: Tensor) -> None:
        cell, k = divmod(i, state.codes)
        state.cell.append(symbols)
        if k < state.codes - 1:
            state.hidden = state.hidden + self.within[k](symbols)
        else:
            self._enter(state, cell, self._embedded(torch.stack(state.cell, -1)))

    def _hidden(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.head(F.relu(features)))

    def _embedded(self, codes: Tensor, counts: Tensor | None = None) -> Tensor:
        """Codes (B, ..., n), of which signal b has the first counts[b], to the sum of their embeddings (B, ..., W)."""
        parts = torch.stack([self.embed[k](codes[..., k]) for k in range(codes.shape[-1])])
        if self.embed_count is None:
            return parts.sum(0)
        if counts is None:
            row = self.served_codes.index(codes.shape[-1])
            return parts.sum(0) + self.embed_count.weight[row]
        ones, served = [1] * (codes.ndim - 2), counts.new_tensor(self.served_codes)
        present = counts > torch.arange(len(parts), device=counts.device)[:, None]
        rows = self.embed_count((counts[:, None] > served).sum(1))
        total = (parts * present.view(len(parts), -1, *ones, 1)).sum(0) + rows.view(len(codes), *ones, -1)
        return cast(Tensor, total)

    def _label(self, label: Tensor | None, batch: int) -> Tensor:
        device = self.head.weight.device
        if label is None or self.classes == 0:
            return torch.full((batch,), self.classes, device=device)
        return label.to(device)


def _with_code(k: int, counts: Tensor | None) -> Tensor | slice:
    """The signals that have code k of each cell."""
    return slice(None) if counts is None else counts > k
