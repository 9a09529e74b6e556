"""The report's table of results: each metric in words, with its interval, beside what others published."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import floor, log10

from codeword.config import Cifar10Config, DataConfig
from codeword.evaluation.metrics import Evaluation, Metric

_TITLES = {
    "total_bpd": "Total bits per dimension",
    "pixel_bpd": "– the signal, given its codes",
    "code_bpd": "– the codes, under the prior",
    "bits_per_code": "Bits per code",
    "bits_per_code_given_label": "Bits per code, the class told",
    "usage": "Codebook usage",
    "perplexity": "Perplexity of the codes",
    "mse": "Mean squared error",
    "mse_over_variance": "Squared error over data variance",
    "psnr_db": "Peak signal-to-noise ratio",
    "ssim": "Structural similarity",
    "mse_plus_vq_loss": "Squared error plus VQ loss",
    "bernoulli_proxy_bits": "Bernoulli proxy (not a likelihood)",
}
_HIGHLIGHTED = "total_bpd"


@dataclass(frozen=True)
class Reference:
    """A published figure for one metric on CIFAR-10, as its source gives it."""

    metric: str
    figure: str
    source: str


_CIFAR10_REFERENCES = (
    Reference("total_bpd", "4.67", "VQ-VAE (van den Oord 2017)"),
    Reference("total_bpd", "4.51", "their continuous VAE"),
    Reference("total_bpd", "5.87", "PNG"),
    Reference("total_bpd", "4.61", "WebP, lossless"),
    Reference("mse_over_variance", "0.056", "Sonnet's example, on train"),
    Reference("perplexity", "326–330", "Sonnet's example, training batches"),
    Reference("mse_plus_vq_loss", "0.0173", "student report, train"),
    Reference("mse_plus_vq_loss", "0.0179", "student report, validation"),
    Reference("bernoulli_proxy_bits", "0.8092", "student report, which calls it “bpd”"),
)


@dataclass(frozen=True)
class Row:
    """One line of the table, as it is printed."""

    name: str
    title: str
    value: str
    interval: str
    unit: str
    references: tuple[Reference, ...]
    highlighted: bool


def result_rows(evaluation: Evaluation, data: DataConfig) -> Iterator[Row]:
    """The metrics in reading order; one that has no title yet comes last, under its own name."""
    published = _CIFAR10_REFERENCES if isinstance(data, Cifar10Config) else ()
    known = [name for name in _TITLES if name in evaluation.metrics]
    for name in known + sorted(evaluation.metrics.keys() - _TITLES.keys()):
        metric = evaluation.metrics[name]
        places = _decimal_places(metric)
        yield Row(
            name=name,
            title=_TITLES.get(name, name),
            value=f"{metric.value:.{places}f}",
            interval=f"{metric.low:.{places}f} – {metric.high:.{places}f}",
            unit=metric.unit,
            references=tuple(reference for reference in published if reference.metric == name),
            highlighted=name == _HIGHLIGHTED,
        )


def _decimal_places(metric: Metric) -> int:
    """As many as the interval's half-width needs for two digits; without a width, four digits of the value."""
    half_width = (metric.high - metric.low) / 2
    digits, scale = (2, half_width) if half_width > 0 else (4, abs(metric.value))
    return min(max(digits - 1 - floor(log10(scale)), 0), 8) if scale > 0 else 1
