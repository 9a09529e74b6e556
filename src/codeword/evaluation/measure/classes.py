"""Measures of reconstructions and samples by a judge: a fixed classifier of the classes of the data."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from codeword.config import EvaluationConfig
from codeword.data import Dataset, evaluation_batches
from codeword.errors import UnsupportedError, UsageError
from codeword.evaluation.measure.features import frechet_distance, within
from codeword.evaluation.measure.intervals import resampled_interval, share_metric
from codeword.evaluation.measure.searching import analyse
from codeword.evaluation.results import Metric, metric
from codeword.evaluation.samples import draw_signals
from codeword.nn.classifier import Classifier
from codeword.pretrained import JUDGE, pretrained_folder
from codeword.priors import Prior, seeded
from codeword.store import RECIPE_FILE
from codeword.tokenizer import Tokenizer
from codeword.training.run import Run


def open_judge(place: str | Path | None, data: Dataset, *, values: int) -> Classifier | None:
    """The classifier at `place`, its folder or a run with `perception`; by default that in the package, if it fits.

    Raises:
        UsageError: the classifier at `place` is not for signals and classes as those of the data.
        ModelError: there is no classifier.
    """
    folder = pretrained_folder(JUDGE) if place is None else Path(place)
    judge = Classifier.from_pretrained(Run(folder).perception_path if (folder / RECIPE_FILE).is_file() else folder)
    channels, *size = data.shape
    config = judge.config
    if (config.classes, config.ndim, config.channels, config.values) == (data.classes, len(size), channels, values):
        return judge
    if place is None:
        return None
    raise UsageError(
        f"The judge at {place} tells {len(config.classes)} classes that are not those of the data; train one on this "
        f"data, by a recipe with perception.kind = 'classes'."
    )


@torch.no_grad()
def measure_by_judge(
    judge: Classifier,
    tokenizer: Tokenizer,
    prior: Prior,
    data: Dataset,
    config: EvaluationConfig,
    *,
    codes: Tensor | None = None,
    progress: Callable[[int, int], None],
) -> tuple[dict[str, Metric], dict[str, str]]:
    """Measures of the reconstructions of a split, and of as many samples; the reasons of those left out.

    If the prior has classes, the samples are of those of the originals, and there are also samples under
    `config.guidance`. Reconstructions are of `codes` (N, *G, K), by default the encoder's.
    """
    judge = judge.to(tokenizer.device)
    draws = {"samples": (1.0, seeded(0))}
    if prior.classes:
        draws["samples_guided"] = (config.guidance, seeded(0))
    embedded, right = defaultdict[str, list[Tensor]](list), defaultdict[str, list[Tensor]](list)
    left_out: dict[str, str] = {}
    total, done = min(len(data), config.limit or len(data)), 0
    for batch in evaluation_batches(data, config.batch_size, limit=config.limit):
        x, label = batch.x.to(tokenizer.device), batch.label.to(tokenizer.device)
        size, known = tuple(x.shape[2:]), label if prior.classes else None
        analysis = analyse(tokenizer, x, None if codes is None else codes[done : done + len(x)])
        signals = {"original": x, "reconstruction": tokenizer.likelihood.mean(analysis.features).round()}
        try:
            for name, (weight, generator) in draws.items():
                signals[name] = draw_signals(
                    tokenizer, prior, size, len(x), label=known, guidance=weight, generator=generator
                )
        except UnsupportedError as error:  # There are no codes to draw.
            left_out["frechet_samples"] = str(error)
        for name, shown in signals.items():
            features = judge.embed(shown)
            embedded[name].append(features.cpu())
            right[name].append((judge.finish(features).argmax(1) == label).cpu())
        done += len(x)
        progress(done, total)
    if not prior.classes:
        right.pop("samples", None)
    metrics = {
        f"accuracy_{name}": share_metric(torch.cat(found), "% read as their class") for name, found in right.items()
    }
    sets = {name: torch.cat(found) for name, found in embedded.items()}
    original = sets.pop("original")
    metrics |= {f"frechet_{name}": _distance(found, original) for name, found in sets.items()}
    if (samples := sets.get("samples")) is not None:
        precise, recalled = within(samples, original), within(original, samples)
        metrics["precision_samples"] = share_metric(precise, "fraction of samples among originals", whole=1)
        metrics["recall_samples"] = share_metric(recalled, "fraction of originals among samples", whole=1)
    return metrics, left_out


def _distance(features: Tensor, reference: Tensor) -> Metric:
    """The Fréchet distance of two equally large sets of features (N, D)."""
    interval = resampled_interval(lambda rows: frechet_distance(features[rows], reference[rows]), len(features))
    return metric(interval, "squared distance in the judge's features")
