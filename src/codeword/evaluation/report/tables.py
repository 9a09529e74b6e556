"""Tables of results: each metric with its title, value, interval and published figures, as text."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import floor, log10

from codeword.config import DataConfig
from codeword.evaluation.measure.comparison import SCALES
from codeword.evaluation.report.metrics import CODECS, COLUMNS, PUBLISHED, TITLES, PublishedCodec, PublishedFigure
from codeword.evaluation.results import Evaluation, Metric, Rate

_ARROWS = {"higher": "↑", "lower": "↓", "nearer 1": "→ 1"}
_HIGHLIGHTED = ("total_bpd", "per")
_NOMINAL = "bits_per_second_nominal"
_BITS_PER_SECOND = ("bits_per_second_real", "bits_per_second_prior", _NOMINAL)
_RATE_METRICS = (
    *("per", "per_transcript", "stoi", "pesq_wb", "pesq_nb", "speaker_cosine", "dnsmos_overall", "dnsmos_p808"),
    *("energy_ratio", "log_mel_distance", "stft_distance", "conversion_success", "conversion_per"),
)


@dataclass(frozen=True)
class Row:
    """One line of the table, as text."""

    name: str
    title: str
    value: str
    interval: str
    unit: str
    references: tuple[PublishedFigure, ...]
    highlighted: bool


def result_rows(evaluation: Evaluation, data: DataConfig) -> Iterator[Row]:
    """The metrics in reading order; metrics without a title come last, under their own names."""
    titled = [name for name in TITLES if name in evaluation.metrics]
    for name in titled + sorted(evaluation.metrics.keys() - TITLES.keys()):
        metric = evaluation.metrics[name]
        value, interval = _as_text(metric)
        published = tuple(figure for figure in PUBLISHED.get(data.kind, ()) if figure.metric == name)
        yield Row(name, TITLES.get(name, name), value, interval, metric.unit, published, name in _HIGHLIGHTED)


@dataclass(frozen=True)
class RateRow:
    """One codec at one rate; `figures` are pairs of value and interval, empty for metrics that are not measured.

    `bits_per_second` are the rates of real files, under the prior and of equally likely codewords; empty if unknown.
    """

    codes: int
    bits_per_second: tuple[str, str, str]
    baseline: bool
    figures: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class RateTable:
    """Metrics of a model at each rate that it serves, above those of the k-means codec at the same rate."""

    columns: tuple[str, ...]
    rows: tuple[RateRow, ...]


def served_rates(evaluation: Evaluation) -> tuple[Rate, ...]:
    """The rates of a model, from the lowest; of a model with a single rate, that rate if there is a baseline."""
    if evaluation.rates:
        return evaluation.rates
    return tuple(Rate(codes=rate.codes, metrics=evaluation.metrics) for rate in evaluation.baselines[-1:])


def rate_table(evaluation: Evaluation) -> RateTable:
    """For each rate, the model and then its baseline; a column for each metric that is measured at some rate."""
    rates = served_rates(evaluation)
    names = [name for name in _RATE_METRICS if any(name in rate.metrics for rate in rates)]
    baselines = {rate.codes: rate for rate in evaluation.baselines}
    rows = []
    for model_rate in rates:
        for rate in (model_rate, baselines.get(model_rate.codes)):
            if rate is not None:
                figures = tuple(_as_text(rate.metrics[n]) if n in rate.metrics else ("", "") for n in names)
                # The baseline has codebooks of the same sizes, and no files.
                known = rate.metrics | {_NOMINAL: model_rate.metrics[_NOMINAL]}
                real, prior, nominal = (f"{known[n].value:,.0f}" if n in known else "" for n in _BITS_PER_SECOND)
                rows.append(RateRow(rate.codes, (real, prior, nominal), rate is not model_rate, figures))
    return RateTable(tuple(f"{COLUMNS[name]}{_better(name)}" for name in names), tuple(rows))


def _better(name: str) -> str:
    """An arrow to the better values of a metric."""
    return f" {_ARROWS[SCALES[name].better]}" if name in SCALES else ""


def other_codecs(data: DataConfig) -> tuple[PublishedCodec, ...]:
    """Codecs that are measured on recordings of the same kind of data."""
    return CODECS.get(data.kind, ())


def reasons(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Names of the metrics left out, and the reason; metrics with the same reason are one entry."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in evaluation.left_out.items():
        by_reason.setdefault(reason, []).append(name)
    return [(", ".join(names), reason) for reason, names in by_reason.items()]


def _as_text(metric: Metric) -> tuple[str, str]:
    """The value and its interval, with true minus signs: a hyphen next to a dash is hard to read.

    Both have two digits of the interval's half-width; if that is 0, four digits of the value.
    """
    half_width = (metric.high - metric.low) / 2
    digits, scale = (2, half_width) if half_width > 0 else (4, abs(metric.value))
    places = min(max(digits - 1 - floor(log10(scale)), 0), 8) if scale > 0 else 1
    value, low, high = (f"{number:.{places}f}".replace("-", "−") for number in (metric.value, metric.low, metric.high))
    return value, f"{low} – {high}"
