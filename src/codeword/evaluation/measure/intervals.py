"""Metrics with 95 % intervals over signals."""

from collections.abc import Callable, Sequence
from math import sqrt

import torch
from torch import Tensor

from codeword.evaluation.results import Metric, metric

Z_95 = 1.959964
RESAMPLES = 100

Interval = tuple[float, float, float]
"""A value and the ends of its 95 % interval: value, low, high."""


def mean_interval(values: Tensor) -> Interval:
    """The mean of values (N,) with its interval under a normal distribution."""
    values = values.double()
    mean = float(values.mean())
    half = Z_95 * float(values.std(correction=1)) / sqrt(len(values)) if len(values) > 1 else 0.0
    return mean, mean - half, mean + half


def share_interval(found: Tensor) -> Interval:
    """The share of True among `found` (N,) with its score interval (Wilson 1927), which stays within 0 and 1.

    A normal interval of a few signals does not, and has no width where all are the same.
    """
    count, share = len(found), float(found.double().mean())
    ratio = Z_95**2 / count
    centre = (share + ratio / 2) / (1 + ratio)
    half = sqrt(ratio * (share * (1 - share) + ratio / 4)) / (1 + ratio)
    return share, min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))


def resampled_intervals(statistics: Callable[[Tensor], dict[str, float]], count: int) -> dict[str, Interval]:
    """Bootstrap intervals of statistics by name: the value on all signals, and percentiles over `RESAMPLES` resamples.

    `statistics` maps the rows (M,) of a resample, indices below `count`, to its values. An interval is extended to
    contain the value: a resample lacks some signals, so every resampled count of used codewords may be lower.
    """
    values = statistics(torch.arange(count))
    generator = torch.Generator().manual_seed(0)
    resamples = [statistics(torch.randint(count, (count,), generator=generator)) for _ in range(RESAMPLES)]
    ends = torch.tensor([0.025, 0.975], dtype=torch.float64)
    intervals = {}
    for name, value in values.items():
        low, high = torch.quantile(torch.tensor([r[name] for r in resamples], dtype=torch.float64), ends).tolist()
        intervals[name] = (value, min(low, value), max(high, value))
    return intervals


def resampled_interval(statistic: Callable[[Tensor], float], count: int) -> Interval:
    """Bootstrap interval of one statistic; see `resampled_intervals`."""
    return resampled_intervals(lambda rows: {"": statistic(rows)}, count)[""]


def mean_metric(values: Tensor, unit: str) -> Metric:
    """The mean of values (N,), one for each signal, with its interval."""
    return metric(mean_interval(values), unit)


def share_metric(found: Tensor, unit: str, *, whole: float = 100) -> Metric:
    """The share of True among `found` (N,), one for each signal, with its interval; `whole` is the value for all."""
    share, low, high = share_interval(found)
    return metric((whole * share, whole * low, whole * high), unit)


def ratio_metric(numerators: Sequence[float], denominators: Sequence[float], unit: str) -> Metric:
    """The sum of `numerators` over signals divided by the sum of `denominators`, with its bootstrap interval."""
    upper, lower = (torch.tensor(terms, dtype=torch.float64) for terms in (numerators, denominators))
    return metric(
        resampled_interval(lambda rows: float(upper[rows].sum() / lower[rows].sum().clamp(min=1e-9)), len(upper)), unit
    )
