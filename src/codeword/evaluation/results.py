"""Results of an evaluation: metrics with their intervals, as `evaluation.json` stores them."""

from typing import Literal

from pydantic import Field

from codeword.codec import Search
from codeword.config import Config, validate_json
from codeword.data.base import Split
from codeword.errors import ModelError, RecipeError, UsageError, command
from codeword.training.run import Run


class Metric(Config):
    """A value with its 95 % interval over signals."""

    value: float
    low: float
    high: float
    unit: str


class Rate(Config):
    """Metrics of decoding the first `codes` of the K codes of each cell."""

    codes: int
    metrics: dict[str, Metric]


class Theory(Config):
    """Predicted size of the payload of files, everything but headers: `bits` in total, under `model`.

    `gap` is the percentage of it, or of one bit if codes cost nothing, by which the actual payload is larger.
    """

    bits: float
    model: str
    gap: float


class FileFormat(Config):
    """Sizes and quality of `signals` signals written in one file format.

    `name` is the format and `setting` its options. `bytes` is the total size of the files with headers; only our own
    files have `overhead_bytes` and `theory`. `metrics` compare the decoded files with the originals. `matches`
    lists our settings for which this is the setting of its format with the nearest rate that is not lower.
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


class Measures(Config):
    """Measures of the models on one split: the part of an evaluation that depends on the medium.

    `rates` has one entry for each rate, from the lowest; it is empty for a model with a single rate. `baselines` are
    those of k-means on log-mels, without a network. `left_out` gives the reason for each metric that is not measured.
    """

    signals: int
    metrics: dict[str, Metric]
    rates: tuple[Rate, ...] = ()
    baselines: tuple[Rate, ...] = ()
    left_out: dict[str, str] = Field(default_factory=dict)


class Evaluation(Measures):
    """Content of the file of an evaluation.

    `search` found the codes that were measured; `files` is empty unless file formats were requested.
    """

    recipe: str
    split: Split
    seed: int
    commit: str
    machine: str
    search: Search = Search()
    files: tuple[FileFormat, ...] = ()


def metric(interval: tuple[float, float, float], unit: str) -> Metric:
    """A metric from its value and the ends of its interval (value, low, high)."""
    value, low, high = interval
    return Metric(value=value, low=low, high=high, unit=unit)


def exactly(value: float, unit: str) -> Metric:
    """A metric without an interval, for a value that is not a statistic over signals."""
    return metric((value, value, value), unit)


def read_evaluation(run: Run) -> Evaluation:
    """The last evaluation of the whole test split. Raises UsageError if there is none, ModelError if it is damaged."""
    try:
        text = run.evaluation_path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{run.folder} has no evaluation of its whole test split; run {command('evaluate', run.folder)} first."
        ) from error
    try:
        evaluation: Evaluation = validate_json(Evaluation, text, place=str(run.evaluation_path))
    except RecipeError as error:
        raise ModelError(f"{error} Run {command('evaluate', run.folder)} again.") from error
    return evaluation
