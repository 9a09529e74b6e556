"""What the report shows: each exhibit a figure with a title and a caption that says what one sees."""

from collections.abc import Callable
from math import exp, log

from codeword.config import GaussianConfig
from codeword.evaluation.figures import (
    BLUE,
    GREEN,
    GREY,
    Exhibit,
    Line,
    Panel,
    code_use_figure,
    panels_figure,
)
from codeword.evaluation.image_exhibits import image_exhibits
from codeword.evaluation.material import Material
from codeword.training.run import Run


def exhibits(run: Run, material: Material) -> list[Exhibit]:
    """All that the report of this run shows, in reading order."""
    of_this_rank = _BY_RANK[material.tokenizer.config.ndim](material)
    return [*_curve_exhibits(run, material), _code_use(material), *of_this_rank]


# What only signals of one rank have beside the figures below.
_BY_RANK: dict[int, Callable[[Material], list[Exhibit]]] = {1: lambda material: [], 2: image_exhibits}


def _curve_exhibits(run: Run, material: Material) -> list[Exhibit]:
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
            "bits per dimension",
            [_line(run, "tokenizer", "valid", "signal_bpd", "validation split")],
        ),
    ]
    given_label = _line(
        run, "prior", "valid", "bits_per_code_given_label", "validation, class told", told=True
    )
    prior_lines = [
        _line(run, "prior", "train", "bits_per_code", "training batches"),
        _line(run, "prior", "valid", "bits_per_code", "validation split"),
        *([given_label] if material.prior.classes else []),
    ]
    caption = (
        "The tokenizer's loss is "
        + _LOSS_IN_WORDS[isinstance(material.tokenizer.config.likelihood, GaussianConfig)]
        + " plus the quantizer's loss, which may rise while the signal's bits fall: the encoder spreads its vectors "
        "out. "
    )
    if any(line.x for line in prior_lines):
        losses.append(Panel("Prior", "bits per code", prior_lines))
        caption += "The prior's is the number of bits that one code costs. "
    else:
        caption += "This run's prior has nothing to learn, so it has no curve. "
    caption += (
        "Where validation turns up while training goes on down, the model learns its training data by heart."
    )
    levels = material.tokenizer.quantizer.levels
    # Perplexity over several codes is that of their mean entropy, so its limit is the geometric mean.
    limit = exp(sum(log(n) for n in levels) / len(levels))
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
        Exhibit("loss", "Loss over time", caption, lambda: panels_figure(losses)),
        Exhibit(
            "codebook-over-time",
            "Codebook over time",
            "Perplexity is how many codewords, all used alike, would say as much as the codes do; the dashed line is "
            "the most that is possible. Usage is the share of codewords that occurred at all. A curve that falls to "
            "the ground is a collapsed codebook.",
            lambda: panels_figure(use),
        ),
    ]


_LOSS_IN_WORDS = {
    True: "the squared error of a signal between −½ and ½",
    False: "the nats that each number costs",
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


def _code_use(material: Material) -> Exhibit:
    return Exhibit(
        "codebook-use",
        "Use of the codewords",
        f"How often each codeword stands in the codes of the first {material.counted:,} signals of the "
        f"{material.split} split, on a logarithmic axis. The flatter, the more each code can say.",
        lambda: code_use_figure(material.counts),
    )
