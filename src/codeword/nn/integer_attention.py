"""Attention in integers of 8 bits, which gives the same numbers on every machine.

Sums of products of integers are exact. Normalisation and the division by the sum of the weights are computed in
float64 from integers: a square root, a quotient and a product, each of which IEEE 754 rounds correctly, so that they
too are equal everywhere.
"""

from functools import cached_property
from math import sqrt
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.errors import UnsupportedError
from codeword.nn.attention import EPSILON, AttentionLayer, Memory
from codeword.nn.integers import LOGIT_BITS, Matrix, Signal, exp_steps, integers, rescaled, weight_bits

STREAM_BITS = 12
"""Bits of the residual stream."""
_NORM_BITS = 12
# The sum of 2^13 squares of numbers up to this one is below 2^63.
_LARGEST_STREAM = 1 << 24
# Weights of keys are at most 255, of 8 bits, as the values are. Sums of this many products are below 2^24.
_LARGEST_KEY_WEIGHT, _KEYS = 255, 512
_QUOTIENT_BITS = 7
_MOST_HEAD_WIDTH = 1024


class Stream:
    """The residual stream, normalised and rounded to 8 bits for the weights (outputs, W) of a layer."""

    def __init__(self, weight: Tensor) -> None:
        self._signal = Signal()
        self._signal.set_units(torch.full((weight.shape[1],), _NORM_BITS))
        self._matrix = Matrix(weight, weight_bits(weight))

    @property
    def units(self) -> Tensor:
        """The bits (outputs,) of the products, after the calibration."""
        return self._matrix.bits + self._signal.known_bits

    def product(self, h: Tensor) -> Tensor:
        """The stream (rows, W) int32 to the products (rows, outputs) int32 of its normalised vectors."""
        wide = h.long()
        squares = (wide * wide).sum(-1, keepdim=True).add_(round(EPSILON * h.shape[1] * 4**STREAM_BITS))
        one = torch.tensor(sqrt(h.shape[1]) * (1 << _NORM_BITS), dtype=torch.float64)
        x = self._signal.round((h.double() * (one / squares.double().sqrt_())).round_().int())
        return self._matrix.product(x, torch.empty(len(x), len(self._matrix.bits), dtype=torch.int32))


class LayerMemory(NamedTuple):
    """The memory of a layer, as integers in float32, and the bits of its keys and values."""

    memory: Memory
    key_bits: int
    value_bits: int


ExactMemory = list[LayerMemory]
"""The memory of all layers."""


class ExactAttention:
    """`AttentionLayer` in integers; the stream has `STREAM_BITS`."""

    def __init__(self, layer: AttentionLayer, offset_bias: Tensor) -> None:
        """`offset_bias` (heads, offsets) is added to the attention logits."""
        width, self.heads = layer.project_out.weight.shape[0], layer.heads
        if width // self.heads > _MOST_HEAD_WIDTH:
            raise UnsupportedError(
                f"The prior has heads of {width // self.heads} values; an exact one has at most {_MOST_HEAD_WIDTH}."
            )
        weight, self._out, self._offset_bias = (
            x.detach().float().cpu() for x in (layer.project_in.weight, layer.project_out.weight, offset_bias)
        )
        query, rest = weight[:width] * (1 / sqrt(width // self.heads)), weight[width:]
        self._widths = (width, width, width, len(weight) - 3 * width)
        self._stream = Stream(torch.cat([query, rest]))
        self._parts = (Signal(), Signal(), Signal(), Signal(lowest=0))
        self._attended = Signal()

    def project(self, h: Tensor) -> tuple[Tensor, ...]:
        """The stream (rows, W) int32 to queries, keys, values (rows, W) and hidden units (rows, hidden), int8."""
        sums = self._stream.product(h).split(self._widths, -1)
        if self._parts[0].bits is None:
            for signal, units in zip(self._parts, self._stream.units.split(self._widths), strict=True):
                signal.set_units(units)
        return tuple(signal.round(part) for signal, part in zip(self._parts, sums, strict=True))

    def remembered(self, key: Tensor, value: Tensor) -> LayerMemory:
        """Keys and values (B, heads, m, d), integers in float32, for `adopted` of a layer with other steps."""
        return LayerMemory(Memory(key, value), self._parts[1].known_bits, self._parts[2].known_bits)

    def adopted(self, memory: LayerMemory) -> Memory:
        """The memory of another network in the steps of this layer."""
        steps = (
            (memory.memory.keys, memory.key_bits, self._parts[1].known_bits),
            (memory.memory.values, memory.value_bits, self._parts[2].known_bits),
        )
        parts = (rescaled(x.int(), torch.tensor([theirs]), ours).clamp_(-127, 127).float() for x, theirs, ours in steps)
        return Memory(*parts)

    def attend(self, query: Tensor, own: Memory, bias: Tensor, hidden: Tensor, memory: Memory | None = None) -> Tensor:
        """Queries (B, heads, n, d), keys and values (B, heads, m, d), integers in float32, to (B, heads, n, d) int8.

        The bias (heads, n, m) int32 is that of `biases_by_offset`; the keys of `hidden` (n, m) are not visible. Those
        of `memory` are, and have no bias.
        """
        if memory is not None:
            own = memory.before(own)
            more = (own.keys.shape[2] - bias.shape[-1], 0)
            bias, hidden = F.pad(bias, more), F.pad(hidden, more)
        logits = (query @ own.keys.mT).int().add_(bias)
        logits = rescaled(logits, self._logit_bits, LOGIT_BITS).masked_fill_(hidden, -(1 << 30))
        below = logits.amax(-1, keepdim=True) - logits
        table = exp_steps(_LARGEST_KEY_WEIGHT, least=0)
        weights = table.index_select(0, below.clamp_(max=len(table) - 1).flatten()).view(below.shape)
        total = torch.zeros(query.shape, dtype=torch.int32)
        for some, values in zip(weights.float().split(_KEYS, -1), own.values.split(_KEYS, -2), strict=True):
            total += (some @ values).int()
        count = weights.sum(-1, keepdim=True, dtype=torch.int32)
        quotient = (total.double() * (1 << _QUOTIENT_BITS)).div_(count.double()).round_().int()
        if self._attended.bits is None:
            self._attended.set_units(torch.full(query.shape[-1:], self._parts[2].known_bits + _QUOTIENT_BITS))
        return self._attended.round(quotient)

    def update(self, h: Tensor, attended: Tensor, hidden: Tensor) -> None:
        """Add to the stream h (rows, W) int32 what the attended (rows, W) and the hidden units, int8, contribute."""
        matrix, units = self._projection
        sums = matrix.product(torch.cat([attended, hidden], -1), torch.empty(h.shape, dtype=torch.int32))
        h.add_(rescaled(sums, units, STREAM_BITS)).clamp_(-_LARGEST_STREAM, _LARGEST_STREAM)

    @cached_property
    def offset_bias(self) -> Tensor:
        """The biases (heads, offsets) int32 of the attention logits."""
        flat = self._offset_bias.flatten()
        return integers(flat, self._logit_bits.expand(len(flat))).view(self._offset_bias.shape)

    # Made in the calibration ---------------------------------------------------------------------

    @cached_property
    def _logit_bits(self) -> Tensor:
        return torch.tensor([self._parts[0].known_bits + self._parts[1].known_bits])

    @cached_property
    def _projection(self) -> tuple[Matrix, Tensor]:
        """The matrix of the update, and the bits (W,) of its products."""
        width, signals = len(self._out), (self._attended, self._parts[3])
        parts = self._out.split([width, self._out.shape[1] - width], 1)
        bits = [weight_bits(part) + signal.known_bits for part, signal in zip(parts, signals, strict=True)]
        units = torch.stack(bits).amin(0)
        matrices = [Matrix(part, units - signal.known_bits) for part, signal in zip(parts, signals, strict=True)]
        return Matrix.joined(matrices), units
