"""What an evaluation found: metrics with their intervals, as `evaluation.json` holds them."""

from typing import Literal

from pydantic import Field

from codeword.config import Config, validate_json
from codeword.data.base import Split
from codeword.errors import ModelError, RecipeError, UsageError
from codeword.training.run import Run


class Metric(Config):
    """A value with its 95 % interval over signals."""

    value: float
    low: float
    high: float
    unit: str


class Rate(Config):
    """What a model gives from the first `codes` of the K codes of each cell."""

    codes: int
    metrics: dict[str, Metric]


class Theory(Config):
    """What the models say that a file's payload must cost: `bits` in all, under `model`.

    `gap` is by how many percent the payload, which is all but headers, is larger.
    """

    bits: float
    model: str
    gap: float


class FileFormat(Config):
    """What one way to write signals as real files gives: all `bytes`, headers among them.

    `name` is the format and `setting` how it was used. `overhead_bytes` and `theory` are known of our own files;
    `metrics` say how far what was read back is from the original. `matches` names those of our settings whose rate this
    one is nearest to, not below.
    """

    name: str
    setting: str
    kind: Literal["lossless", "lossy"]
    signals: int
    files: int
    bytes: int
    rate: Metric
    overhead_bytes: int | None = None
    theory: Theory | None = None
    metrics: dict[str, Metric] = Field(default_factory=dict)
    matches: tuple[str, ...] = ()


class Evaluation(Config):
    """What `evaluation.json` holds; `rates` where one model serves several, from the lowest.

    `baselines` are the same rates by k-means on log-mels, without a network. `files` are real ones, ours and those of
    other formats, where they were asked for. `left_out` says, for each metric that could not be had, why.
    """

    recipe: str
    split: Split
    signals: int
    seed: int
    commit: str
    machine: str
    metrics: dict[str, Metric]
    rates: tuple[Rate, ...] = ()
    baselines: tuple[Rate, ...] = ()
    files: tuple[FileFormat, ...] = ()
    left_out: dict[str, str] = Field(default_factory=dict)


class Measured(Config):
    """The part of an evaluation that depends on the medium."""

    signals: int
    metrics: dict[str, Metric]
    rates: tuple[Rate, ...] = ()
    baselines: tuple[Rate, ...] = ()
    left_out: dict[str, str] = Field(default_factory=dict)


def metric(interval: tuple[float, float, float], unit: str) -> Metric:
    """A metric from its value and the ends of its interval."""
    value, low, high = interval
    return Metric(value=value, low=low, high=high, unit=unit)


def exactly(value: float, unit: str) -> Metric:
    """A metric that no other signals would have changed, or of which there is but one."""
    return metric((value, value, value), unit)


def read_evaluation(run: Run) -> Evaluation:
    """What the last `evaluate` wrote. Raises UsageError where there is none, ModelError where it is damaged."""
    try:
        text = run.evaluation_path.read_bytes()
    except OSError as error:
        raise UsageError(f"{run.folder} has not been evaluated; run `codeword evaluate {run.folder}` first.") from error
    try:
        evaluation: Evaluation = validate_json(Evaluation, text, place=str(run.evaluation_path))
    except RecipeError as error:
        raise ModelError(f"{error} Run `codeword evaluate {run.folder}` again.") from error
    return evaluation
