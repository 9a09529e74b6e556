"""Images that a report shows: the first images of a split, their codes, and samples."""

from dataclasses import dataclass
from math import log2, prod

import torch
from torch import Tensor

from codeword.data import evaluation_batches, open_dataset
from codeword.evaluation.report.signals import ReportSignals, draw_samples
from codeword.evaluation.results import Evaluation
from codeword.evaluation.samples import BATCH
from codeword.quantizers import CodeUsage
from codeword.tokenizer import Tokenizer
from codeword.training.run import Run

SIGNALS_SHOWN = 16
SIGNALS_COUNTED = 2000
CLASSES_SHOWN = 10
SAMPLES_PER_CLASS = 10

_NEIGHBOURHOOD = 5  # Side in cells: a codeword is decoded with two cells of the same codeword on each side.


@dataclass(frozen=True)
class ReportImages(ReportSignals):
    """Signals of one size: the first signals x (N, C, *S) of the split, and their codes (N, *G, K).

    `judged` says how often a classifier reads the class of samples; it is empty if no judge was there.
    """

    x: Tensor
    codes: Tensor
    judged: str = ""


def gather_images(run: Run, evaluation: Evaluation, *, samples: int, seed: int) -> ReportImages:
    """Encode the first signals of the split that was evaluated, and draw `samples` from the prior, on the CPU.

    Raises:
        UsageError: the run is not finished.
        DataError, ModelError: data or models cannot be read.
    """
    tokenizer, prior = run.tokenizer(), run.prior()
    data = open_dataset(run.recipe().data, evaluation.split)
    usage = CodeUsage(tokenizer.quantizer.codebook_sizes)
    for batch in evaluation_batches(data, BATCH, limit=SIGNALS_COUNTED):
        usage.add(tokenizer.encode(batch.x))
    x = data.take(range(min(SIGNALS_SHOWN, len(data)))).x
    class_names = data.classes[: min(CLASSES_SHOWN, prior.classes)]
    drawn, by_class = draw_samples(
        tokenizer,
        prior,
        tuple(data.shape[1:]),
        count=samples,
        classes=len(class_names),
        per_class=SAMPLES_PER_CLASS,
        condition_decoder=False,
        seed=seed,
    )
    return ReportImages(
        tokenizer=tokenizer,
        prior=prior,
        split=evaluation.split,
        counts=usage.counts,
        counted=min(SIGNALS_COUNTED, len(data)),
        code_summary=code_summary(tokenizer, x),
        seed=seed,
        samples=drawn,
        samples_by_class=by_class,
        class_names=class_names,
        x=x,
        codes=tokenizer.encode(x),
        judged=judged(evaluation),
    )


def judged(evaluation: Evaluation) -> str:
    """A sentence, after a space, on how many samples a classifier reads as their class; empty if none was measured."""
    shares = [evaluation.metrics.get(f"accuracy_{name}") for name in ("samples", "reconstruction", "original")]
    if None in shares:
        return ""
    samples, reconstructions, originals = (f"{share.value:.0f} %" for share in shares if share is not None)
    return (
        f" A classifier that was trained on the data reads {samples} of such samples as their class, "
        f"{reconstructions} of reconstructions and {originals} of originals."
    )


def decode_codewords(tokenizer: Tokenizer, codes: Tensor) -> Tensor:
    """Codes (n, K) of single cells to signals (n, C, *hop), each decoded with neighbouring cells of the same codes."""
    ndim, hop = tokenizer.config.ndim, tokenizer.hop
    decoded = []
    for batch in codes.split(BATCH):
        grid = batch.view(len(batch), *[1] * ndim, -1).expand(-1, *[_NEIGHBOURHOOD] * ndim, -1)
        x = tokenizer.decode(grid)
        for axis in range(2, 2 + ndim):
            x = x.narrow(axis, _NEIGHBOURHOOD // 2 * hop, hop)
        decoded.append(x)
    return torch.cat(decoded)


def code_summary(tokenizer: Tokenizer, x: Tensor) -> str:
    """A sentence that compares the size of the codes of signals x (B, C, *S) with that of the signals."""
    grid, codebook_sizes = tokenizer.grid(tuple(x.shape[2:])), tokenizer.quantizer.codebook_sizes
    code_bits = prod(grid) * sum(log2(n) for n in codebook_sizes)
    signal_bits = x[0].numel() * log2(tokenizer.config.values)
    return (
        f"{' × '.join(str(n) for n in grid)} cells of {' × '.join(f'{n:,}' for n in codebook_sizes)} codewords: "
        f"{code_bits:,.0f} bits at most, for {signal_bits:,.0f} bits of signal"
    )
