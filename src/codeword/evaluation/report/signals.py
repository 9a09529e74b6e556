"""Signals of any medium that a report shows: a run's models, how they code the first signals, and samples."""

from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.data.base import Split
from codeword.priors import Prior, Sampler, walk
from codeword.tokenizer import Tokenizer

BATCH = 64


@dataclass(frozen=True)
class ReportSignals:
    """A run's models, and what they code and draw.

    `counts` are the K histograms over the codes of the first `counted` signals of `split`; `code_summary` compares the
    size of the codes with the size of the signals. `samples` (M, C, *S) are decoded draws from the prior with `seed`,
    and `samples_by_class` (classes, n, C, *S) those conditioned on each of `class_names`.
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


@dataclass(frozen=True)
class Samples:
    """Samples of `size` to draw: `count` unconditional ones, and `per_class` of each of the first `classes` classes.

    With `condition_decoder` the decoder is also conditioned on the class.
    """

    size: tuple[int, ...]
    count: int
    classes: int
    per_class: int
    condition_decoder: bool

    def draw(self, tokenizer: Tokenizer, prior: Prior, seed: int) -> tuple[Tensor, Tensor]:
        """Samples (count, C, *S), and those of each class (classes, per_class, C, *S)."""
        generator = torch.Generator().manual_seed(seed)
        samples = self._decoded(tokenizer, prior, self.count, generator)
        if not self.classes:
            return samples, samples[None, :0]
        label = torch.arange(self.classes).repeat_interleave(self.per_class)
        by_class = self._decoded(tokenizer, prior, len(label), generator, label=label)
        return samples, by_class.unflatten(0, (self.classes, self.per_class))

    def _decoded(
        self, tokenizer: Tokenizer, prior: Prior, count: int, generator: torch.Generator, *, label: Tensor | None = None
    ) -> Tensor:
        grid = tokenizer.grid(self.size)
        codes = walk(prior, count, Sampler(generator=generator), label=label, grid=grid if prior.any_grid else None)
        for axis, cells in enumerate(grid, start=1):
            codes = codes.narrow(axis, 0, cells)
        labels = label.split(BATCH) if label is not None and self.condition_decoder else [None] * count
        return torch.cat(
            [
                tokenizer.decode(some, of_some, size=self.size)
                for some, of_some in zip(codes.split(BATCH), labels, strict=False)
            ]
        )
