"""Timing that is fair on a machine whose speed drifts: what is compared takes turns."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch

Run = Callable[[], object]


@dataclass(frozen=True)
class Times:
    """Seconds of each round, by name; entry i of every list was measured in round i."""

    seconds: dict[str, list[float]]

    def median_s(self, name: str) -> float:
        return median(self.seconds[name])

    def fastest_s(self, name: str) -> float:
        return min(self.seconds[name])

    def ratio(self, peer: str, ours: str) -> float:
        """How many times faster ours is."""
        return self.median_s(peer) / self.median_s(ours)


def interleaved(runs: Mapping[str, Run], *, rounds: int, warmup: int = 1) -> Times:
    """Call every run once a round, in the order given; the first `warmup` rounds are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(warmup + rounds):
        for name, run in runs.items():
            elapsed = _seconds(run)
            if number >= warmup:
                seconds[name].append(elapsed)
            said = "warm-up" if number < warmup else f"{number - warmup + 1}/{rounds}"
            say(f"  {said} {name}: {elapsed:.4g} s")
    return Times(seconds)


def device() -> torch.device:
    """Where everything is measured: the GPU if there is one, as in training."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def say(message: str) -> None:
    """Progress, beside the results and never among them."""
    print(message, file=sys.stderr, flush=True)


def _seconds(run: Run) -> float:
    _finish()
    started = time.perf_counter()
    run()
    _finish()
    return time.perf_counter() - started


def _finish() -> None:
    # A GPU works on after the call returns.
    if torch.cuda.is_available():
        torch.cuda.synchronize()
