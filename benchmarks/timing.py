"""Timing that is fair on a machine whose speed drifts: the compared runs are interleaved."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch

Run = Callable[[], object]
Clock = Callable[[], float]
"""Seconds; `time.thread_time` counts those of the calling thread alone, also where other work shares its core."""


@dataclass(frozen=True)
class Times:
    """Seconds of each round, by name; entry i of every list was measured in round i."""

    seconds: dict[str, list[float]]

    def median_s(self, name: str) -> float:
        return median(self.seconds[name])

    def fastest_s(self, name: str) -> float:
        return min(self.seconds[name])

    def ratio(self, peer: str, ours: str) -> float:
        """Speed of ours divided by the peer's."""
        return self.median_s(peer) / self.median_s(ours)


def interleaved(runs: Mapping[str, Run], *, rounds: int, warmup: int = 1, clock: Clock = time.perf_counter) -> Times:
    """Call every run once per round, in the given order; the first `warmup` rounds are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(warmup + rounds):
        for name, run in runs.items():
            elapsed = _seconds(run, clock)
            if number >= warmup:
                seconds[name].append(elapsed)
            said = "warm-up" if number < warmup else f"{number - warmup + 1}/{rounds}"
            say(f"  {said} {name}: {elapsed:.4g} s")
    return Times(seconds)


def device() -> torch.device:
    """The device of all measurements: the GPU if there is one, as in training."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def say(message: str) -> None:
    """Print progress to stderr, separate from the results."""
    print(message, file=sys.stderr, flush=True)


def _seconds(run: Run, clock: Clock) -> float:
    _finish()
    started = clock()
    run()
    _finish()
    return clock() - started


def _finish() -> None:
    # A GPU continues to compute after the call returns.
    if torch.cuda.is_available():
        torch.cuda.synchronize()
