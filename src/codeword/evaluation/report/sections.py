"""What the report shows: each section a figure with a title and a caption that says what one sees."""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log

from codeword.evaluation.files import files_sections
from codeword.evaluation.report.figures import BLUE, GREEN, GREY, Line, Panel, Section, code_use_figure, panels_figure
from codeword.evaluation.report.image_material import CommonMaterial, gather
from codeword.evaluation.report.image_sections import image_sections
from codeword.evaluation.report.speech_material import gather_recordings
from codeword.evaluation.report.speech_sections import audio_sections
from codeword.evaluation.results import Evaluation
from codeword.training.run import Run


@dataclass(frozen=True)
class Show:
    """What a report is made from, and all that it shows, in reading order."""

    material: CommonMaterial
    sections: list[Section]


def show(run: Run, evaluation: Evaluation, *, samples: int, seed: int) -> Show:
    """Gather what the report of this run shows; nothing is drawn yet.

    Raises:
        UsageError: the run is not finished.
        DataError, ModelError: data or models cannot be read.
    """
    of_this_rank = _BY_RANK[run.recipe().tokenizer.ndim](run, evaluation, samples, seed)
    material = of_this_rank.material
    found = [*_curve_sections(run, material), _code_use(material), *files_sections(evaluation)]
    return Show(material, [*found, *of_this_rank.sections])


def _show_recordings(run: Run, evaluation: Evaluation, samples: int, seed: int) -> Show:
    material = gather_recordings(run, evaluation, samples=samples, seed=seed)
    return Show(material, audio_sections(material, evaluation))


def _show_images(run: Run, evaluation: Evaluation, samples: int, seed: int) -> Show:
    material = gather(run, evaluation.split, samples=samples, seed=seed)
    return Show(material, image_sections(material))


# What only signals of one rank have beside the figures below.
_BY_RANK: dict[int, Callable[[Run, Evaluation, int, int], Show]] = {1: _show_recordings, 2: _show_images}
_DIMENSION_IN_WORDS = {1: "sample", 2: "dimension"}


def _curve_sections(run: Run, material: CommonMaterial) -> list[Section]:
    config = material.tokenizer.config
    losses = [
        Panel(
            "Tokenizer",
            "loss",
            [
                _line(run, "tokenizer", "train", "loss", "training batches"),
                _line(run, "tokenizer", "valid", "loss", "validation split"),
            ],
        ),
        Panel(
            "Signal given its codes",
            f"bits per {_DIMENSION_IN_WORDS[config.ndim]}",
            [_line(run, "tokenizer", "valid", "signal_bpd", "validation split")],
        ),
    ]
    given_label = _line(run, "prior", "valid", "bits_per_code_given_label", "validation, class told", told=True)
    prior_lines = [
        _line(run, "prior", "train", "bits_per_code", "training batches"),
        _line(run, "prior", "valid", "bits_per_code", "validation split"),
        *([given_label] if material.prior.classes else []),
    ]
    caption = (
        "The tokenizer's loss is "
        + _LOSS_IN_WORDS.get(config.likelihood.kind, "the nats that each number costs")
        + " plus the quantizer's loss, which may rise while the signal's bits fall: the encoder spreads its vectors "
        "out. "
    )
    if any(line.x for line in prior_lines):
        losses.append(Panel("Prior", "bits per code", prior_lines))
        caption += "The prior's is the number of bits that one code costs. "
    else:
        caption += "This run's prior has nothing to learn, so it has no curve. "
    caption += "Where validation turns up while training goes on down, the model learns its training data by heart."
    codebook_sizes = material.tokenizer.quantizer.codebook_sizes
    # Perplexity over several codes is that of their mean entropy, so its limit is the geometric mean.
    limit = exp(sum(log(n) for n in codebook_sizes) / len(codebook_sizes))
    use = [
        Panel(
            "Perplexity",
            "codewords",
            [
                _line(run, "tokenizer", "train", "perplexity", "training batches"),
                _line(run, "tokenizer", "valid", "perplexity", "validation split"),
            ],
            limit=(limit, "all used alike"),
        ),
        Panel(
            "Usage",
            "share of the codewords",
            [
                _line(run, "tokenizer", "train", "usage", "training batches"),
                _line(run, "tokenizer", "valid", "usage", "validation split"),
            ],
            percent=True,
        ),
    ]
    return [
        Section("loss", "Loss over time", caption, lambda: panels_figure(losses)),
        Section(
            "codebook-over-time",
            "Codebook over time",
            "Perplexity is how many codewords, all used alike, would say as much as the codes do; the dashed line is "
            "the most that is possible. Usage is the share of codewords that occurred at all. A curve that falls to "
            "the ground is a collapsed codebook.",
            lambda: panels_figure(use),
        ),
    ]


_LOSS_IN_WORDS = {
    "gaussian": "the squared error of a signal between −½ and ½",
    "spectral": "the distance of spectra at several resolutions",
    "spectrogram": "the mean absolute error of log-mels in nepers",
}


def _line(run: Run, part: str, split: str, figure: str, label: str, *, told: bool = False) -> Line:
    records = [record for record in run.records(part, split) if figure in record]
    faint = split == "train"
    return Line(
        label,
        [record["step"] for record in records],
        [record[figure] for record in records],
        GREEN if told else GREY if faint else BLUE,
        faint=faint,
        dashed=told,
    )


def _code_use(material: CommonMaterial) -> Section:
    return Section(
        "codebook-use",
        "Use of the codewords",
        f"How often each codeword stands in the codes of the first {material.counted:,} signals of the "
        f"{material.split} split, on a logarithmic axis. The flatter, the more each code can say.",
        lambda: code_use_figure(material.counts),
    )
