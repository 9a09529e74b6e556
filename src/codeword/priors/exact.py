"""Exact priors: the same network in 8-bit integers, so that its probabilities are equal on every machine."""

from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.errors import UnsupportedError
from codeword.nn.integers import GATE_BITS, MOST_TERMS, Matrix, Signal, integers, power, scattered, weight_bits
from codeword.priors.base import Prior
from codeword.priors.state import CellState

if TYPE_CHECKING:
    from codeword.priors.cell import CellPrior

_MAX_WEIGHT = 1 << 12
# More bits than this leave too few for the numbers before the point.
_MOST_STREAM_BITS = 17
# Numbers of cells that are computed at a time, to bound memory: by the layers, and by the wider head.
_CELLS, _HEAD_CELLS = 4096, 256
_CALIBRATION_CELLS = 1024


def make_exact(prior: Prior) -> Prior:
    """The prior whose logits are the same on every machine, bit for bit, from the weights of a trained one.

    Weights and the inputs of products are rounded to integers of 8 bits (`codeword.nn.integers`), in steps that a
    calibration on pseudo-random codes chooses. All of this is exact arithmetic too, so the exact prior is made where it
    is needed and never stored.

    Raises:
        UnsupportedError: the weights are too large, or the network is too wide.
    """
    if any(not bool((p.abs() < _MAX_WEIGHT).all()) for p in prior.parameters()):
        raise UnsupportedError(f"The prior has weights of {_MAX_WEIGHT} or more, or not finite; train it again.")
    with torch.no_grad():
        return prior.exact()


class _Head(NamedTuple):
    """The layer before the codes of a cell: its matrix, biases (H,) int32, and the tables (n, H) int32 of each code."""

    matrix: Matrix
    bias: Tensor
    within: list[Tensor]


class _Output(NamedTuple):
    """The last layer for one code of a cell: its matrix, and scale and bias (n,) float32 of its logits."""

    matrix: Matrix
    scale: Tensor
    bias: Tensor


class ExactPrior(Prior):
    """The codes of a cell one after the other from 8-bit features of the cells before: `CellPrior` in integers.

    A subclass computes the features, for all cells in parallel and in a walk. Its residual stream and its embeddings
    are integers of 32 bits with `stream_bits` (W,). Parts that depend on the steps of signals are made in the
    calibration, which is the end of the construction.
    """

    def __init__(self, prior: "CellPrior", *, stream_bits: Tensor) -> None:
        super().__init__(prior.config)
        self.classes, self._trained, self.stream_bits = prior.classes, [prior], stream_bits
        self.embedded, self.summary = Signal(), Signal(lowest=0)
        self.embedded.set_units(self.stream_bits)
        self._tables = [integers(weight_of(table), self.stream_bits) for table in prior.embed]
        counts = prior.embed_count
        self._counts = None if counts is None else integers(weight_of(counts), self.stream_bits)
        self._hidden = [Signal(lowest=0) for _ in self.codebook_sizes]
        self._outputs: list[_Output] = []

    def exact(self) -> Prior:
        return self

    @abstractmethod
    def _features(self, embedded: Tensor, label: Tensor) -> Tensor:
        """Embeddings (B, *G, W) int32 and labels (B,) to the features of each cell (B, *G, F) int8."""

    @abstractmethod
    def _walk_cell(self, state: CellState, cell: int) -> Tensor:
        """The features (B, F) int8 of cell number `cell`, after all cells before it have been entered."""

    @abstractmethod
    def _enter(self, state: CellState, cell: int, embedded: Tensor) -> None:
        """Append cell number `cell`, given its embedding (B, W) int32."""

    def residual(self, weight: Tensor) -> Matrix:
        """The matrix of weights (W, inputs) whose products with gates are added to the residual stream."""
        return Matrix(weight, self.stream_bits - GATE_BITS)

    def calibrate(self, grid: tuple[int, ...]) -> None:
        """Choose the steps of all signals, from pseudo-random codes of all classes in turn."""
        codes = self.random_codes(grid)
        features = self._features(self._embedded(codes), torch.arange(len(codes)) % (self.classes + 1))
        for _ in self._cell_logits(features.flatten(0, -2), codes.flatten(0, -2)):
            pass
        self._trained.clear()

    def random_codes(self, grid: tuple[int, ...]) -> Tensor:
        """Pseudo-random codes (B, *G, K) for a calibration."""
        shape = (max(1, _CALIBRATION_CELLS // prod(grid)), *grid, len(self.codebook_sizes))
        return scattered(torch.arange(prod(shape))).view(shape) % torch.tensor(self.codebook_sizes)

    def _log_prob(self, codes: Tensor, label: Tensor | None, counts: Tensor | None = None) -> Tensor:
        assert counts is None, "an exact prior is not trained"
        return self._cell_log_probs(codes, label).flatten(1).sum(1)

    def all_logits(self, codes: Tensor, label: Tensor | None = None) -> Iterator[Tensor]:
        features = self._all_features(codes, label)
        for logits in self._cell_logits(features.flatten(0, -2), codes.flatten(0, -2)):
            yield logits.view(*codes.shape[:-1], -1)

    def logits_in_order(self, codes: Tensor, label: Tensor | None = None) -> Iterator[list[Tensor]]:
        """Yield the logits (cells, B, codebook_sizes[k]) of each code k, for some cells at a time in raster order."""
        features = self._all_features(codes, label).flatten(1, -2).transpose(0, 1)
        cells, few = codes.flatten(1, -2).transpose(0, 1), max(1, _HEAD_CELLS // len(codes))
        for some, own in zip(features.split(few), cells.split(few), strict=True):
            logits = self._cell_logits(some.flatten(0, 1), own.flatten(0, 1))
            yield [x.view(*own.shape[:2], -1) for x in logits]

    def logits(self, state: CellState, i: int) -> Tensor:
        cell, k = divmod(i, state.codes)
        if k == 0:
            state.hidden, state.cell = self._head_sums(self._walk_cell(state, cell)), []
        assert state.hidden is not None
        return self._output_logits(state.hidden, k)

    def push(self, state: CellState, i: int, symbols: Tensor) -> None:
        cell, k = divmod(i, state.codes)
        state.cell.append(symbols)
        if k < state.codes - 1:
            assert state.hidden is not None
            state.hidden += self._head.within[k].index_select(0, symbols)
        else:
            self._enter(state, cell, self._embedded(torch.stack(state.cell, -1)))

    def _all_features(self, codes: Tensor, label: Tensor | None) -> Tensor:
        """The features (B, *G, F) int8 of all cells of codes (B, *G, n), computed for some signals at a time."""
        few, labels = max(1, _CELLS // codes[0, ..., 0].numel()), self._label(label, len(codes))
        parts = [slice(start, start + few) for start in range(0, len(codes), few)]
        return torch.cat([self._of_signals(p)._features(self._embedded(codes[p]), labels[p]) for p in parts])

    def _of_signals(self, some: slice) -> "ExactPrior":
        """The prior for some signals of a batch."""
        return self

    def _cell_logits(self, features: Tensor, codes: Tensor) -> Iterator[Tensor]:
        """Features (rows, F) int8 and codes (rows, n) of cells to the logits (rows, codebook_sizes[k]) of each code."""
        hidden = self._head_sums(features)
        for k in range(codes.shape[-1]):
            if k:
                hidden += self._head.within[k - 1].index_select(0, codes[:, k - 1])
            yield self._output_logits(hidden, k)

    def _head_sums(self, features: Tensor) -> Tensor:
        head = self._head
        sums = torch.empty(len(features), len(head.bias), dtype=torch.int32)
        return head.matrix.product(features, sums).add_(head.bias)

    def _output_logits(self, hidden: Tensor, k: int) -> Tensor:
        x = self._hidden[k].round(hidden)
        matrix, scale, bias = self._output(k)
        sums = matrix.product(x, torch.empty(len(x), len(bias), dtype=torch.int32))
        # The scale is a power of two, so that each logit is rounded once, with and without a fused multiply-add.
        return torch.addcmul(bias, sums.float(), scale)

    def _embedded(self, codes: Tensor) -> Tensor:
        """Codes (..., n) to the sum of their embeddings and of that of n (..., W) int32."""
        n = codes.shape[-1]
        total = F.embedding(codes[..., 0], self._tables[0])
        for k in range(1, n):
            total += F.embedding(codes[..., k], self._tables[k])
        return total if self._counts is None else total.add_(self._counts[self.served_codes.index(n)])

    def _label(self, label: Tensor | None, batch: int) -> Tensor:
        return torch.full((batch,), self.classes) if label is None or not self.classes else label.cpu()

    # Made in the calibration ---------------------------------------------------------------------

    @cached_property
    def _head(self) -> _Head:
        assert self.summary.bits is not None
        (prior,) = self._trained
        weight = weight_of(prior.head)
        bits = weight_bits(weight).clamp_(max=_MOST_STREAM_BITS - self.summary.bits)
        units = bits + self.summary.bits
        for signal in self._hidden:
            signal.set_units(units)
        within = [integers(weight_of(table), units) for table in prior.within]
        return _Head(Matrix(weight, bits), integers(bias_of(prior.head), units), within)

    def _output(self, k: int) -> _Output:
        if k == len(self._outputs):
            (prior,) = self._trained
            weight, bits = weight_of(prior.outputs[k]), self._hidden[k].bits
            assert bits is not None
            matrix = Matrix(weight, weight_bits(weight))
            self._outputs.append(_Output(matrix, power(-matrix.bits - bits), bias_of(prior.outputs[k])))
        return self._outputs[k]


def stream_bits_for(width: int, residuals: list[Tensor]) -> Tensor:
    """The bits (W,) of a stream that adds up the products of all weights (W, inputs) with gates, without rounding.

    Raises:
        UnsupportedError: there are too many gates.
    """
    if sum(weight.shape[1] for weight in residuals) > MOST_TERMS:
        raise UnsupportedError(f"The prior is too deep and wide: an exact one has at most {MOST_TERMS} gates.")
    bits = [torch.full((width,), _MOST_STREAM_BITS - GATE_BITS), *map(weight_bits, residuals)]
    return torch.stack(bits).amin(0).clamp_(min=0) + GATE_BITS


def weight_of(part: nn.Module) -> Tensor:
    return cast(Tensor, part.weight).detach().float().cpu()


def bias_of(part: nn.Module) -> Tensor:
    return cast(Tensor, part.bias).detach().float().cpu()
