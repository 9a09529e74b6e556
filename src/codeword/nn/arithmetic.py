"""Arithmetic of networks: plain floats, or numbers on a grid, whose sums are equal on every machine.

Floats that are whole multiples of one power of two are added and multiplied without rounding as long as every sum,
counted in that unit, stays below 2^24. A network of such numbers gives the same result with any order of summation, and
so with any number of threads, batch size, instruction set and device (the idea is that of Balle et al. 2019, "Integer
networks for data compression with latent-variable models"; whole numbers carried by float32 need no integer kernels).
`FIXED_POINT` rounds the inputs of every product to a grid; `round_sums` rounds the weights so that no sum can reach the
limit.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

_EXACT_BITS = 24
"""Whole numbers of this many bits, and their sums, are exact in float32."""


class Grid(NamedTuple):
    """The multiples of 2^-bits from -limit to limit."""

    bits: int
    limit: int

    @property
    def largest(self) -> int:
        """The limit, counted in steps of the grid."""
        return self.limit << self.bits


SIGNAL = Grid(5, 32)
"""Inputs of products other than gates: the residual stream, the sum of the skips, the features of the head."""
GATE = Grid(8, 1)
_TANH_INPUT, _TANH_BITS = Grid(6, 4), 8
_LOGIT_BITS = 6
_LARGEST_WEIGHT = 1 << 20
_SUM_BITS = 23


class Floats:
    """Floating-point arithmetic of PyTorch: nothing is rounded to a grid."""

    def signal_(self, x: Tensor) -> Tensor:
        """Round the input of a product, in place."""
        return x

    def gate(self, drive: Tensor, dim: int = 1) -> Tensor:
        """The tanh of one half of the channels times the sigmoid of the other. (B, 2W, ...) to (B, W, ...)."""
        signal, openness = drive.chunk(2, dim)
        return torch.tanh(signal) * torch.sigmoid(openness)

    def tanh_(self, x: Tensor) -> Tensor:
        """Tanh in place."""
        return x.tanh_()

    def twice_gate_(self, x: Tensor) -> Tensor:
        """Round the double of a gate, in place."""
        return x


class FixedPoint(Floats):
    """Every input of a product lies on a grid; tanh is a table."""

    def signal_(self, x: Tensor) -> Tensor:
        return _round_(x.clamp_(-SIGNAL.limit, SIGNAL.limit), SIGNAL.bits)

    def gate(self, drive: Tensor, dim: int = 1) -> Tensor:
        # sigmoid(x) = (1 + tanh(x / 2)) / 2, as in a walk that keeps twice the gate.
        signal, openness = drive.chunk(2, dim)
        signal = self.tanh_(signal.contiguous())
        return self.twice_gate_(torch.addcmul(signal, signal, self.tanh_((openness / 2).contiguous()))) / 2

    def tanh_(self, x: Tensor) -> Tensor:
        limit = _TANH_INPUT.limit
        steps = _steps(x.clamp_(-limit, limit), _TANH_INPUT.bits, first=-_TANH_INPUT.largest)
        torch.index_select(_tanh_table().to(x.device), 0, steps.view(-1), out=x.view(-1))
        return x

    def twice_gate_(self, x: Tensor) -> Tensor:
        return _round_(x, GATE.bits - 1)


FLOATS, FIXED_POINT = Floats(), FixedPoint()


def softmax_weights(logits: Tensor) -> Tensor:
    """Logits (n, size) on a grid to whole numbers (n, size) float32 from 1 on in proportion to their softmax.

    The sum of a row is below 2^24 for up to 2^23 symbols, so it is exact too.
    """
    below = logits.amax(-1, keepdim=True) - logits
    table = _exp_table().to(logits.device)
    steps = _steps(below.clamp_(max=(len(table) - 1) / 2**_LOGIT_BITS), _LOGIT_BITS)
    weights = table.index_select(0, steps.flatten()).view(logits.shape)
    excess = (torch.frexp(weights.sum(-1, keepdim=True, dtype=torch.float64)).exponent - _SUM_BITS).clamp_(min=0)
    return (weights * _power(-excess).float()).floor_().clamp_(min=1)


@dataclass(frozen=True)
class Sum:
    """A sum of products in each output channel c of a network: weights (c, ...) times inputs on a grid, plus addends.

    Attributes:
        products: weights with output channels as their first axis, and the grid of their inputs.
        addends: tensors (c, n), of each of which one of n values is added, such as a bias or an embedding.
        largest: the largest magnitude of everything else that is added.
        finest: the largest number of bits after the point.
    """

    products: tuple[tuple[Tensor, Grid], ...] = ()
    addends: tuple[Tensor, ...] = ()
    largest: int = 0
    finest: int = _EXACT_BITS


@torch.no_grad()
def round_sums(sums: Iterable[Sum]) -> None:
    """Round the tensors of sums in place, each channel to the finest grid for which no sum can reach 2^24 steps.

    The arithmetic is itself exact, so that the same weights are rounded to the same numbers on every machine.
    """
    for one in sums:
        bits = _finest(one)
        for weight, grid in one.products:
            _round_to(weight, bits - grid.bits)
        for addend in one.addends:
            _round_to(addend, bits)


def _finest(one: Sum) -> Tensor:
    """Bits (c,) after the point of the finest grid of each channel."""
    channels = len((one.addends or [w for w, _ in one.products])[0])
    # In steps of 2^-16, rounded up, because whole numbers are summed in any order to the same result.
    total, terms = torch.full((channels,), one.largest << 16), 0
    for weight, grid in one.products:
        flat = weight.reshape(channels, -1)
        total = total + grid.limit * (flat.abs().double() * 2**16).ceil().long().sum(1)
        terms = terms + flat.shape[1] * grid.largest
    for addend in one.addends:
        total = total + (addend.abs().double() * 2**16).ceil().long().amax(1)
        terms = terms + 1
    # Rounding changes a weight by at most half a step, and its input multiplies this change.
    available = (1 << _EXACT_BITS) - 1 - terms // 2
    assert available > 0, "too many terms for an exact sum"
    # The largest b with total * 2^(b - 16) <= available, found without logarithms.
    bits = torch.arange(_EXACT_BITS)
    fits = total[:, None] * 2**bits <= available * 2**16
    return (fits.sum(1) - 1).clamp(max=one.finest)


def _round_to(x: Tensor, bits: Tensor) -> None:
    """Round x (c, ...) in place to multiples of 2^-bits (c,), ties to even."""
    exponent = bits.view(-1, *[1] * (x.ndim - 1))
    x.copy_((x.double() * _power(exponent)).round() * _power(-exponent))


def _power(exponent: Tensor) -> Tensor:
    """2^exponent as float64, for whole numbers from -64 to 64. A table, because `pow` may round."""
    return _powers().to(exponent.device)[exponent.long() + 64]


@cache
def _powers() -> Tensor:
    return torch.tensor([2.0**n for n in range(-64, 65)], dtype=torch.float64)


def _round_(x: Tensor, bits: int) -> Tensor:
    """Round x in place to multiples of 2^-bits, ties to even; |x| is below 2^(22 - bits)."""
    # The sum lies between 2^(23 - bits) and 2^(24 - bits), where float32 has steps of 2^-bits.
    x.add_(_shift(bits)).sub_(_shift(bits))
    return x


def _steps(x: Tensor, bits: int, *, first: int = 0) -> Tensor:
    """X in steps of 2^-bits, rounded as by `_round_`, as int32 counted from step `first`."""
    # Read as an integer, the sum of floats grows by 1 for each step.
    return (x + _shift(bits)).view(torch.int32) - _origin(bits, first)


@cache
def _shift(bits: int) -> Tensor:
    # A tensor, because PyTorch would convert a number of Python in each call.
    return torch.tensor(1.5 * 2 ** (23 - bits))


@cache
def _origin(bits: int, first: int) -> Tensor:
    return _shift(bits).view(torch.int32).add(first)


@cache
def _tanh_table() -> Tensor:
    """Tanh of every step of its input, on a grid: (2 n + 1,), where n is the number of steps up to the limit.

    With s = exp(2 x), tanh(x) = (s - 1) / (s + 1).
    """
    with localcontext(prec=40):
        squares = [(Decimal(2 * n) / 2**_TANH_INPUT.bits).exp() for n in range(_TANH_INPUT.largest + 1)]
        half = [int(((s - 1) / (s + 1) * 2**_TANH_BITS).to_integral_value()) for s in squares]
    return torch.tensor([n / 2**_TANH_BITS for n in (*(-n for n in half[:0:-1]), *half)])


@cache
def _exp_table() -> Tensor:
    """`_LARGEST_WEIGHT` exp(-d) for steps d of `_LOGIT_BITS`, as whole numbers, until they are 1."""
    weights: list[int] = []
    with localcontext(prec=40):
        while not weights or weights[-1] > 1:
            exponent = -Decimal(len(weights)) / 2**_LOGIT_BITS
            weights.append(int((exponent.exp() * _LARGEST_WEIGHT).to_integral_value()))
    return torch.tensor(weights, dtype=torch.float32)
