"""Tokens of another tokenizer in a report: only how often each occurs, because they have no picture and no sound."""

import torch

from codeword.data import evaluation_batches, open_dataset
from codeword.evaluation.report.image_signals import SIGNALS_COUNTED, code_summary
from codeword.evaluation.report.signals import ReportSignals
from codeword.evaluation.results import Evaluation
from codeword.evaluation.samples import BATCH
from codeword.quantizers import CodeUsage
from codeword.training.run import Run


def gather_tokens(run: Run, evaluation: Evaluation, *, samples: int, seed: int) -> ReportSignals:
    """Count the tokens of the first signals of the split that was evaluated; no samples are drawn.

    Raises:
        UsageError: the run is not finished.
        DataError, ModelError: data or models cannot be read.
    """
    tokenizer, data = run.tokenizer(), open_dataset(run.recipe().data, evaluation.split)
    usage = CodeUsage(tokenizer.quantizer.codebook_sizes)
    for batch in evaluation_batches(data, BATCH, limit=SIGNALS_COUNTED):
        usage.add(tokenizer.encode(batch.x))
    return ReportSignals(
        tokenizer=tokenizer,
        prior=run.prior(),
        split=evaluation.split,
        counts=usage.counts,
        counted=min(SIGNALS_COUNTED, len(data)),
        code_summary=code_summary(tokenizer, data.take([0]).x),
        seed=seed,
        samples=torch.empty(0),
        samples_by_class=torch.empty(0),
        class_names=(),
    )
