"""The report of a run: one HTML file that opens anywhere, offline, with every number and figure in it."""

from base64 import b64encode
from dataclasses import dataclass
from math import log2, prod
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from codeword.errors import UsageError
from codeword.evaluation.exhibits import exhibits
from codeword.evaluation.figures import WIDTH_INCHES, Exhibit, png
from codeword.evaluation.material import Material, gather
from codeword.evaluation.metrics import Evaluation, read_evaluation
from codeword.evaluation.results import result_rows
from codeword.store import write_atomically
from codeword.training.run import Run

_PAGE_WIDTH = 1000  # CSS pixels, for a figure of WIDTH_INCHES: text in all figures is then of one size.


def report(run: Run | str | Path, *, samples: int = 48, seed: int = 0) -> Path:
    """Write `report/index.html` and its figures into a finished and evaluated run; returns the page's path.

    The page holds its figures, so that it can be sent as one file; the PNGs also lie beside it.

    Args:
        run: a run, or its folder.
        samples: how many signals to draw from the prior.
        seed: what they are drawn with.

    Raises:
        UsageError: there is no run, it is not finished or not evaluated, or `samples` is below 1.
        DataError, ModelError: data or models cannot be read.
    """
    if samples < 1:
        raise UsageError(f"samples must be 1 or more, not {samples}.")
    run = run if isinstance(run, Run) else Run.open(run)
    evaluation = read_evaluation(run)
    material = gather(run, evaluation.split, samples=samples, seed=seed)
    figures = [_figure(exhibit, run.report_path) for exhibit in exhibits(run, material)]
    environment = Environment(
        loader=PackageLoader("codeword.evaluation", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        recipe=run.recipe(),
        facts=_facts(run, evaluation, material),
        rows=list(result_rows(evaluation, run.recipe().data)),
        metrics=evaluation.metrics,
        split=evaluation.split,
        figures=figures,
        page_width=_PAGE_WIDTH,
    )
    path = run.report_path / "index.html"
    write_atomically(path, page.encode())
    return path


@dataclass(frozen=True)
class PrintedFigure:
    """A figure as the page holds it; `width` is in CSS pixels."""

    title: str
    caption: str
    width: int
    data_uri: str


def _figure(exhibit: Exhibit, folder: Path) -> PrintedFigure:
    figure = exhibit.draw()
    image = png(figure)
    write_atomically(folder / f"{exhibit.name}.png", image)
    return PrintedFigure(
        title=exhibit.title,
        caption=exhibit.caption,
        width=round(figure.get_figwidth() / WIDTH_INCHES * _PAGE_WIDTH),
        data_uri=f"data:image/png;base64,{b64encode(image).decode()}",
    )


def _facts(run: Run, evaluation: Evaluation, material: Material) -> list[tuple[str, str]]:
    """What the numbers depend on, name by name, and how large the codes are."""
    tokenizer, x = material.tokenizer, material.x
    levels = tokenizer.quantizer.levels
    grid = tokenizer.grid(tuple(x.shape[2:]))
    code_bits = prod(grid) * sum(log2(n) for n in levels)
    signal_bits = x[0].numel() * log2(tokenizer.config.values)
    alphabets = " × ".join(f"{n:,}" for n in levels)
    versions = run.environment()
    return [
        ("Data", f"{run.recipe().data.kind}, {evaluation.split} split, {evaluation.signals:,} signals"),
        (
            "Codes",
            f"{' × '.join(str(n) for n in grid)} cells of {alphabets} codewords: {code_bits:,.0f} bits at most, "
            f"for {signal_bits:,.0f} bits of signal",
        ),
        ("Seed", str(evaluation.seed)),
        ("Commit", evaluation.commit),
        ("Machine", evaluation.machine),
        ("Versions", f"Codeword {versions['codeword']}, PyTorch {versions['torch']}"),
    ]
