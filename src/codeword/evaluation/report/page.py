"""The report of a run: one HTML file with every number and figure, which needs no network."""

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from codeword.errors import UsageError
from codeword.evaluation.report.figures import WIDTH_INCHES, Section, Sound, png
from codeword.evaluation.report.files import file_table
from codeword.evaluation.report.sections import report_contents
from codeword.evaluation.report.tables import other_codecs, rate_table, reasons, result_rows
from codeword.evaluation.results import Evaluation, read_evaluation
from codeword.media.audio import write_audio
from codeword.store import write_atomically
from codeword.training.run import Run

_PAGE_WIDTH = 1000  # CSS pixels, for a figure of WIDTH_INCHES: text in all figures is then of one size.


def report(run: Run | str | Path, *, samples: int = 48, seed: int = 0) -> Path:
    """Write `report/index.html`, its figures and sounds into a finished and evaluated run; returns the page's path.

    The page contains them all, so that it can be sent as one file; the same PNGs and FLACs are in its folder.

    Args:
        run: a run, or its folder.
        samples: number of signals to draw from the prior; of audio at most a few.
        seed: seed of the random draws.

    Raises:
        UsageError: there is no run, it is not finished or not evaluated, or `samples` is below 1.
        DataError, ModelError: data or models cannot be read.
    """
    if samples < 1:
        raise UsageError(f"samples must be 1 or more, not {samples}.")
    run = run if isinstance(run, Run) else Run.open(run)
    evaluation = read_evaluation(run)
    contents = report_contents(run, evaluation, samples=samples, seed=seed)
    figures = [_embedded(section, run.report_path) for section in contents.sections]
    environment = Environment(
        loader=PackageLoader("codeword.evaluation.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    page = environment.get_template("page.html.j2").render(
        recipe=run.recipe(),
        facts=_facts(run, evaluation, contents.code_summary),
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
class EmbeddedSection:
    """A section as the page has it; `width` is in CSS pixels, `rows` are labels with players (label, data URI)."""

    title: str
    caption: str
    width: int
    data_uri: str
    rows: list[tuple[str, list[tuple[str, str]]]]


def _embedded(section: Section, folder: Path) -> EmbeddedSection:
    """Draw a section, and write its files into the folder."""
    figure = section.draw()
    image = png(figure, small_palette=section.small_palette)
    write_atomically(folder / f"{section.name}.png", image)
    return EmbeddedSection(
        title=section.title,
        caption=section.caption,
        width=round(figure.get_figwidth() / WIDTH_INCHES * _PAGE_WIDTH),
        data_uri=_data_uri("image/png", image),
        rows=[
            (label, [(sound.label, _written(sound, folder)) for sound in sounds]) for label, sounds in section.sounds
        ],
    )


def _written(sound: Sound, folder: Path) -> str:
    """Write a sound into the folder; returns it as a data URI."""
    path = folder / f"{sound.name}.flac"
    write_audio(path, sound.x, sample_rate=sound.sample_rate, values=sound.values)
    return _data_uri("audio/flac", path.read_bytes())


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{b64encode(content).decode()}"


def _facts(run: Run, evaluation: Evaluation, code_summary: str) -> list[tuple[str, str]]:
    """Title and value of everything the numbers depend on, and of the size of the codes."""
    versions = run.environment()
    return [
        ("Data", f"{run.recipe().data.kind}, {evaluation.split} split, {evaluation.signals:,} signals"),
        ("Codes", code_summary),
        ("Seed", str(evaluation.seed)),
        ("Commit", evaluation.commit),
        ("Machine", evaluation.machine),
        ("Versions", f"Codeword {versions['codeword']}, PyTorch {versions['torch']}"),
    ]
