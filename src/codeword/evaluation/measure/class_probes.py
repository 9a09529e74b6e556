"""Linear probes of classes: what the codes of a signal tell of its class, next to what its values tell."""

from collections.abc import Callable
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from codeword.config import EvaluationConfig
from codeword.data import Dataset, evaluation_batches
from codeword.evaluation.measure.intervals import mean_metric, share_metric
from codeword.evaluation.measure.probe import RidgeProbe, ridge_probes
from codeword.evaluation.results import Metric
from codeword.tokenizer import Tokenizer

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Penalties of ridge regression, of which the validation split chooses."""
SHOTS, DRAWS = 10, 10
"""Training signals of each class for a probe of few signals, and the number of such probes."""
MOST_NUMBERS = 8192
"""Numbers of a signal; a probe of more takes too long."""


class Splits(NamedTuple):
    """A probe learns on `train`, `valid` chooses its penalty, and `measured` gives its accuracy."""

    train: Dataset
    valid: Dataset
    measured: Dataset


class Labelled(NamedTuple):
    """Features (N, D) of the signals of a split, and their labels (N,)."""

    features: Tensor
    labels: Tensor

    def right(self, probe: RidgeProbe) -> Tensor:
        """True for each label that the probe predicts (N,)."""
        return probe.predict(self.features) == self.labels


def measure_probes(
    tokenizer: Tokenizer, splits: Splits, config: EvaluationConfig
) -> tuple[dict[str, Metric], dict[str, str]]:
    """Accuracies of ridge regression from all codes of a signal, and from its values; the reasons of those left out.

    The features of codes are their vectors in all cells. A linear function of these is one of the one-hot codes, too.
    A VAE has its latents instead.
    """
    shape, classes = splits.train.shape, len(splits.train.classes)
    views: dict[str, tuple[int, Callable[[Tensor], Tensor]]] = {
        "": (
            prod(tokenizer.grid(shape[1:])) * tokenizer.quantizer.dim,
            lambda x: tokenizer.analyse(x).quantized.vectors,
        ),
        "_pixels": (prod(shape), tokenizer.likelihood.centred),
    }
    metrics: dict[str, Metric] = {}
    left_out: dict[str, str] = {}
    for suffix, (numbers, view) in views.items():
        if numbers > MOST_NUMBERS:
            reason = f"A linear probe takes at most {MOST_NUMBERS:,} numbers of a signal, and there are {numbers:,}."
            left_out[f"probe_accuracy{suffix}"] = reason
            continue
        train, valid, measured = (gather(split, view, tokenizer.device, config) for split in splits)
        (right,) = _right([train], valid, measured, classes=classes)
        metrics[f"probe_accuracy{suffix}"] = share_metric(right, "% of signals")
        if few := few_of_each(train, classes=classes):
            accuracies = 100 * _right(few, valid, measured, classes=classes).double().mean(1)
            unit = f"% of signals, over {DRAWS} draws of {SHOTS} a class"
            metrics[f"probe_accuracy_{SHOTS}_shot{suffix}"] = mean_metric(accuracies, unit)
    return metrics, left_out


@torch.no_grad()
def gather(
    split: Dataset, view: Callable[[Tensor], Tensor], device: torch.device, config: EvaluationConfig
) -> Labelled:
    """The features `view(x)`, flattened, of the signals of a split, without augmentation."""
    features, labels = [], []
    for batch in evaluation_batches(split, config.batch_size, limit=config.limit):
        features.append(view(batch.x.to(device)).flatten(1).float().cpu())
        labels.append(batch.label)
    return Labelled(torch.cat(features), torch.cat(labels))


def few_of_each(train: Labelled, *, classes: int) -> list[Labelled]:
    """`DRAWS` times `SHOTS` signals of each class; none if a class has fewer."""
    generator = torch.Generator().manual_seed(0)
    drawn: list[Labelled] = []
    if int(train.labels.bincount(minlength=classes).min()) >= SHOTS:
        for _ in range(DRAWS):
            order = torch.randperm(len(train.labels), generator=generator)
            rows = torch.cat([order[train.labels[order] == label][:SHOTS] for label in range(classes)])
            drawn.append(Labelled(train.features[rows], train.labels[rows]))
    return drawn


def _right(draws: list[Labelled], valid: Labelled, measured: Labelled, *, classes: int) -> Tensor:
    """`Labelled.right` of a probe of each draw on `measured` (draws, N), with the penalty that is best on `valid`."""
    of_draws = [ridge_probes(*draw, classes=classes, penalties=PENALTIES) for draw in draws]
    on_valid = torch.stack(
        [torch.stack([valid.right(probe).double().mean() for probe in probes]) for probes in of_draws]
    )
    best = int(on_valid.mean(0).argmax())
    return torch.stack([measured.right(probes[best]) for probes in of_draws])
