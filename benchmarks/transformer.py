"""Sampling grids of codes from transformers: the cached walk against whole passes, the masked one against that walk."""

import torch

from benchmarks.naive import naive_sample
from benchmarks.pixelcnn import draw
from benchmarks.report import Ratio, Report
from benchmarks.timing import device, interleaved
from codeword.config import MaskedConfig, PriorModelConfig, TransformerConfig
from codeword.priors import build_prior, walk
from codeword.priors.cell import CellPrior


def measure(*, quick: bool) -> Report:
    """All sample with the same generator; the masked network has as many weights, but for the biases of offsets."""
    size = {"layers": 1, "width": 8, "heads": 2, "hidden": 8} if quick else {"layers": 4, "width": 128, "hidden": 512}
    grid, codewords, batch = ((3, 3), 16, 2) if quick else ((8, 8), 512, 64)
    causal = build(TransformerConfig(**size, conditional=False), grid, codewords)
    masked_config = MaskedConfig(**size, conditional=False)
    masked = build(masked_config, grid, codewords)
    runs = {
        "naive": lambda: naive_sample(causal, batch, draw()),
        "cached": lambda: walk(causal, batch, draw()),
        "masked": lambda: walk(masked, batch, draw()),
        "cached, one": lambda: walk(causal, 1, draw()),
        "masked, one": lambda: walk(masked, 1, draw()),
    }
    times = interleaved(runs, rounds=2 if quick else 5)
    many = f"{' x '.join(map(str, grid))} grid, batch {batch}, {size['layers']} layers of {size['width']}"
    masked_walk, cached_walk = f"a masked prior in {masked_config.passes} passes", "the cached walk of a transformer"
    return Report(
        [
            Ratio(
                "transformer_cached_vs_naive",
                times.ratio("naive", "cached"),
                f"codeword.priors.walk, {many}",
                f"the whole network for each cell (benchmarks/naive.py), {causal.symbols} passes",
            ),
            Ratio("masked_vs_cached", times.ratio("cached", "masked"), f"{masked_walk}, {many}", cached_walk),
            Ratio(
                "masked_vs_cached_one_grid",
                times.ratio("cached, one", "masked, one"),
                f"{masked_walk}, one grid",
                cached_walk,
            ),
        ],
        {
            "transformer_cached_grids_per_s": batch / times.median_s("cached"),
            "masked_grids_per_s": batch / times.median_s("masked"),
            "masked_one_grid_s": times.median_s("masked, one"),
        },
    )


def build(architecture: TransformerConfig | MaskedConfig, grid: tuple[int, ...], codewords: int) -> CellPrior:
    """A network with random weights, which cost as much time as trained ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        prior = build_prior(PriorModelConfig(architecture=architecture, grid=grid, codebook_sizes=(codewords,)))
    assert isinstance(prior, CellPrior)
    return prior.to(device()).eval()
