"""The report of a run: one HTML file with every number, figure and sound; it loads nothing from the network."""

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from codeword.errors import UsageError
from codeword.evaluation.report.figures import WIDTH_INCHES, Section, Sound, png
from codeword.evaluation.report.files import file_table
from codeword.evaluation.report.sections import report_contents
from codeword.evaluation.report.tables import other_codecs, rate_table, reasons, result_rows
from codeword.evaluation.report.templates import render, run_facts
from codeword.evaluation.results import read_evaluation
from codeword.media.waves import write_audio
from codeword.store import write_atomically
from codeword.training.run import Run

PAGE_WIDTH = 1000
"""CSS pixels of a figure of WIDTH_INCHES; narrower figures are scaled by the same factor, so all have one font size."""


def report(run: Run | str | Path, *, samples: int = 48, seed: int = 0) -> Path:
    """Write `report/index.html` of a finished and evaluated run, and return its path.

    Figures and sounds are embedded in the page, so that it can be sent as one file, and also written next to it as PNG
    and FLAC files.

    Args:
        run: a run, or its folder.
        samples: number of signals to draw from the prior; at most 4 for audio, and fewer for each of several pairs.
        seed: seed of the random draws.

    Raises:
        UsageError: there is no run, it is not finished or not evaluated, or `samples` is below 1.
        DataError, ModelError: data or models cannot be read.
    """
    if samples < 1:
        raise UsageError(f"samples must be 1 or more, not {samples}.")
    run = run if isinstance(run, Run) else Run.open(run)
    evaluation, recipe = read_evaluation(run), run.recipe()
    contents = report_contents(run, evaluation, samples=samples, seed=seed)
    figures = [embedded(section, run.report_path) for section in contents.sections]
    facts = [
        ("Data", f"{recipe.data.kind}, {evaluation.split} split, {evaluation.signals:,} signals"),
        ("Codes", contents.code_summary),
        *run_facts(run),
    ]
    page = render(
        "page.html.j2",
        recipe=recipe,
        facts=facts,
        rows=list(result_rows(evaluation, recipe.data)),
        metrics=evaluation.metrics,
        rates=rate_table(evaluation),
        files=file_table(evaluation),
        codecs=other_codecs(recipe.data),
        left_out=reasons(evaluation),
        split=evaluation.split,
        figures=figures,
        sounds=any(figure.players for figure in figures),
        page_width=PAGE_WIDTH,
    )
    path = run.report_path / "index.html"
    write_atomically(path, page.encode())
    return path


@dataclass(frozen=True)
class EmbeddedSection:
    """A section of the page, `width` CSS pixels wide; `players` are rows: a label, and players (label, data URI)."""

    title: str
    caption: str
    width: int
    data_uri: str
    players: list[tuple[str, list[tuple[str, str]]]]


def embedded(section: Section, folder: Path) -> EmbeddedSection:
    """A section as the page holds it. Its figure and sounds are also written to the folder."""
    figure = section.draw()
    image = png(figure, small_palette=section.small_palette)
    write_atomically(folder / f"{section.name}.png", image)
    return EmbeddedSection(
        title=section.title,
        caption=section.caption,
        width=round(figure.get_figwidth() / WIDTH_INCHES * PAGE_WIDTH),
        data_uri=_data_uri("image/png", image),
        players=[
            (label, [(sound.label, _write_sound(sound, folder)) for sound in sounds])
            for label, sounds in section.sounds
        ],
    )


def _write_sound(sound: Sound, folder: Path) -> str:
    """Write a sound to the folder, and return it as a data URI."""
    path = folder / f"{sound.name}.flac"
    write_audio(path, sound.x, sample_rate=sound.sample_rate, values=sound.values)
    return _data_uri("audio/flac", path.read_bytes())


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{b64encode(content).decode()}"
