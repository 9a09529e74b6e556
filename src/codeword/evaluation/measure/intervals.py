"""95 % intervals over signals."""

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor

Z_95 = 1.959964
RESAMPLES = 100


def mean_interval(values: Tensor) -> tuple[float, float, float]:
    """The mean of values (N,) with the normal interval of a mean: value, low, high."""
    values = values.double()
    mean = float(values.mean())
    half = Z_95 * float(values.std(correction=1)) / sqrt(len(values)) if len(values) > 1 else 0.0
    return mean, mean - half, mean + half


def resampled_interval(statistic: Callable[[Tensor], float], count: int) -> tuple[float, float, float]:
    """A statistic of rows (M,) out of `count` signals: its value on all, and its bootstrap percentiles.

    The interval is moved to hold the value: a resample misses signals, so that counts of distinct things
    (usage) would lie wholly below it.
    """
    value = statistic(torch.arange(count))
    generator = torch.Generator().manual_seed(0)
    draws = torch.tensor(
        [statistic(torch.randint(count, (count,), generator=generator)) for _ in range(RESAMPLES)], dtype=torch.float64
    )
    low, high = torch.quantile(draws, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return value, min(low, value), max(high, value)
