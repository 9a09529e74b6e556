"""Measure a tokenizer and its prior on whole recordings, at every rate that the tokenizer serves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log, log2, nan

import torch
from torch import Tensor

from codeword.config import EvaluationConfig
from codeword.data.recordings import Recordings
from codeword.evaluation.measure import distances, judges
from codeword.evaluation.measure.baseline import KMeansBaseline
from codeword.evaluation.measure.intervals import mean_interval, resampled_interval
from codeword.evaluation.measure.phones import measure_phonemes
from codeword.evaluation.measure.voices import measure_conversions
from codeword.evaluation.results import Measured, Metric, Rate, metric
from codeword.media.audio import dequantise
from codeword.priors import Prior
from codeword.quantizers.usage import entropy_bits, histogram
from codeword.tokenizer import Tokenizer

BASELINE_RATE_HZ = 50

# Name, unit; all of them means over recordings.
_FIGURES = {
    "stoi": "1 is equal",
    "pesq_wb": "MOS-LQO, 1.04 to 4.64",
    "log_mel_distance": "Np, mean over bands and frames",
    "stft_distance": "convergence + Np, mean of three windows",
    "si_sdr_db": "dB",
    "energy_ratio": "power over the original's",
    "clipped_samples": "samples a recording",
    "waveform_mse": "values in [-1, 1]",
}


@dataclass(frozen=True)
class Heard:
    """One recording and what became of it: its codes (G, K), and the figures of each number of codes decoded."""

    codes: Tensor
    samples: int
    seconds: float
    code_bits: float
    signal_bits: float
    silence_mse: float
    rates: dict[int, dict[str, float]]
    baselines: dict[int, dict[str, float]]


def measure_recordings(
    tokenizer: Tokenizer,
    prior: Prior,
    data: Recordings,
    train: Recordings,
    config: EvaluationConfig,
    *,
    progress: Callable[[int, int], None],
) -> Measured:
    """Measure a split of recordings; `train` fits what the figures are compared with, and knows the speakers."""
    left_out = {name: why for name, why in judges.missing_judges().items() if name != "conversion_success"}
    if tokenizer.likelihood.sequential:
        why = "this decoder draws one sample after another; `codeword reconstruct` lets it speak"
        left_out |= dict.fromkeys(("per", *_FIGURES), why)
    baseline = None
    if config.baselines and not tokenizer.likelihood.sequential:
        if _cells_per_second(tokenizer) == BASELINE_RATE_HZ:
            baseline = fit_baseline(tokenizer, train)
        else:
            left_out["baselines"] = f"the k-means codec has {BASELINE_RATE_HZ} cells a second, this model another rate"
    count = min(len(data.recordings), config.limit or len(data.recordings))
    heard = []
    for i in range(count):
        heard.append(listen(tokenizer, prior, data, i, baseline=baseline, left_out=left_out))
        progress(i + 1, count)
    rates = [Rate(codes=k, metrics=_rate_metrics(heard, tokenizer, k)) for k in tokenizer.quantizer.served_codes]
    metrics = rates[-1].metrics | _whole_metrics(heard)
    phonemes, why_not = measure_phonemes(tokenizer, data, train, count=count)
    metrics |= phonemes
    left_out |= why_not
    if not tokenizer.likelihood.sequential:
        conversions, why_not = measure_conversions(tokenizer, data, train, count=count)
        left_out |= why_not
        rates = [Rate(codes=r.codes, metrics=r.metrics | conversions.get(r.codes, {})) for r in rates]
        metrics |= conversions.get(rates[-1].codes, {})
    return Measured(
        signals=count,
        metrics=metrics,
        rates=tuple(rates) if len(rates) > 1 else (),
        baselines=tuple(
            Rate(codes=k, metrics=sound_metrics([h.baselines[k] for h in heard]))
            for k in (tokenizer.quantizer.served_codes if baseline else ())
        ),
        left_out=left_out,
    )


def fit_baseline(tokenizer: Tokenizer, train: Recordings) -> KMeansBaseline:
    """The codec without a network that has the tokenizer's codebook sizes, fitted to all of `train`."""
    sample_rate, values = tokenizer.config.sample_rate, tokenizer.config.values
    assert sample_rate is not None
    waves = [dequantise(train.read(i)[0], values) for i in range(len(train.recordings))]
    generator = torch.Generator().manual_seed(0)
    return KMeansBaseline.fit(waves, tokenizer.quantizer.codebook_sizes, sample_rate=sample_rate, generator=generator)


@torch.no_grad()
def listen(
    tokenizer: Tokenizer,
    prior: Prior,
    data: Recordings,
    i: int,
    *,
    baseline: KMeansBaseline | None,
    left_out: dict[str, str],
) -> Heard:
    """Code recording `i`, decode it at every rate, and compare."""
    device = next(tokenizer.parameters()).device
    x, label = data.read(i)[None].to(device), torch.tensor([data.label(i)], device=device)
    samples, values = x.shape[-1], tokenizer.config.values
    sample_rate = tokenizer.config.sample_rate
    assert sample_rate is not None
    analysis = tokenizer.analyse(x, label)
    codes = analysis.quantized.codes
    original = dequantise(x[0, 0].cpu(), values)
    phones = None if "per" in left_out else judges.recognise(original, sample_rate=sample_rate)

    def compared(wave: Tensor) -> dict[str, float]:
        return compare(wave, original, phones, sample_rate=sample_rate, left_out=left_out)

    rates, baselines = {}, {}
    if not tokenizer.likelihood.sequential:
        for k in tokenizer.quantizer.served_codes:
            decoded = tokenizer.decode(codes[..., :k], label, size=(samples,))
            rates[k] = compared(dequantise(decoded[0, 0].cpu(), values))
    if baseline is not None:
        simple = baseline.encode(original)
        for k in tokenizer.quantizer.served_codes:
            baselines[k] = compared(baseline.decode(simple[:, :k], length=samples))
    return Heard(
        codes=codes[0].cpu(),
        samples=samples,
        seconds=samples / sample_rate,
        code_bits=-float(prior.log_prob(codes)) / log(2),
        signal_bits=-float(tokenizer.likelihood.log_prob(analysis.features, x)) / log(2),
        silence_mse=distances.silence_mse(original),
        rates=rates,
        baselines=baselines,
    )


def compare(
    wave: Tensor, original: Tensor, phones: Sequence[str] | None, *, sample_rate: int, left_out: dict[str, str]
) -> dict[str, float]:
    """Every figure of a decoded waveform (T,) beside its original, in which `phones` were recognised."""
    figures = {
        "log_mel_distance": distances.log_mel_distance(wave, original, sample_rate=sample_rate),
        "stft_distance": distances.stft_distance(wave, original, sample_rate=sample_rate),
        "si_sdr_db": distances.si_sdr_db(wave, original),
        "energy_ratio": distances.energy_ratio(wave, original),
        "clipped_samples": float(distances.clipped_samples(wave)),
        "waveform_mse": distances.waveform_mse(wave, original),
    }
    for name, judge in (("stoi", judges.stoi), ("pesq_wb", judges.pesq_wb)):
        if name not in left_out:
            value = judge(wave, original, sample_rate=sample_rate)
            figures[name] = nan if value is None else value
    if phones is not None:
        found = judges.recognise(wave, sample_rate=sample_rate)
        figures |= {"edits": float(judges.edit_distance(found, phones)), "phones": float(len(phones))}
    return figures


def ratio(numerators: Sequence[float], denominators: Sequence[float], unit: str) -> Metric:
    """A ratio of sums over recordings, with its bootstrap interval."""
    above, below = (torch.tensor(numerators, dtype=torch.float64), torch.tensor(denominators, dtype=torch.float64))
    interval = resampled_interval(lambda rows: float(above[rows].sum() / below[rows].sum().clamp(min=1e-9)), len(above))
    return metric(interval, unit)


def _rate_metrics(heard: Sequence[Heard], tokenizer: Tokenizer, k: int) -> dict[str, Metric]:
    """What the first k codes of each cell give and cost."""
    codebook_sizes = tokenizer.quantizer.codebook_sizes[:k]
    counts = [
        torch.stack([histogram(h.codes[:, book], size) for h in heard]) for book, size in enumerate(codebook_sizes)
    ]
    cells, seconds = [len(h.codes) for h in heard], [h.seconds for h in heard]
    cells_a_second = sum(cells) / sum(seconds)
    bits = sum(log2(n) for n in codebook_sizes)

    def over(rows: Tensor, figure: Callable[[Tensor], float]) -> list[float]:
        return [figure(c[rows].sum(0)) for c in counts]

    used = sum(codebook_sizes)
    metrics = {
        "bits_per_second_nominal": ratio([bits * n for n in cells], seconds, "bit/s"),
        "bits_per_second_order0": metric(
            resampled_interval(lambda rows: sum(over(rows, entropy_bits)) * cells_a_second, len(heard)),
            "bit/s, each codebook's own entropy",
        ),
        "usage": metric(
            resampled_interval(lambda rows: sum(over(rows, lambda c: float((c > 0).sum()))) / used, len(heard)),
            "fraction of codewords",
        ),
        "perplexity": metric(
            resampled_interval(lambda rows: 2 ** (sum(over(rows, entropy_bits)) / k), len(heard)),
            "codewords, over the whole split",
        ),
    }
    if k == len(tokenizer.quantizer.codebook_sizes):
        metrics["bits_per_second_prior"] = ratio([h.code_bits for h in heard], seconds, "bit/s under the prior")
    if all(k in h.rates for h in heard):
        metrics |= sound_metrics([h.rates[k] for h in heard])
    return metrics


def sound_metrics(rows: Sequence[dict[str, float]]) -> dict[str, Metric]:
    """What `compare` found of several recordings, as metrics over them."""
    metrics = {}
    if all("edits" in row for row in rows):
        metrics["per"] = ratio(
            [100 * row["edits"] for row in rows],
            [row["phones"] for row in rows],
            "% of the phones recognised in the original",
        )
    for name, unit in _FIGURES.items():
        values = torch.tensor([row.get(name, nan) for row in rows], dtype=torch.float64)
        if bool((~values.isnan()).any()):
            metrics[name] = metric(mean_interval(values[~values.isnan()]), unit)
    return metrics


def _whole_metrics(heard: Sequence[Heard]) -> dict[str, Metric]:
    """What does not depend on the rate."""
    samples = [float(h.samples) for h in heard]
    return {
        "silence_mse": metric(mean_interval(torch.tensor([h.silence_mse for h in heard])), "values in [-1, 1]"),
        "bits_per_sample": ratio([h.code_bits + h.signal_bits for h in heard], samples, "bit/sample, codes and signal"),
        "signal_bits_per_sample": ratio(
            [h.signal_bits for h in heard], samples, "bit/sample, the signal given its codes"
        ),
    }


def _cells_per_second(tokenizer: Tokenizer) -> float:
    assert tokenizer.config.sample_rate is not None
    return tokenizer.config.sample_rate / tokenizer.hop
