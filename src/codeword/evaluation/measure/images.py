"""Measures of signals of one size: distortion, codebook usage, and bits per dimension."""

from collections.abc import Callable
from math import log
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.config import EvaluationConfig
from codeword.data import Dataset, evaluation_batches
from codeword.evaluation.measure.intervals import mean_metric, resampled_intervals
from codeword.evaluation.measure.searching import OF_THE_ENCODER, analyse
from codeword.evaluation.results import Measures, Metric, metric
from codeword.priors import Prior
from codeword.quantizers import CodeUsage, Quantized
from codeword.tokenizer import Tokenizer


def measure_signals(
    tokenizer: Tokenizer,
    prior: Prior,
    data: Dataset,
    train: Dataset,
    config: EvaluationConfig,
    *,
    codes: Tensor | None = None,
    no_codes: Tokenizer | None = None,
    progress: Callable[[int, int], None],
) -> Measures:
    """Measure a split of signals of one size; `mse_over_variance` uses the variance of `train`.

    With `codes` (N, *G, K) of its N signals, these are measured and not the encoder's own.

    `no_codes_bpd` are the bits under the tokenizer `no_codes`, and `codes_save_bpd` is that less `total_bpd`.
    """
    total = min(len(data), config.limit or len(data))
    rows: list[dict[str, Tensor]] = []
    done = 0
    for batch in evaluation_batches(data, config.batch_size, limit=config.limit):
        on_device = batch.to(tokenizer.device)
        found = None if codes is None else codes[done : done + len(batch.x)]
        measures = measure(tokenizer, prior, on_device.x, on_device.label, found)
        if no_codes is not None:
            measures["no_codes_bits"] = -no_codes.log_prob(on_device.x) / log(2)
        rows.append({name: values.cpu() for name, values in measures.items()})
        done += len(batch.x)
        progress(done, total)
    columns = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    variance = signal_variance(train, values=tokenizer.config.values)
    return Measures(
        signals=done,
        metrics=_summarise(columns, tokenizer.quantizer.codebook_sizes, variance),
        left_out={} if codes is None else {"mse_plus_vq_loss": OF_THE_ENCODER},
    )


@torch.no_grad()
def measure(
    tokenizer: Tokenizer, prior: Prior, x: Tensor, label: Tensor, found: Tensor | None = None
) -> dict[str, Tensor]:
    """Measures of each signal of x (B, C, *S): vectors (B,) by name, and `codes` (B, cells * K).

    `code_bits_given_label` is only present with a class-conditional prior, `ssim` only for images, and
    `mse_plus_vq_loss` only without codes `found` (B, *G, K), which are measured in the place of the encoder's own.
    """
    analysis = analyse(tokenizer, x, found)
    likelihood, codes = tokenizer.likelihood, analysis.quantized.codes
    intensity, target = (v / (likelihood.values - 1) for v in (likelihood.mean(analysis.features), x.float()))
    mse = (intensity - target).square().flatten(1).mean(1)
    # "bpd" of Kalal, Karuturi and Budireddy 2024, "VQVAE - Images & Audio" (course report): cross-entropy with
    # the intensities as Bernoulli probabilities.
    proxy = F.binary_cross_entropy(intensity.clamp(1e-6, 1 - 1e-6), target, reduction="none")
    measures = {
        "mse": mse,
        "psnr_db": -10 * torch.log10(mse.clamp(min=1e-10)),
        "bernoulli_proxy_bits": proxy.flatten(1).mean(1) / log(2),
        "code_bits": _code_nats(analysis.quantized, prior) / log(2),
        "signal_bits": -likelihood.log_prob(analysis.features, x) / log(2),
        "dims": torch.full((len(x),), float(x[0].numel())),
        "symbols": torch.full((len(x),), float(codes[0].numel())),
        "codes": codes.flatten(1),
    }
    if found is None:
        measures["mse_plus_vq_loss"] = mse + analysis.quantized.loss.flatten(1).mean(1)
    if prior.classes:
        measures["code_bits_given_label"] = _code_nats(analysis.quantized, prior, label) / log(2)
    if x.ndim == 4 and not tokenizer.config.holds_tokens:
        measures["ssim"] = _ssim(intensity, target)
    return measures


def _code_nats(quantized: Quantized, prior: Prior, label: Tensor | None = None) -> Tensor:
    """Cost of the codes of each signal, and of its vectors if they cost more than these, in nats (B,)."""
    nats = -prior.log_prob(quantized.codes, label)
    return nats if quantized.nats is None else nats + quantized.nats.flatten(1).sum(1)


def signal_variance(data: Dataset, *, values: int) -> float:
    """Variance of all values of a split, integers in [0, values), scaled to [0, 1]."""
    count, total, squares = 0, 0.0, 0.0
    for batch in evaluation_batches(data, 1000):
        signal = batch.x.double() / (values - 1)
        count += signal.numel()
        total += float(signal.sum())
        squares += float(signal.square().sum())
    return squares / count - (total / count) ** 2


def _ssim(image: Tensor, target: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004) of each image (B,)."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    value: Any = structural_similarity_index_measure(image, target, data_range=1.0, reduction="none")
    return torch.as_tensor(value)


def _summarise(columns: dict[str, Tensor], codebook_sizes: tuple[int, ...], variance: float) -> dict[str, Metric]:
    dims, symbols = columns["dims"], columns["symbols"]
    per_signal = {
        "mse": (columns["mse"], "intensity^2, values span 1"),
        "mse_over_variance": (columns["mse"] / variance, "fraction of the training variance"),
        "psnr_db": (columns["psnr_db"], "dB, mean over signals"),
        "bits_per_code": (columns["code_bits"] / symbols, "bit/code under the prior"),
        "code_bpd": (columns["code_bits"] / dims, "bit/dim"),
        "pixel_bpd": (columns["signal_bits"] / dims, "bit/dim"),
        "total_bpd": ((columns["code_bits"] + columns["signal_bits"]) / dims, "bit/dim"),
        "bernoulli_proxy_bits": (columns["bernoulli_proxy_bits"], "bit, not a likelihood"),
    }
    if "mse_plus_vq_loss" in columns:
        per_signal["mse_plus_vq_loss"] = (columns["mse_plus_vq_loss"], "signal in [-0.5, 0.5]")
    if "no_codes_bits" in columns:
        saved = columns["no_codes_bits"] - columns["code_bits"] - columns["signal_bits"]
        per_signal["no_codes_bpd"] = (columns["no_codes_bits"] / dims, "bit/dim")
        per_signal["codes_save_bpd"] = (saved / dims, "bit/dim")
    if "ssim" in columns:
        per_signal["ssim"] = (columns["ssim"], "1 is equal")
    if "code_bits_given_label" in columns:
        unit = "bit/code under the prior, conditioned on the label"
        per_signal["bits_per_code_given_label"] = (columns["code_bits_given_label"] / symbols, unit)
    metrics = {name: mean_metric(values, unit) for name, (values, unit) in per_signal.items()}
    codes = columns["codes"].view(len(dims), -1, len(codebook_sizes))

    def statistics(rows: Tensor) -> dict[str, float]:
        usage = CodeUsage(codebook_sizes)
        usage.add(codes[rows])
        return {"usage": usage.usage, "perplexity": usage.perplexity}

    intervals = resampled_intervals(statistics, len(dims))
    metrics["usage"] = metric(intervals["usage"], "fraction of codewords")
    metrics["perplexity"] = metric(intervals["perplexity"], "codewords, over the whole split")
    return metrics
