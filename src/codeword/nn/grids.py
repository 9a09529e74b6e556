"""Tensors over grids."""

from torch import Tensor


def extended(x: Tensor, size: tuple[int, ...], *, first: int = 0, value: bool = False) -> Tensor:
    """X with `value` appended along its axes from number `first` on, so that these have `size`."""
    last = first + len(size)
    larger = x.new_full((*x.shape[:first], *size, *x.shape[last:]), value)
    larger[tuple(slice(0, n) for n in x.shape)] = x
    return larger
