"""Metrics with 95 % intervals over signals."""

from collections.abc import Callable, Sequence
from math import sqrt

import torch
from torch import Tensor

from codeword.evaluation.results import Metric, metric

Z_95 = 1.959964
RESAMPLES = 100

Interval = tuple[float, float, float]
"""A value and the ends of its interval: value, low, high."""


def mean_interval(values: Tensor) -> Interval:
    """The mean of values (N,) with the normal interval of a mean."""
    values = values.double()
    mean = float(values.mean())
    half = Z_95 * float(values.std(correction=1)) / sqrt(len(values)) if len(values) > 1 else 0.0
    return mean, mean - half, mean + half


def resampled_intervals(statistics: Callable[[Tensor], dict[str, float]], count: int) -> dict[str, Interval]:
    """Statistics of rows (M,) out of `count` signals: each one's value on all rows, and its bootstrap percentiles.

    An interval is extended to contain its value: a resample misses signals, so counts of distinct things (usage) would
    lie completely below it.
    """
    values = statistics(torch.arange(count))
    generator = torch.Generator().manual_seed(0)
    draws = [statistics(torch.randint(count, (count,), generator=generator)) for _ in range(RESAMPLES)]
    ends = torch.tensor([0.025, 0.975], dtype=torch.float64)
    intervals = {}
    for name, value in values.items():
        low, high = torch.quantile(torch.tensor([d[name] for d in draws], dtype=torch.float64), ends).tolist()
        intervals[name] = (value, min(low, value), max(high, value))
    return intervals


def resampled_interval(statistic: Callable[[Tensor], float], count: int) -> Interval:
    """A single statistic; see `resampled_intervals`."""
    return resampled_intervals(lambda rows: {"": statistic(rows)}, count)[""]


def mean_metric(values: Tensor, unit: str) -> Metric:
    """The mean of values (N,), one for each signal."""
    return metric(mean_interval(values), unit)


def ratio_metric(numerators: Sequence[float], denominators: Sequence[float], unit: str) -> Metric:
    """A ratio of sums over signals, with its bootstrap interval."""
    above, below = (torch.tensor(numerators, dtype=torch.float64), torch.tensor(denominators, dtype=torch.float64))
    return metric(
        resampled_interval(lambda rows: float(above[rows].sum() / below[rows].sum().clamp(min=1e-9)), len(above)), unit
    )
