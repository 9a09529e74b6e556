"""Sampling a grid of codes from a PixelCNN: the cached walk against one whole pass for each cell."""

import torch

from benchmarks.naive import naive_sample
from benchmarks.report import Ratio, Report
from benchmarks.timing import device, interleaved
from codeword.config import PixelCNNConfig, PriorModelConfig
from codeword.priors import PixelCNN, Sampler, walk


def measure(*, quick: bool) -> Report:
    """Both sample from the same network with the same generator; every cell is computed, no time is extrapolated."""
    prior = build(layers=2, width=8, grid=(3, 3), codewords=16) if quick else build()
    batch = 2 if quick else 64
    runs = {"naive": lambda: naive_sample(prior, batch, draw()), "ours": lambda: walk(prior, batch, draw())}
    times = interleaved(runs, rounds=2 if quick else 5)
    passes = prior.symbols
    shape = " x ".join(str(n) for n in prior.grid)
    return Report(
        [
            Ratio(
                "pixelcnn_cached_vs_naive",
                times.ratio("naive", "ours"),
                f"codeword.priors.walk, {shape} grid, batch {batch}, kernel {2 * prior.reach + 1}",
                f"the whole network for each cell (benchmarks/naive.py), {passes} passes",
            )
        ],
        {
            "pixelcnn_cached_grids_per_s": batch / times.median_s("ours"),
            "pixelcnn_naive_grids_per_s": batch / times.median_s("naive"),
        },
    )


def build(*, layers: int = 15, width: int = 64, grid: tuple[int, ...] = (8, 8), codewords: int = 512) -> PixelCNN:
    """A network with random weights, which cost as much time as trained ones."""
    architecture = PixelCNNConfig(layers=layers, width=width, kernel=3, conditional=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        prior = PixelCNN(PriorModelConfig(architecture=architecture, grid=grid, codebook_sizes=(codewords,)))
    # The memory layout after training.
    return prior.to(device()).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload, no-any-return]


def draw() -> Sampler:
    """A sampler with the same seed each time."""
    return Sampler(generator=torch.Generator().manual_seed(0))
