"""What the report's figures are drawn from: a run's models, the first signals of a split, and prior samples."""

from dataclasses import dataclass
from math import log2, prod

import torch
from torch import Tensor

from codeword.data import evaluation_batches, open_dataset
from codeword.data.base import Split
from codeword.priors import Prior, Sampler, walk
from codeword.quantizers import CodeUsage
from codeword.tokenizer import Tokenizer
from codeword.training.run import Run

SIGNALS_SHOWN = 16
SIGNALS_COUNTED = 2000
CLASSES_SHOWN = 10
SAMPLES_PER_CLASS = 10

_BATCH = 64
_SURROUNDINGS = 5  # Cells: a codeword decoded alone has two of its own kind on each side.


@dataclass(frozen=True)
class CommonMaterial:
    """What signals of every medium have: a run's models, and how they code the first signals of `split`.

    `counts` are the K histograms over the first `counted` signals; `codes_in_words` says how large codes are beside
    signals; `seed` is what the samples were drawn with.
    """

    tokenizer: Tokenizer
    prior: Prior
    split: Split
    counts: list[Tensor]
    counted: int
    codes_in_words: str
    seed: int


@dataclass(frozen=True)
class Material(CommonMaterial):
    """Signals of one size, which images are.

    `x` (N, C, *S) are the first `SIGNALS_SHOWN` signals, `codes` (N, *G, K) theirs. `samples` (M, C, *S) are
    decoded draws from the prior, and `samples_by_class` (classes, n, C, *S) those given each of `class_names`.
    """

    x: Tensor
    codes: Tensor
    samples: Tensor
    samples_by_class: Tensor
    class_names: tuple[str, ...]


def gather(run: Run, split: Split, *, samples: int, seed: int) -> Material:
    """Encode the split's first signals, and draw `samples` signals from the prior, on the CPU.

    Raises:
        UsageError: the run is not finished.
        DataError, ModelError: data or models cannot be read.
    """
    tokenizer, prior = run.tokenizer(), run.prior()
    data = open_dataset(run.recipe().data, split)
    usage = CodeUsage(tokenizer.quantizer.codebook_sizes)
    for batch in evaluation_batches(data, _BATCH, limit=SIGNALS_COUNTED):
        usage.add(tokenizer.encode(batch.x))
    x = data.take(range(min(SIGNALS_SHOWN, len(data)))).x
    generator = torch.Generator().manual_seed(seed)
    size = tuple(data.shape[1:])
    unconditional = _sample(tokenizer, prior, samples, size, generator)
    class_names = data.classes[: min(CLASSES_SHOWN, prior.classes)]
    label = torch.arange(len(class_names)).repeat_interleave(SAMPLES_PER_CLASS)
    given = _sample(tokenizer, prior, len(label), size, generator, label=label) if len(label) else unconditional[:0]
    return Material(
        tokenizer=tokenizer,
        prior=prior,
        split=split,
        x=x,
        codes=tokenizer.encode(x),
        counts=usage.counts,
        counted=min(SIGNALS_COUNTED, len(data)),
        codes_in_words=_codes_in_words(tokenizer, x),
        samples=unconditional,
        samples_by_class=given.unflatten(0, (len(class_names), -1)) if len(label) else given[None],
        class_names=class_names,
        seed=seed,
    )


def decode_alone(tokenizer: Tokenizer, codes: Tensor) -> Tensor:
    """Codes (n, K) of one cell each, decoded among equals: the signal (n, C, *hop) that the cell stands for."""
    ndim, hop = tokenizer.config.ndim, tokenizer.hop
    decoded = []
    for some in codes.split(_BATCH):
        grid = some.view(len(some), *[1] * ndim, -1).expand(-1, *[_SURROUNDINGS] * ndim, -1)
        x = tokenizer.decode(grid)
        for axis in range(2, 2 + ndim):
            x = x.narrow(axis, _SURROUNDINGS // 2 * hop, hop)
        decoded.append(x)
    return torch.cat(decoded)


def _sample(
    tokenizer: Tokenizer,
    prior: Prior,
    count: int,
    size: tuple[int, ...],
    generator: torch.Generator,
    *,
    label: Tensor | None = None,
) -> Tensor:
    codes = walk(prior, count, Sampler(generator=generator), label=label)
    return torch.cat([tokenizer.decode(some, size=size) for some in codes.split(_BATCH)])


def _codes_in_words(tokenizer: Tokenizer, x: Tensor) -> str:
    grid, codebook_sizes = tokenizer.grid(tuple(x.shape[2:])), tokenizer.quantizer.codebook_sizes
    code_bits = prod(grid) * sum(log2(n) for n in codebook_sizes)
    signal_bits = x[0].numel() * log2(tokenizer.config.values)
    return (
        f"{' × '.join(str(n) for n in grid)} cells of {' × '.join(f'{n:,}' for n in codebook_sizes)} codewords: "
        f"{code_bits:,.0f} bits at most, for {signal_bits:,.0f} bits of signal"
    )
