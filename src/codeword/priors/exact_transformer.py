"""Transformer in 8-bit integers: features of all cells in parallel, and the cached walk."""

from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.nn.attention import AttentionLayer, Memory, Neighbourhood, Window, biases_by_offset, places
from codeword.nn.causal import shift
from codeword.nn.integer_attention import STREAM_BITS, ExactAttention, ExactMemory, Stream
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
        layers = zip(cast(list[AttentionLayer], prior.layers), prior.offset_bias, strict=True)
        self._layers = [ExactAttention(layer, bias) for layer, bias in layers]
        self._given: list[Memory | None] = [None] * len(self._layers)
        self._guess: Tensor | None = None
        self._stream = Stream(weight_of(prior.summary))
        self._bias = bias_of(prior.summary)
        self.calibrate(self.grid)

    def given(self, memory: ExactMemory, guess: Tensor | None = None) -> "ExactTransformer":
        """The prior of codes after another sequence, as `Transformer.given`; `guess` are whole numbers (B, classes)."""
        conditioned = copy(self)
        conditioned._guess = guess
        conditioned._given = [layer.adopted(own) for layer, own in zip(self._layers, memory, strict=True)]
        return conditioned

    def _of_signals(self, some: slice) -> "ExactTransformer":
        part = copy(self)
        part._guess = None if self._guess is None else self._guess[some]
        part._given = [None if own is None else Memory(own.keys[some], own.values[some]) for own in self._given]
        return part

    def remember(self, codes: Tensor, label: Tensor | None, end: Tensor) -> tuple[ExactMemory, Tensor]:
        """The memory of codes (B, *G, n) and the stream (B, W) at its end, as of `Transformer`; `end` (W,) is int32."""
        numbers, embedded = self._label(label, len(codes)), self._embedded(codes)
        around = Neighbourhood(tuple(embedded.shape[1:-1]), self.grid)
        last = embedded.flatten(1, -2)[:, -1:] + self._labels[numbers][:, None] + end
        h = torch.cat([self._stream_of(embedded, numbers), last], 1)
        return self._through(h, [*around.windows(), around.end()]), h[:, -1]

    def _features(self, embedded: Tensor, label: Tensor) -> Tensor:
        h = self._stream_of(embedded, label)
        self._through(h, list(Neighbourhood(tuple(embedded.shape[1:-1]), self.grid).windows()))
        return self._summary(h.view(-1, self.width)).view(*embedded.shape[:-1], -1)

    def _stream_of(self, embedded: Tensor, label: Tensor) -> Tensor:
        """Embeddings (B, *G, W) and labels (B,) to the input of each cell (B, cells, W) int32."""
        h = self._inputs(label, tuple(embedded.shape[1:-1])) + F.pad(embedded.flatten(1, -2), (0, 0, 1, 0))[:, :-1]
        for axis, matrix in enumerate(self._before):
            h += self._mapped(shift(embedded.movedim(-1, 1), axis).movedim(1, -1), matrix).view(h.shape)
        return h

    def _through(self, h: Tensor, windows: list[Window]) -> ExactMemory:
        """Take the stream h (B, cells, W) int32, which is overwritten, through all layers; returns the memory of it."""
        stream, kept = h.view(-1, self.width), []
        for layer, given in zip(self._layers, self._given, strict=True):
            *parts, hidden = layer.project(stream)
            query, key, value = (self._heads(part.view(len(h), -1, self.width)) for part in parts)
            # The last offset is that of the cell after the end, which has no bias.
            table, attended = F.pad(layer.offset_bias, (0, 1)), []
            for window in windows:
                own = Memory(key[:, :, window.keys], value[:, :, window.keys])
                bias = biases_by_offset(table, window)
                attended.append(layer.attend(query[:, :, window.queries], own, bias, window.hidden, given))
            layer.update(stream, torch.cat(attended, 2).transpose(1, 2).reshape(stream.shape), hidden)
            kept.append(layer.remembered(key, value))
        return kept

    def _summary(self, stream: Tensor) -> Tensor:
        """The stream (rows, W) to the features (rows, F) int8."""
        sums = self._stream.product(stream)
        if self.summary.bits is None:
            self.summary.set_units(self._stream.units, self._bias)
        return self.summary.round(sums)

    def _inputs(self, label: Tensor, grid: tuple[int, ...]) -> Tensor:
        """The sum of the embeddings of labels (B,) and of the places of a grid (B, cells, W) int32."""
        embedded = self._labels[label]
        if self._guess is not None:
            # Sums below 2^48, which are exact in any order.
            sums = self._guess.double() @ self._labels[: self.classes].double()
            guessed = sums.div_(self._guess.double().sum(-1, keepdim=True)).round_().int()
            embedded = torch.where((label == self.classes)[:, None], guessed, embedded)
        total = embedded.view(len(label), *[1] * len(grid), -1)
        for axis, (table, cells) in enumerate(zip(self._places, grid, strict=True)):
            total = total + table[places(cells, len(table))].view(cells, *[1] * (len(grid) - axis - 1), -1)
        return total.flatten(1, -2)

    def _mapped(self, embedded: Tensor, matrix: Matrix) -> Tensor:
        """The products (rows, W) int32 of embeddings (..., W) int32 with a matrix."""
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
        bias = biases_by_offset(self._offset_biases, window)
        for n, (layer, given) in enumerate(zip(self._layers, self._given, strict=True)):
            *parts, hidden = layer.project(h)
            query, key, value = (self._heads(part[:, None]) for part in parts)
            own = Memory(*state.append(n, cell, key, value))
            attended = layer.attend(query, own, bias[n], window.hidden, given)
            layer.update(h, attended.flatten(1), hidden)
        return self._summary(h)

    def _enter(self, state: CellState, cell: int, embedded: Tensor) -> None:
        cast(AttentionState, state).entered.append(embedded)

    @cached_property
    def _offset_biases(self) -> Tensor:
        return torch.stack([layer.offset_bias for layer in self._layers])
