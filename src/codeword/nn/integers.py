"""Networks of 8-bit integers, which compute the same numbers on every machine.

A network in float32 gives other last bits on other machines, because they sum products in another order and compute
tanh differently. Here weights and the inputs of products are integers of 8 bits, so that sums of products are exact in
any order (the idea is that of Balle et al. 2019, "Integer networks for data compression with latent-variable models").
Sums are integers of 32 bits; shifts scale them. Tables stand for tanh, sigmoid and exp.

Every integer counts steps of a power of two. `bits` are the binary digits after the point: a step is 2^-bits.
"""

from copy import copy
from decimal import Decimal, localcontext
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

from codeword.errors import UnsupportedError

Scattered = TypeVar("Scattered", int, Tensor)

_LARGEST_INPUT = 127
# Older instruction sets add pairs of products of 8-bit integers in 16 bits: 255 * 63 * 2 is below 2^15.
_LARGEST_WEIGHT = 63
MOST_TERMS = 1 << 16
"""Sums of this many products are below 2^29, so that four of them can be added."""
# Sums of more products may exceed 2^24, up to which float32 holds every integer.
_MOST_FLOAT_TERMS = (1 << 24) // (_LARGEST_INPUT * _LARGEST_WEIGHT)
_LARGEST_ADDEND = 1 << 24
_FEWEST_BITS, _MOST_BITS = -4, 16
GATE_BITS = 7
"""Bits of the results of `Gates`."""
# A position in the table of gates is 8 bits of the signal and 8 of the openness, each in steps of these bits.
_TABLE_BITS, _SIGNAL_BITS, _OPENNESS_BITS = 8, 5, 4
_TABLE_SIZE, _MOST_SHIFT = 1 << _TABLE_BITS, 14
LOGIT_BITS = 6
"""Bits of the numbers whose exponentials `exp_steps` has."""
_LARGEST_FREQUENCY = 1 << 20
_SUM_BITS = 23


class Matrix:
    """Weights of 8 bits (inputs, outputs) for products with integers of 8 bits; `bits` (outputs,) are the weights'."""

    def __init__(self, weight: Tensor, bits: Tensor) -> None:
        """Weight (outputs, inputs) float32; weights too large for these bits become the largest integer."""
        if weight.shape[1] > MOST_TERMS:
            raise UnsupportedError(f"A layer has {weight.shape[1]} inputs; an exact prior has at most {MOST_TERMS}.")
        steps = (weight * power(bits)[:, None]).round_().clamp_(-_LARGEST_WEIGHT, _LARGEST_WEIGHT)
        # A copy, because `contiguous` keeps the strides (1, 1) of one input, which `_int_mm` misreads.
        self.bits, self._integers = bits, torch.empty(steps.shape[::-1], dtype=torch.int8).copy_(steps.t())
        self._floats = torch.empty(0) if has_integer_units() else self._integers.float()

    @classmethod
    def joined(cls, matrices: "list[Matrix]") -> "Matrix":
        """One matrix for the inputs of several with the same outputs, side by side; its bits are those of the first."""
        joined = copy(matrices[0])
        joined._integers = torch.cat([matrix._integers for matrix in matrices])
        joined._floats = torch.cat([matrix._floats for matrix in matrices])
        return joined

    def product(self, x: Tensor, out: Tensor) -> Tensor:
        """Inputs (rows, inputs) int8 to sums of products `out` (rows, outputs) int32."""
        if has_integer_units():
            if x.stride(0) < x.shape[1]:
                # `_int_mm` misreads rows that overlap, and single rows whose stride is not their length.
                x = x.clone(memory_format=torch.contiguous_format)
            return torch._int_mm(x, self._integers, out=out)
        parts = zip(x.split(_MOST_FLOAT_TERMS, 1), self._floats.split(_MOST_FLOAT_TERMS), strict=True)
        first, weights = next(parts)
        out.copy_(first.float() @ weights)
        for some, weights in parts:
            out += (some.float() @ weights).int()
        return out


class Signal:
    """The 8-bit integers of one place of a network, rounded from sums of 32 bits, of `units` bits, plus a bias.

    The sums that it rounds first, those of a calibration, choose the bits: the largest of them takes half of the range,
    which leaves room for the larger ones of other codes.
    """

    def __init__(self, *, lowest: int = -_LARGEST_INPUT) -> None:
        """Integers below `lowest` become `lowest`: 0 is the function relu."""
        self._lowest = lowest
        self.bits: int | None = None

    @property
    def known_bits(self) -> int:
        """The bits after the calibration."""
        assert self.bits is not None, "nothing was rounded yet"
        return self.bits

    def set_units(self, units: Tensor, bias: Tensor | None = None) -> None:
        """The bits (W,) of what it rounds, and a bias (W,) float32."""
        self._units, self._bias = units, torch.zeros(len(units)) if bias is None else bias

    def round(self, sums: Tensor, out: Tensor | None = None, *, scratch: Tensor | None = None) -> Tensor:
        """Sums (..., W) int32 to integers (..., W) int8; `scratch` is memory for as many integers of 32 bits."""
        if self.bits is None:
            self._calibrate(sums)
        steps = torch.add(sums, self._offset, out=None if scratch is None else scratch.view(sums.shape))
        steps.bitwise_right_shift_(self._shift).clamp_(self._lowest, _LARGEST_INPUT)
        return steps.to(torch.int8) if out is None else out.copy_(steps)

    def _calibrate(self, sums: Tensor) -> None:
        numbers = sums * power(-self._units) + self._bias
        largest = numbers.amax().clamp(min=0) if self._lowest == 0 else numbers.abs().amax()
        # The largest number is at least half of 2^exponent, and below it.
        exponent = int(torch.frexp(largest).exponent)
        self.bits = min(max(6 - exponent, _FEWEST_BITS), int(self._units.min()))
        self._shift = (self._units - self.bits).int()
        self._offset = integers(self._bias, self._units) + (1 << self._shift >> 1)


class Gates:
    """The gated units of a layer: tanh of one half of the channels times the sigmoid of the other.

    Its inputs are windows of one signal, and for some layers those of a second one.
    """

    def __init__(self, weight: Tensor, source: Signal, second: tuple[Tensor, Signal] | None = None) -> None:
        """Weights (2W, inputs) float32 of windows of `source`, and those of another signal."""
        parts = [(weight, source)] if second is None else [(weight, source), second]
        width = len(weight) // 2
        table_bits = torch.tensor([_SIGNAL_BITS] * width + [_OPENNESS_BITS] * width)
        # All products in the coarsest of their steps, so that they can be added.
        units = torch.stack([weight_bits(part) + signal.known_bits for part, signal in parts]).amin(0)
        units = units.clamp(table_bits, table_bits + _MOST_SHIFT)
        matrices = [Matrix(part, units - signal.known_bits) for part, signal in parts]
        self._matrix = matrices[0] if second is None else Matrix.joined(matrices)
        self._shift, self._units = (units - table_bits).int(), units
        self._middle = (_TABLE_SIZE // 2) * power(-table_bits)

    def biases(self, biases: Tensor) -> Tensor:
        """Biases (B, 2W) float32 to integers (B, 2W) int32 for `open`; one row (1, 2W) if all are equal."""
        found = integers(biases + self._middle, self._units)
        return found[:1] if bool((found == found[:1]).all()) else found

    def open(self, windows: Tensor, biases: Tensor, buffers: "Buffers", out: Tensor) -> None:
        """Windows (rows, inputs) int8 and biases to gates `out` (rows, W) int8; rows of a signal are consecutive."""
        sums = self._matrix.product(windows, buffers.sums)
        if len(biases) in (1, len(sums)):
            sums.add_(biases)
        else:
            sums.view(len(biases), -1, sums.shape[1]).add_(biases[:, None])
        sums.bitwise_right_shift_(self._shift).clamp_(0, _TABLE_SIZE - 1)
        torch.add(buffers.openness, buffers.signal, alpha=_TABLE_SIZE, out=buffers.places)
        torch.index_select(_gate_table(), 0, buffers.flat_places, out=out.view(-1))


class Buffers:
    """Memory for `Gates` of some rows, used again by each layer, so that it stays in the caches."""

    def __init__(self, rows: int, width: int, *, inputs: int = 0) -> None:
        """`inputs` is the number of inputs of a window."""
        self.windows = torch.empty(rows, inputs, dtype=torch.int8)
        self.gates = torch.empty(rows, width, dtype=torch.int8)
        self.sums = torch.empty(rows, 2 * width, dtype=torch.int32)
        self.signal, self.openness = self.sums.chunk(2, 1)
        self.places, self.update = torch.empty(2, rows, width, dtype=torch.int32)
        self.flat_places = self.places.view(-1)


def power(exponent: Tensor) -> Tensor:
    """2^exponent as float32, for whole numbers from -64 to 64. A table, because `pow` may round."""
    return torch.tensor([2.0**n for n in range(-64, 65)])[exponent.long() + 64]


def weight_bits(weight: Tensor) -> Tensor:
    """Weight (outputs, inputs) to the most bits (outputs,) int64 with which each output's weights fit 8 bits."""
    # 63 / largest = m 2^e with m from a half to one.
    exponent = torch.frexp(_LARGEST_WEIGHT / weight.abs().amax(1).clamp_(min=2.0**-20)).exponent
    return (exponent.long() - 1).clamp_(_FEWEST_BITS, _MOST_BITS)


def integers(x: Tensor, bits: Tensor) -> Tensor:
    """Numbers (..., W) float32 to integers (..., W) int32 of `bits` (W,); large ones become the largest addend."""
    return (x.double() * power(bits)).round_().clamp_(-_LARGEST_ADDEND, _LARGEST_ADDEND).int()


def scattered(numbers: Scattered) -> Scattered:
    """Whole numbers from 0 on, up to 2^31, to pseudo-random ones of 24 bits, equal on every machine."""
    # The high bits of multiples of an odd number (Knuth, The Art of Computer Programming, sec. 6.4).
    return numbers * 2654435761 % (1 << 32) >> 8


def rescaled(sums: Tensor, units: Tensor, bits: int) -> Tensor:
    """Sums (..., W) int32 of the bits `units` (W,) to integers of `bits` (..., W) int32, rounded."""
    less = (units - bits).int()
    half = torch.ones_like(less).bitwise_left_shift_(less.clamp(min=0)).bitwise_right_shift_(1)
    return sums.bitwise_left_shift(less.neg().clamp_(min=0)).add_(half).bitwise_right_shift_(less.clamp(min=0))


def softmax_weights(logits: Tensor) -> Tensor:
    """Logits (n, size) to whole numbers (n, size) float32 from 1 on in proportion to their softmax.

    The sum of a row is below 2^24 for up to 2^23 symbols, so it is exact too.
    """
    table = exp_steps(_LARGEST_FREQUENCY, least=1)
    below = (logits.amax(-1, keepdim=True) - logits).mul_(1 << LOGIT_BITS).clamp_(max=len(table) - 1)
    weights = table.index_select(0, below.to(torch.int32).view(-1)).view(logits.shape)
    largest_sum = logits.shape[-1] * _LARGEST_FREQUENCY
    total = weights.sum(-1, keepdim=True, dtype=torch.int32 if largest_sum < 1 << 31 else torch.int64)
    excess = (torch.frexp(total.double()).exponent - _SUM_BITS).clamp_(min=0)
    return weights.bitwise_right_shift_(excess).clamp_(min=1).float()


@cache
def has_integer_units() -> bool:
    """True if this processor multiplies 8-bit integers faster than floats."""
    # Private names of PyTorch; a version without them computes the same with floats.
    names = ("_is_amx_tile_supported", "_is_vnni_supported")
    return hasattr(torch, "_int_mm") and any(getattr(torch.cpu, name, bool)() for name in names)


@cache
def _gate_table() -> Tensor:
    """The gates of all positions of signal and openness: (size^2,) int8, computed in integers."""
    unit = 1 << 30
    # The middle of each step.
    doubled = [2 * i + 1 - _TABLE_SIZE for i in range(_TABLE_SIZE)]
    with localcontext(prec=40):
        # tanh(x) = 2 sigmoid(2x) - 1.
        signal = [unit * (2 / (1 + (-Decimal(n) / (1 << _SIGNAL_BITS)).exp()) - 1) for n in doubled]
        openness = [unit / (1 + (-Decimal(n) / (2 << _OPENNESS_BITS)).exp()) for n in doubled]
        rows, columns = ([int(n.to_integral_value()) for n in numbers] for numbers in (signal, openness))
    shift = 60 - GATE_BITS
    exact = torch.tensor(rows)[:, None] * torch.tensor(columns)
    return ((exact + (1 << (shift - 1))) >> shift).clamp(max=_LARGEST_INPUT).to(torch.int8).flatten()


@cache
def exp_steps(largest: int, *, least: int) -> Tensor:
    """`largest` exp(-d) for d from 0 on in steps of 2^-`LOGIT_BITS`: whole numbers (n,) int32 down to `least`."""
    weights: list[int] = []
    with localcontext(prec=40):
        while not weights or weights[-1] > least:
            exponent = -Decimal(len(weights)) / (1 << LOGIT_BITS)
            weights.append(int((exponent.exp() * largest).to_integral_value()))
    return torch.tensor(weights, dtype=torch.int32)
