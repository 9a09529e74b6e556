"""The report of a run: one HTML file that opens anywhere, offline, with every number and figure in it."""

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from codeword.errors import UsageError
from codeword.evaluation.files import file_table
from codeword.evaluation.report.figures import WIDTH_INCHES, Section, Sound, png
from codeword.evaluation.report.image_material import CommonMaterial
from codeword.evaluation.report.sections import show
from codeword.evaluation.report.tables import other_codecs, rate_table, reasons, result_rows
from codeword.evaluation.results import Evaluation, read_evaluation
from codeword.media.audio import write_audio
from codeword.store import write_atomically
from codeword.training.run import Run

_PAGE_WIDTH = 1000  # CSS pixels, for a figure of WIDTH_INCHES: text in all figures is then of one size.


def report(run: Run | str | Path, *, samples: int = 48, seed: int = 0) -> Path:
    """Write `report/index.html`, its figures and sounds into a finished and evaluated run; returns the page's path.

    The page holds them all, so that it can be sent as one file; PNGs and FLACs also lie beside it.

    Args:
        run: a run, or its folder.
        samples: how many signals to draw from the prior, of audio a handful at most.
        seed: what they are drawn with.

    Raises:
        UsageError: there is no run, it is not finished or not evaluated, or `samples` is below 1.
        DataError, ModelError: data or models cannot be read.
    """
    if samples < 1:
        raise UsageError(f"samples must be 1 or more, not {samples}.")
    run = run if isinstance(run, Run) else Run.open(run)
    evaluation = read_evaluation(run)
    shown = show(run, evaluation, samples=samples, seed=seed)
    figures = [_figure(section, run.report_path) for section in shown.sections]
    environment = Environment(
        loader=PackageLoader("codeword.evaluation.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    page = environment.get_template("page.html.j2").render(
        recipe=run.recipe(),
        facts=_facts(run, evaluation, shown.material),
        rows=list(result_rows(evaluation, run.recipe().data)),
        metrics=evaluation.metrics,
        rates=rate_table(evaluation),
        files=file_table(evaluation),
        codecs=other_codecs(run.recipe().data),
        left_out=reasons(evaluation),
        split=evaluation.split,
        figures=figures,
        sounds=any(figure.rows for figure in figures),
        page_width=_PAGE_WIDTH,
    )
    path = run.report_path / "index.html"
    write_atomically(path, page.encode())
    return path


@dataclass(frozen=True)
class Player:
    """A sound as the page holds it."""

    label: str
    data_uri: str


@dataclass(frozen=True)
class PlayerRow:
    """Players side by side; `label` may be empty."""

    label: str
    players: tuple[Player, ...]


@dataclass(frozen=True)
class PrintedFigure:
    """A figure as the page holds it; `width` is in CSS pixels."""

    title: str
    caption: str
    width: int
    data_uri: str
    rows: tuple[PlayerRow, ...]


def _figure(section: Section, folder: Path) -> PrintedFigure:
    figure = section.draw()
    image = png(figure, few_colours=section.few_colours)
    write_atomically(folder / f"{section.name}.png", image)
    return PrintedFigure(
        title=section.title,
        caption=section.caption,
        width=round(figure.get_figwidth() / WIDTH_INCHES * _PAGE_WIDTH),
        data_uri=_data_uri("image/png", image),
        rows=tuple(
            PlayerRow(row.label, tuple(_player(sound, folder) for sound in row.sounds)) for row in section.sounds
        ),
    )


def _player(sound: Sound, folder: Path) -> Player:
    path = folder / f"{sound.name}.flac"
    write_audio(path, sound.x, sample_rate=sound.sample_rate, values=sound.values)
    return Player(sound.label, _data_uri("audio/flac", path.read_bytes()))


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{b64encode(content).decode()}"


def _facts(run: Run, evaluation: Evaluation, material: CommonMaterial) -> list[tuple[str, str]]:
    """What the numbers depend on, name by name, and how large the codes are."""
    versions = run.environment()
    return [
        ("Data", f"{run.recipe().data.kind}, {evaluation.split} split, {evaluation.signals:,} signals"),
        ("Codes", material.codes_in_words),
        ("Seed", str(evaluation.seed)),
        ("Commit", evaluation.commit),
        ("Machine", evaluation.machine),
        ("Versions", f"Codeword {versions['codeword']}, PyTorch {versions['torch']}"),
    ]
