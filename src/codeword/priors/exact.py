"""Exact priors: the same network in fixed-point arithmetic, so that its probabilities are equal on every machine."""

from copy import deepcopy

from codeword.errors import UnsupportedError
from codeword.nn.arithmetic import FIXED_POINT, round_sums
from codeword.priors.base import Prior

_MAX_WEIGHT = 1 << 12


def make_exact(prior: Prior) -> Prior:
    """A copy of a trained prior whose walk computes the same logits on every machine, bit for bit.

    Its weights are rounded so that no sum of the walk is rounded (`codeword.nn.arithmetic`). The rounding is exact
    arithmetic itself, so the copy is made where it is needed and never stored.

    Raises:
        UnsupportedError: the weights are too large.
    """
    copy = deepcopy(prior).requires_grad_(False).eval()
    if any(not bool((p.abs() < _MAX_WEIGHT).all()) for p in copy.parameters()):
        raise UnsupportedError(f"The prior has weights of {_MAX_WEIGHT} or more, or not finite; train it again.")
    round_sums(copy.sums())
    for part in copy.modules():
        part.arithmetic = FIXED_POINT  # type: ignore[assignment]
    return copy
