"""The training of a classifier of signals, on data with classes."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.config import ClassesConfig, ClassifierConfig
from codeword.data import Batch, Dataset
from codeword.data.augment import shift
from codeword.errors import DataError
from codeword.nn.classifier import Classifier
from codeword.training.tasks import Task


class ClassTask(Task[Classifier]):
    """Cross-entropy of the class of each signal, which is moved at random."""

    part = "perception"

    def __init__(self, network: Classifier, config: ClassesConfig) -> None:
        self.module, self.config = network, config

    def loss(
        self, module: nn.Module, batch: Batch, *, step: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        logits = module(shift(batch.x, self.config.shift, generator=generator)).float()
        return F.cross_entropy(logits, batch.label, label_smoothing=self.config.label_smoothing), {}

    @torch.no_grad()
    def evaluate(self, module: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        signals, nats, right = 0, 0.0, 0
        for batch in batches:
            logits = module(batch.x).float()
            signals += len(batch.x)
            nats += float(F.cross_entropy(logits, batch.label, reduction="sum"))
            right += int((logits.argmax(1) == batch.label).sum())
        return {"loss": nats / signals, "accuracy": right / signals}


def build_classifier(config: ClassesConfig, train: Dataset, *, values: int) -> Classifier:
    """An untrained classifier of signals with `values` values, for the classes of the training split.

    Raises:
        DataError: the data has fewer than two classes.
    """
    if len(train.classes) <= 1:
        raise DataError(
            f"A perceptual loss of classes needs data of two classes or more, not {len(train.classes)}; sort the files "
            f"into a folder for each class, or leave perception out."
        )
    channels, *size = train.shape
    return Classifier(
        ClassifierConfig(
            architecture=config,
            ndim=len(size),
            channels=channels,
            values=values,
            # Only recordings have one.
            sample_rate=getattr(train, "sample_rate", None),
            classes=train.classes,
        )
    )
