"""The law of every distance between a reconstruction and its signal that is a loss."""

from collections.abc import Callable

from torch import Tensor


def assert_trains_the_first(distance: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> None:
    """It is zero for equal signals, and its gradient reaches the first of two different ones alone."""
    assert float(distance(a, a.detach()).detach()) == 0
    found = distance(a, b)
    assert float(found.detach()) > 0
    found.backward()
    assert a.grad is not None
    assert bool(a.grad.abs().sum() > 0)
    assert b.grad is None
