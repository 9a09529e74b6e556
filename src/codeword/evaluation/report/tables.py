"""Tables of results: the title of each metric, its value with the interval, and published figures."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import floor, log10

from codeword.config import DataConfig
from codeword.evaluation.report.published import CODECS, FIGURES, PublishedCodec, PublishedFigure
from codeword.evaluation.results import Evaluation, Metric, Rate

_TITLES = {
    "per": "Phone error rate",
    "per_original": "– of the original recordings",
    "stoi": "Intelligibility (STOI)",
    "pesq_wb": "Perceived quality (PESQ, wide band)",
    "log_mel_distance": "Log-mel distance",
    "stft_distance": "Distance of spectra, several resolutions",
    "si_sdr_db": "Signal-to-distortion ratio (SI-SDR)",
    "energy_ratio": "Power over the original's",
    "clipped_samples": "Samples clipped",
    "waveform_mse": "Squared error of the waveform",
    "silence_mse": "– of silence in its place",
    "bits_per_second_nominal": "Bit rate, if every codeword is equally likely",
    "bits_per_second_order0": "– by how often each codeword occurs",
    "bits_per_second_prior": "– under the prior",
    "bits_per_sample": "Total bits per sample",
    "signal_bits_per_sample": "– the signal, given its codes",
    "phoneme_accuracy": "Phoneme accuracy of the codes",
    "phoneme_accuracy_kmeans": "– of k-means codes",
    "phoneme_accuracy_kmeans_cepstra": "– of k-means codes of cepstra",
    "phoneme_chance": "– of the most frequent phone",
    "phoneme_probe_accuracy": "– of a linear probe, code and neighbours",
    "phoneme_accuracy_with_silence": "Phoneme accuracy, silence counted too",
    "phoneme_accuracy_kmeans_with_silence": "– of k-means codes",
    "phoneme_chance_with_silence": "– of the most frequent phone",
    "phoneme_nmi": "Mutual information of codes and phones, normalised",
    "conversion_success": "Conversions nearer to the target's voice",
    "conversion_margin": "– by how much",
    "conversion_per": "Phone error rate of conversions",
    "speaker_probe_accuracy": "Speaker predicted from the codes alone",
    "total_bpd": "Total bits per dimension",
    "pixel_bpd": "– the signal, given its codes",
    "code_bpd": "– the codes, under the prior",
    "bits_per_code": "Bits per code",
    "bits_per_code_given_label": "Bits per code, conditioned on the class",
    "usage": "Codebook usage",
    "perplexity": "Perplexity of the codes",
    "mse": "Mean squared error",
    "mse_over_variance": "Squared error over data variance",
    "psnr_db": "Peak signal-to-noise ratio",
    "ssim": "Structural similarity",
    "mse_plus_vq_loss": "Squared error plus VQ loss",
    "bernoulli_proxy_bits": "Bernoulli proxy (not a likelihood)",
}
_HIGHLIGHTED = ("total_bpd", "per")

_RATE_COLUMNS = {
    "per": "PER, %",
    "stoi": "STOI",
    "pesq_wb": "PESQ",
    "log_mel_distance": "Log-mel, Np",
    "stft_distance": "Spectra",
    "conversion_success": "Converted, %",
    "conversion_per": "PER converted, %",
}


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
    """The metrics in reading order; those without a title come last, under their own names."""
    published = FIGURES.get(data.kind, ())
    known = [name for name in _TITLES if name in evaluation.metrics]
    for name in known + sorted(evaluation.metrics.keys() - _TITLES.keys()):
        metric = evaluation.metrics[name]
        value, interval = _printed(metric)
        yield Row(
            name=name,
            title=_TITLES.get(name, name),
            value=value,
            interval=interval,
            unit=metric.unit,
            references=tuple(reference for reference in published if reference.metric == name),
            highlighted=name in _HIGHLIGHTED,
        )


@dataclass(frozen=True)
class RateRow:
    """One codec at one rate; `figures` are values with their intervals, empty for unknown ones."""

    codes: int
    bits_per_second: str
    baseline: bool
    figures: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class RateTable:
    """Metrics of a model at each rate that it serves, above those of the k-means codec at the same rate."""

    columns: tuple[str, ...]
    rows: tuple[RateRow, ...]


def served_rates(evaluation: Evaluation) -> tuple[Rate, ...]:
    """The rates of a model, from the lowest; of a model with one rate, that one if there is a baseline."""
    if evaluation.rates:
        return evaluation.rates
    return tuple(Rate(codes=rate.codes, metrics=evaluation.metrics) for rate in evaluation.baselines[-1:])


def rate_table(evaluation: Evaluation) -> RateTable:
    """For each rate, the model and then its baseline; a column for each figure that is known for some rate."""
    rates = served_rates(evaluation)
    names = [name for name in _RATE_COLUMNS if any(name in rate.metrics for rate in rates)]
    baselines = {rate.codes: rate for rate in evaluation.baselines}
    rows = []
    for ours in rates:
        speed = f"{ours.metrics['bits_per_second_nominal'].value:,.0f}"
        for rate in (ours, baselines.get(ours.codes)):
            if rate is not None:
                figures = tuple(_printed(rate.metrics[n]) if n in rate.metrics else ("", "") for n in names)
                rows.append(RateRow(rate.codes, speed, rate is not ours, figures))
    return RateTable(tuple(_RATE_COLUMNS[name] for name in names), tuple(rows))


def other_codecs(data: DataConfig) -> tuple[PublishedCodec, ...]:
    """Codecs measured on recordings like these."""
    return CODECS.get(data.kind, ())


def reasons(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Names of the figures left out, and the reason; figures with the same reason are one entry."""
    together: dict[str, list[str]] = {}
    for name, why in evaluation.left_out.items():
        together.setdefault(why, []).append(name)
    return [(", ".join(names), why) for why, names in together.items()]


def _printed(metric: Metric) -> tuple[str, str]:
    """The value and its interval, with true minus signs: a hyphen next to a dash is hard to read."""
    places = _decimal_places(metric)
    value, low, high = (f"{number:.{places}f}".replace("-", "−") for number in (metric.value, metric.low, metric.high))
    return value, f"{low} – {high}"


def _decimal_places(metric: Metric) -> int:
    """Enough decimal places for two digits of the interval's half-width; if that is 0, for four digits of the value."""
    half_width = (metric.high - metric.low) / 2
    digits, scale = (2, half_width) if half_width > 0 else (4, abs(metric.value))
    return min(max(digits - 1 - floor(log10(scale)), 0), 8) if scale > 0 else 1
