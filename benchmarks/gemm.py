"""The speed limit: products of square matrices, the highest arithmetic rate of this machine and library."""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.report import Report
from benchmarks.timing import device, interleaved
from codeword.training.stages import resolve_precision

# The name of each dtype in the figures.
NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16"}


def measure(*, quick: bool) -> Report:
    """GFLOP/s in float32, and in bfloat16 where the machine computes in it."""
    n = side(quick=quick)
    runs = {NAMES[dtype]: product(n, dtype) for dtype in dict.fromkeys([torch.float32, training_dtype("auto")])}
    times = interleaved(runs, rounds=2 if quick else 9, warmup=2)
    figures = {f"gemm_{name}_gflops_per_s": gflops_per_s(n, times.fastest_s(name)) for name in runs}
    return Report(figures=figures)


def side(*, quick: bool) -> int:
    """Number of rows and columns of the matrices."""
    return 128 if quick else 4096


def product(n: int, dtype: torch.dtype) -> Callable[[], Tensor]:
    """A run that multiplies two n x n matrices."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, n, generator=generator).to(device(), dtype) for _ in range(2))
    return lambda: a @ b


def gflops_per_s(n: int, elapsed_s: float) -> float:
    """Rate of one product. Callers give the time of the fastest run instead of the median, because it is a peak."""
    return 2 * n**3 / elapsed_s / 1e9


def training_dtype(precision: str) -> torch.dtype:
    """The dtype of matrix products under a recipe's `precision` on this machine."""
    return torch.bfloat16 if resolve_precision(precision) == "bf16-mixed" else torch.float32
