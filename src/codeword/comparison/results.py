"""Results of a comparison: those of each trial, and means over the trials that differ in their seed alone."""

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import pairwise
from statistics import fmean, median
from typing import NamedTuple

from pydantic import Field

from codeword.comparison.plan import SEED
from codeword.config import Config
from codeword.errors import UsageError
from codeword.evaluation import Evaluation
from codeword.evaluation.measure.comparison import SCALES
from codeword.evaluation.report.metrics import TITLES
from codeword.training import Run
from codeword.training.environment import status_bytes

STEP_MS, PEAK_MIB = "step_ms", "peak_mib"
_OBJECTIVES = ("total_bpd", "bits_per_token", "log_mel_distance")
_HIGHER_IS_BETTER = {"psnr_db", "ssim", "usage", "perplexity"} | {
    name for name, scale in SCALES.items() if scale.better == "higher"
}


class Trial(Config):
    """One run: the values of its settings by path, and its measures on the validation split by name.

    `step_ms` is the median time of a training step of the tokenizer, and `peak_mib` the largest memory of its process.
    A trial with an `error` has no measures.
    """

    folder: str
    values: dict[str, str]
    measures: dict[str, float] = Field(default_factory=dict)
    error: str | None = None


class Spread(NamedTuple):
    """Mean, lowest and highest value over seeds."""

    mean: float
    low: float
    high: float


class Group(NamedTuple):
    """The trials that differ in their seed alone: their common values by path, and the spread of each measure."""

    values: dict[str, str]
    measures: dict[str, Spread]
    trials: tuple[Trial, ...]


class Comparison(Config):
    """All trials; `objective` is the measure that decides which is `best`, the values of its settings.

    `test` has the measures of the best trials on the test split by folder, if they were asked for.
    """

    recipe: str
    objective: str
    trials: tuple[Trial, ...]
    best: dict[str, str]
    test: dict[str, dict[str, float]] = Field(default_factory=dict)

    def groups(self) -> list[Group]:
        """The trials by their values without the seed, in the order of the plan."""
        return grouped(self.trials)

    @property
    def paths(self) -> list[str]:
        """The paths of all settings that vary but the seed, in the order of the plan."""
        return list(dict.fromkeys(path for trial in self.trials for path in trial.values if path != SEED))


def grouped(trials: Sequence[Trial]) -> list[Group]:
    """Groups of trials that differ in their seed alone; failed trials count in no mean."""
    by_values: dict[tuple[tuple[str, str], ...], list[Trial]] = {}
    for trial in trials:
        by_values.setdefault(tuple((p, v) for p, v in trial.values.items() if p != SEED), []).append(trial)
    groups = []
    for values, members in by_values.items():
        names = list(dict.fromkeys(name for trial in members for name in trial.measures))
        columns = {name: [t.measures[name] for t in members if name in t.measures] for name in names}
        spreads = {name: Spread(fmean(c), min(c), max(c)) for name, c in columns.items()}
        groups.append(Group(dict(values), spreads, tuple(members)))
    return groups


def check_measure(name: str | None) -> None:
    """Raise UsageError if there is a name, and no medium has a measure of it."""
    known = [*TITLES, STEP_MS, PEAK_MIB]
    if name is not None and name not in known:
        near = get_close_matches(name, known, n=1) or ["psnr_db"]
        raise UsageError(f"There is no measure {name!r}, perhaps {near[0]}; the table of an evaluation names them.")


def is_better(name: str, value: float, other: float) -> bool:
    """True if this value of a measure is better than the other one."""
    return value > other if name in _HIGHER_IS_BETTER else value < other


def find_best(trials: Sequence[Trial], objective: str | None) -> tuple[str, Group]:
    """The measure that decides, by default one that fits the signals, and the group with its best mean.

    Raises:
        UsageError: no trial has this measure.
    """
    groups = [group for group in grouped(trials) if group.measures]
    names = list(dict.fromkeys(name for group in groups for name in group.measures))
    chosen = objective or next((name for name in _OBJECTIVES if name in names), None)
    if chosen is None or chosen not in names:
        failed = next((t.error for t in trials if t.error), None)
        why = f"there are {', '.join(names)}." if groups else f"every training failed, the first one so: {failed}"
        raise UsageError(f"No trial has the measure {chosen or _OBJECTIVES[0]}; {why}")
    measured = [group for group in groups if chosen in group.measures]
    best = measured[0]
    for group in measured[1:]:
        if is_better(chosen, group.measures[chosen].mean, best.measures[chosen].mean):
            best = group
    return chosen, best


def measures_of(evaluation: Evaluation) -> dict[str, float]:
    """The values of all metrics of an evaluation."""
    return {name: metric.value for name, metric in evaluation.metrics.items()}


def step_ms(run: Run) -> float | None:
    """The median time of a training step of the tokenizer, from each record to the next; None with a single record."""
    records = [(r["step"], r["elapsed_s"]) for r in run.records("tokenizer", "train")]
    times = [
        1000 * (seconds - before) / (step - first)
        for (first, before), (step, seconds) in pairwise(records)
        if step > first and seconds > before
    ]
    return median(times) if times else None


def peak_mib() -> float | None:
    """The largest memory of this process so far; None where the system does not report it."""
    try:
        return status_bytes("VmHWM") / 2**20
    except OSError:
        return None
