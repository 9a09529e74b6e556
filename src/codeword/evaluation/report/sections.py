"""Sections of a report: those that all media share, and the choice of the others by medium."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import exp, log
from typing import Any

from codeword.evaluation.medium import dimension, medium_name
from codeword.evaluation.report.curves import line, train_and_valid
from codeword.evaluation.report.figures import Panel, Section, code_use_figure, panels_figure
from codeword.evaluation.report.files import files_sections
from codeword.evaluation.report.image_sections import image_sections
from codeword.evaluation.report.image_signals import gather_images
from codeword.evaluation.report.metrics import LOSSES
from codeword.evaluation.report.pair_sections import pair_sections
from codeword.evaluation.report.pair_signals import gather_pairs
from codeword.evaluation.report.signals import ReportSignals
from codeword.evaluation.report.speech_sections import audio_sections
from codeword.evaluation.report.speech_signals import gather_recordings
from codeword.evaluation.report.token_signals import gather_tokens
from codeword.evaluation.results import Evaluation
from codeword.training.run import Run

# By the name of the medium: functions that gather the signals and that make their sections. Others are images.
_MEDIA: dict[str, tuple[Callable[..., Any], Callable[..., list[Section]]]] = {
    "audio": (gather_recordings, audio_sections),
    "tokens": (gather_tokens, lambda tokens, _: []),
}


@dataclass(frozen=True)
class ReportContents:
    """Sections of a report in reading order, and one sentence that compares the size of codes and signals."""

    sections: list[Section]
    code_summary: str


def report_contents(run: Run, evaluation: Evaluation, *, samples: int, seed: int) -> ReportContents:
    """Gather the content of the report of a run; figures are drawn later.

    Raises:
        UsageError: the run is not finished.
        DataError, ModelError: data or models cannot be read.
    """
    if run.recipe().pairs:
        pairs = gather_pairs(run, evaluation, samples=samples, seed=seed)
        return ReportContents(pair_sections(run, pairs), pairs.code_summary)
    gather, sections = _MEDIA.get(
        medium_name(run.recipe().tokenizer), (gather_images, lambda images, _: image_sections(images))
    )
    signals: ReportSignals = gather(run, evaluation, samples=samples, seed=seed)
    shared = [*_curve_sections(run, signals), _code_use(signals), *files_sections(evaluation)]
    return ReportContents([*shared, *sections(signals, evaluation)], signals.code_summary)


def _curve_sections(run: Run, signals: ReportSignals) -> list[Section]:
    config = signals.tokenizer.config
    validation = line(run, "tokenizer", "valid", "signal_bpd", "validation split")
    losses = [
        Panel("Tokenizer", "loss", train_and_valid(run, "tokenizer", "loss")),
        Panel("Signal given its codes", f"bits per {dimension(config)}", [validation]),
    ]
    prior_lines = train_and_valid(run, "prior", "bits_per_code")
    if signals.prior.classes:
        given = line(
            run, "prior", "valid", "bits_per_code_given_label", "validation, conditioned on the class", conditional=True
        )
        prior_lines.append(given)
    caption = (
        "The tokenizer's loss is "
        + LOSSES.get(config.likelihood.kind, "the negative log-likelihood of each value in nats")
        + " plus the quantizer's loss, which may rise while the bits of the signal fall, because the encoder spreads "
        "its vectors out. "
    )
    if any(one.x for one in prior_lines):
        losses.append(Panel("Prior", "bits per code", prior_lines))
        caption += "The loss of the prior is the number of bits for one code. "
    else:
        caption += "The prior of this run has no parameters to train, so it has no curve. "
    caption += "If the validation loss rises while the training loss falls, the model overfits its training data."
    codebook_sizes = signals.tokenizer.quantizer.codebook_sizes
    # The perplexity of several codes is 2 to the power of their mean entropy, at most the geometric mean of the sizes.
    limit = exp(sum(log(n) for n in codebook_sizes) / len(codebook_sizes))
    perplexity, usage = (train_and_valid(run, "tokenizer", name) for name in ("perplexity", "usage"))
    use = [
        Panel("Perplexity", "codewords", perplexity, limit=(limit, "all equally frequent")),
        Panel("Usage", "share of the codewords", usage, percent=True),
    ]
    return [
        Section("loss", "Loss over time", caption, lambda: panels_figure(losses)),
        Section(
            "codebook-over-time",
            "Codebook over time",
            "Perplexity is the number of equally frequent codewords with the same information; the dashed line is "
            "its maximum for the codebook of the trained model. Usage is the share of codewords that occur at least "
            "once. Both curves fall if the codebook collapses.",
            lambda: panels_figure(use),
        ),
        *_size_section(run),
    ]


def _size_section(run: Run) -> Iterator[Section]:
    """The size of codebooks that changed it, and their error."""
    size = line(run, "tokenizer", "train", "codewords", "codewords")
    if not size.x:
        return
    panels = [
        Panel("Size", "codewords", [size]),
        Panel("Error", "share of the variance", [line(run, "tokenizer", "train", "error_share", "squared distance")]),
    ]
    yield Section(
        "size-over-time",
        "Size of the codebook over time",
        "Codewords are added where the error is large, and leave where their loss costs little, until the target is "
        "met. The error is the mean squared distance of the encoder's vectors to their codewords.",
        lambda: panels_figure(panels),
    )


def _code_use(signals: ReportSignals) -> Section:
    return Section(
        "codebook-use",
        "Use of the codewords",
        f"How often each codeword occurs in the codes of the first {signals.counted:,} signals of the "
        f"{signals.split} split, on a logarithmic axis. The flatter the curve, the more information a code carries.",
        lambda: code_use_figure(signals.counts),
    )
