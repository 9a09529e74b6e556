"""Transformer in 8-bit integers: features of all cells in parallel, and the cached walk."""

from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.nn.attention import AttentionLayer, Neighbourhood, places
from codeword.nn.causal import shift
from codeword.nn.integer_attention import STREAM_BITS, ExactAttention, Stream, exact_biases
from codeword.nn.integers import Matrix, integers, rescaled, weight_bits
from codeword.priors.exact import ExactPrior, bias_of, weight_of
from codeword.priors.state import AttentionState, CellState

if TYPE_CHECKING:
    from codeword.priors.transformer import Transformer


class ExactTransformer(ExactPrior):
    """`Transformer` in integers."""

    any_grid: ClassVar[bool] = True

    def __init__(self, prior: "Transformer") -> None:
        bits = torch.full((prior.width,), STREAM_BITS)
        super().__init__(prior, stream_bits=bits)
        self.width = prior.width
        self._labels = integers(weight_of(prior.label_embedding), bits)
        self._places = [integers(table.detach().float().cpu(), bits) for table in prior.place]
        before = [weight_of(linear) for linear in prior.before]
        self._before = [Matrix(weight, weight_bits(weight)) for weight in before]
        self._layers = [ExactAttention(cast(AttentionLayer, layer)) for layer in prior.layers]
        self._stream = Stream(weight_of(prior.summary))
        self._bias = bias_of(prior.summary)
        self.calibrate(self.grid)

    def _features(self, embedded: Tensor, label: Tensor) -> Tensor:
        grid, batch = tuple(embedded.shape[1:-1]), len(embedded)
        h = self._inputs(label, grid) + F.pad(embedded.flatten(1, -2), (0, 0, 1, 0))[:, :-1]
        for axis, matrix in enumerate(self._before):
            h += self._mapped(shift(embedded.movedim(-1, 1), axis).movedim(1, -1), matrix).view(h.shape)
        stream, windows = h.view(-1, self.width), list(Neighbourhood(grid, self.grid).windows())
        for layer in self._layers:
            *parts, hidden = layer.project(stream)
            query, key, value = (self._heads(part.view(batch, -1, self.width)) for part in parts)
            attended = [
                layer.attend(
                    query[:, :, window.queries],
                    key[:, :, window.keys],
                    value[:, :, window.keys],
                    exact_biases(layer.offset_bias, window),
                    window.hidden,
                )
                for window in windows
            ]
            layer.update(stream, torch.cat(attended, 2).transpose(1, 2).reshape(stream.shape), hidden)
        return self._summary(stream).view(*embedded.shape[:-1], -1)

    def _summary(self, stream: Tensor) -> Tensor:
        """The stream (rows, W) to the features (rows, F) int8."""
        sums = self._stream.product(stream)
        if self.summary.bits is None:
            self.summary.set_units(self._stream.units, self._bias)
        return self.summary.round(sums)

    def _inputs(self, label: Tensor, grid: tuple[int, ...]) -> Tensor:
        """The sum of the embeddings of labels (B,) and of the places of a grid (B, cells, W) int32."""
        total = self._labels[label].view(len(label), *[1] * len(grid), -1)
        for axis, (table, cells) in enumerate(zip(self._places, grid, strict=True)):
            total = total + table[places(cells, len(table))].view(cells, *[1] * (len(grid) - axis - 1), -1)
        return total.flatten(1, -2)

    def _mapped(self, embedded: Tensor, matrix: Matrix) -> Tensor:
        """Embeddings (..., W) int32 to what a matrix makes of them (rows, W) int32."""
        x = self.embedded.round(embedded.reshape(-1, self.width))
        sums = matrix.product(x, torch.empty(x.shape, dtype=torch.int32))
        return rescaled(sums, matrix.bits + self.embedded.known_bits, STREAM_BITS)

    def _heads(self, x: Tensor) -> Tensor:
        """Integers (B, n, W) int8 to those of each head (B, heads, n, W / heads) as floats."""
        return cast(Tensor, x.unflatten(-1, (self._layers[0].heads, -1))).transpose(1, 2).float()

    # The walk ------------------------------------------------------------------------------------

    def start(
        self, batch: int, label: Tensor | None = None, *, codes: int | None = None, grid: tuple[int, ...] | None = None
    ) -> AttentionState:
        around = Neighbourhood(grid or self.grid, self.grid)
        inputs = self._inputs(self._label(label, batch), around.grid)
        return AttentionState.new(
            around,
            inputs,
            codes=codes or len(self.codebook_sizes),
            layers=len(self._layers),
            heads=self._layers[0].heads,
        )

    def _walk_cell(self, state: CellState, cell: int) -> Tensor:
        state = cast(AttentionState, state)
        h = state.input(cell)
        for before, matrix in zip(state.before(cell), self._before, strict=False):
            if before is not None:
                h += self._mapped(before, matrix)
        window = state.window(cell)
        bias = exact_biases(self._offset_biases, window)
        for n, layer in enumerate(self._layers):
            *parts, hidden = layer.project(h)
            query, key, value = (self._heads(part[:, None]) for part in parts)
            keys, values = state.append(n, cell, key, value)
            attended = layer.attend(query, keys, values, bias[n], window.hidden)
            layer.update(h, attended.flatten(1), hidden)
        return self._summary(h)

    def _enter(self, state: CellState, cell: int, embedded: Tensor) -> None:
        cast(AttentionState, state).entered.append(embedded)

    @cached_property
    def _offset_biases(self) -> Tensor:
        return torch.stack([layer.offset_bias for layer in self._layers])
