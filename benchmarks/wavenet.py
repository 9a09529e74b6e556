"""Sampling codes from a WaveNet: the cached walk against the whole receptive field for each step."""

import torch

from benchmarks.naive import naive_continue
from benchmarks.pixelcnn import draw
from benchmarks.report import Ratio, Report
from benchmarks.timing import device, interleaved
from codeword.config import PriorModelConfig, WaveNetConfig
from codeword.priors import WaveNet, walk

# 30 layers, as many as the paper's, of powers of two.
DILATIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) * 3


def measure(*, quick: bool) -> Report:
    """Seconds per step of one signal, from the same network; the peer's past fills its receptive field.

    A cached step costs the same at any position; all `steps` run from the start, and the time includes the start.
    """
    prior = build(dilations=(1, 2, 4), width=8) if quick else build()
    steps, naive_steps = (30, 3) if quick else (2048, 16)
    history = torch.zeros(1, prior.stack.receptive_field, 1, dtype=torch.int64, device=device())
    runs = {
        "naive": lambda: naive_continue(prior, history, naive_steps, draw()),
        "ours": lambda: walk(prior, 1, draw(), grid=(steps,)),
    }
    times = interleaved(runs, rounds=2 if quick else 5)
    ours_per_s, naive_per_s = steps / times.median_s("ours"), naive_steps / times.median_s("naive")
    return Report(
        [
            Ratio(
                "wavenet_cached_vs_naive",
                ours_per_s / naive_per_s,
                f"codeword.priors.walk, {len(prior.stack.dilations)} layers of {prior.stack.width}, batch 1",
                f"the network over its receptive field of {prior.stack.receptive_field} (benchmarks/naive.py)",
            )
        ],
        {"wavenet_cached_steps_per_s": ours_per_s, "wavenet_naive_steps_per_s": naive_per_s},
    )


def build(*, dilations: tuple[int, ...] = DILATIONS, width: int = 64, codewords: int = 256) -> WaveNet:
    """A network with random weights, which cost as much time as trained ones."""
    architecture = WaveNetConfig(
        dilations=dilations, width=width, skip_width=width, head_width=width, conditional=False
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        prior = WaveNet(PriorModelConfig(architecture=architecture, grid=(16,), codebook_sizes=(codewords,)))
    return prior.to(device()).eval()
