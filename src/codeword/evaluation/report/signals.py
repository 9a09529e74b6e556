"""Signals of any medium that a report shows: statistics of their codes, and samples from the prior."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from codeword.data.base import Split
from codeword.evaluation.samples import draw_signals
from codeword.priors import Prior, seeded
from codeword.tokenizer import Tokenizer


@dataclass(frozen=True)
class ReportSignals:
    """The models of a run, statistics of the codes of a split, and samples.

    `counts` are the K histograms over the codes of the first `counted` signals of `split`. `code_summary` is a sentence
    that compares the size of the codes with the size of the signals. `samples` (M, C, *S) are decoded samples from the
    prior with `seed`, and `samples_by_class` (classes, n, C, *S) those conditioned on each of `class_names`.
    """

    tokenizer: Tokenizer
    prior: Prior
    split: Split
    counts: list[Tensor]
    counted: int
    code_summary: str
    seed: int
    samples: Tensor
    samples_by_class: Tensor
    class_names: tuple[str, ...]

    @property
    def sampling(self) -> str:
        """Note for the captions of samples."""
        return f"Temperature 1, seed {self.seed}; the samples are not selected."


def draw_samples(
    tokenizer: Tokenizer,
    prior: Prior,
    size: tuple[int, ...],
    *,
    count: int,
    classes: int,
    per_class: int,
    condition_decoder: bool,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Decode codes drawn from the prior: `count` unconditional signals of `size` (count, C, *S), and `per_class`
    signals of each of the first `classes` classes (classes, per_class, C, *S).

    With `condition_decoder` the decoder is also conditioned on the class.
    """
    draw = partial(draw_signals, tokenizer, prior, size, generator=seeded(seed))
    samples = draw(count)
    if not classes:
        return samples, samples[None, :0]
    label = torch.arange(classes).repeat_interleave(per_class)
    by_class = draw(len(label), label=label, condition_decoder=condition_decoder)
    return samples, by_class.unflatten(0, (classes, per_class))
