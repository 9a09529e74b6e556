"""Sections of a report on pairs: each pair is seen and heard, with what is drawn for its signals."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
from matplotlib.figure import Figure

from codeword.evaluation.report.curves import line, train_and_valid
from codeword.evaluation.report.figures import ORANGE, Panel, Section, Sound, mosaic_figure, panels_figure
from codeword.evaluation.report.image_sections import pictures_of
from codeword.evaluation.report.pair_signals import PairMedium, ReportPairs
from codeword.evaluation.report.speech_figures import TitledWave, spectrograms_figure
from codeword.media.waves import dequantise
from codeword.training.run import Run


def pair_sections(run: Run, pairs: ReportPairs) -> list[Section]:
    """Sections on pairs, in reading order."""
    return [_curves(run, pairs), *(section for i in range(len(pairs.classes)) for section in _pair(pairs, i))]


def _curves(run: Run, pairs: ReportPairs) -> Section:
    first, second = (medium.noun for medium in pairs.media)
    saved = [
        line(run, "prior", "valid", "bits_saved_of_first", f"of the {first}, by the {second}"),
        replace(line(run, "prior", "valid", "bits_saved_of_second", f"of the {second}, by the {first}"), colour=ORANGE),
    ]
    panels = [
        Panel("Prior", "nats per code", train_and_valid(run, "prior", "loss")),
        Panel("Saved", "bits per pair of the validation split", saved),
    ]
    return Section(
        "loss",
        "Loss over time",
        "Left is the loss of both orders of the media together; that of training batches also holds the guess of the "
        "class. Right are the bits that one medium saves of the other. They are few next to all bits of a pair, and "
        "grow slowly.",
        lambda: panels_figure(panels),
    )


def _pair(pairs: ReportPairs, i: int) -> Iterator[Section]:
    """One section for each medium that is seen; the players of those that are heard are in the first."""
    seen = [medium for medium in pairs.media if not medium.is_heard]
    heard = [medium for medium in pairs.media if medium.is_heard]
    rows = [row for medium in heard for row in _players(pairs, medium, i)]
    for n, medium in enumerate(seen or heard[:1]):
        if seen:
            draw = partial(_mosaic, medium, i)
            caption = (
                f"Left are the {medium.noun} and, below, its reconstruction. All others are drawn for the "
                f"{_other(pairs, medium)} of this pair, above without and below with guidance {pairs.guidance:g}."
            )
        else:
            draw = partial(_spectrograms, medium, i)
            caption = f"Left is the {medium.noun}, and right its reconstruction."
        if not i:
            caption += (
                f" The pairs are the first of each class in the {pairs.split} split. Temperature 1, seed "
                f"{pairs.seed}; nothing is selected."
            )
        title = f"Pair {i + 1}: {pairs.classes[i]}"
        name = f"pair-{i + 1}" + f"-{n + 1}" * bool(n)
        yield Section(name, title, caption, draw, () if n else rows, small_palette=True)


def _other(pairs: ReportPairs, medium: PairMedium) -> str:
    return pairs.media[pairs.media[0] is medium].noun


def _players(pairs: ReportPairs, medium: PairMedium, i: int) -> Iterator[tuple[str, list[Sound]]]:
    """Rows of players for one pair: the recording, and those drawn for the other medium."""
    config, drawn_for = medium.tokenizer.config, f"Drawn for the {_other(pairs, medium)}"
    assert config.sample_rate is not None
    rows = {
        f"The {medium.noun}": {"original": medium.x[i], "reconstruction": medium.decoded[i]},
        drawn_for: {str(n): x for n, x in enumerate(medium.drawn[i], 1)},
        f"{drawn_for}, with guidance {pairs.guidance:g}": {f"guided {n}": x for n, x in enumerate(medium.guided[i], 1)},
    }
    for label, sounds in rows.items():
        yield (
            label,
            [
                Sound(
                    f"pair-{i + 1}-{medium.noun}-{title.replace(' ', '-')}", title, x, config.sample_rate, config.values
                )
                for title, x in sounds.items()
            ],
        )


def _mosaic(medium: PairMedium, i: int) -> Figure:
    """Two rows: the signal and its reconstruction, a gap, and the draws without and with guidance."""
    left = pictures_of(medium.tokenizer, torch.stack([medium.x[i], medium.decoded[i]]))
    right = [pictures_of(medium.tokenizer, x) for x in (medium.drawn[i], medium.guided[i])]
    gap = torch.ones_like(left[:1])
    return mosaic_figure(torch.stack([torch.cat([own[None], gap, x]) for own, x in zip(left, right, strict=True)]))


def _spectrograms(medium: PairMedium, i: int) -> Figure:
    """The recording and its reconstruction."""
    config = medium.tokenizer.config
    assert config.sample_rate is not None
    shown = {"original": medium.x[i, 0], "reconstruction": medium.decoded[i, 0]}
    waves = [TitledWave(title, dequantise(x, config.values)) for title, x in shown.items()]
    return spectrograms_figure([waves], sample_rate=config.sample_rate)
