"""Real files in a report: the table that the page and the terminal show, and the figure of quality against rate."""

from dataclasses import dataclass

from codeword.evaluation.files.codeword_files import NAME
from codeword.evaluation.report.figures import BLUE, GREEN, ORANGE, Line, Panel, Section, panels_figure
from codeword.evaluation.report.metrics import AXES, COLUMNS
from codeword.evaluation.results import Evaluation, FileFormat

_METRICS = ("psnr_db", "per", "stoi", "pesq_wb", "log_mel_distance", "bits_per_sample")
_DRAWN_METRICS = ("psnr_db", "per", "stoi", "pesq_wb")
_DIGITS = 4
_MAX_ROWS = 24
_COLOURS = {NAME: BLUE, "JPEG": ORANGE, "WebP": GREEN, "Opus": ORANGE, "MP3": GREEN}

_TABLE_CAPTION = (
    "Sizes include headers. “Theory, gap” is the size in bytes that the models predict for our payload (everything "
    "except headers), and by how many percent the payload is larger. It can be smaller: the coder gives every value a "
    "minimum probability, so an outlier costs fewer bits than under the likelihood. At the lowest rates, other formats "
    "with one file for each signal spend most of their bytes on headers. Quality is measured on the decoded files."
)
_FIGURE_CAPTIONS = {
    "bit/dim": "Dashed lines and hollow dots have one file for each image, so every image pays for a header; the "
    "others have all images in one file. PSNR prefers the mean of all likely images, which is blurred: compare the "
    "pictures too.",
    "bit/s": "The same judges score every decoded file. Other formats begin at the lowest rate of their encoders.",
}


@dataclass(frozen=True)
class FileRow:
    """One format at one setting; cells without a value are empty. `note` compares its rate with that of our files."""

    name: str
    setting: str
    cells: tuple[str, ...]
    note: str
    ours: bool


@dataclass(frozen=True)
class FileTable:
    """All formats, with a caption that explains the columns."""

    columns: tuple[str, ...]
    rows: tuple[FileRow, ...]
    caption: str


def file_table(evaluation: Evaluation) -> FileTable:
    """A column for each metric of at least one file. Of a long list, only our settings, the lossless formats and the
    settings that are compared with ours are rows.
    """
    files = evaluation.files
    shown = files
    if len(files) > _MAX_ROWS:
        shown = tuple(f for f in files if f.name == NAME or f.kind == "lossless" or f.matches)
    names = [name for name in _METRICS if any(name in file.metrics for file in files)]
    unit = files[0].rate.unit if files else ""
    ours = {file.setting: file for file in files if file.name == NAME}
    return FileTable(
        columns=(unit, *(COLUMNS[name] for name in names), "signals", "files", "bytes", "headers", "theory, gap"),
        rows=tuple(_row(file, names, ours) for file in shown),
        caption=_TABLE_CAPTION
        + (" The other settings are in the figure and in evaluation.json." if len(shown) < len(files) else ""),
    )


def _row(file: FileFormat, names: list[str], ours: dict[str, FileFormat]) -> FileRow:
    theory = ""
    if file.theory is not None:
        theory = f"{file.theory.bits / 8:,.0f} {file.theory.gap:+.2f} %".replace("-", "−")
    times = [f"{file.rate.value / ours[setting].rate.value:.2f} times “{setting}”" for setting in file.matches]
    return FileRow(
        name=file.name,
        setting=file.setting,
        cells=(
            f"{file.rate.value:,.0f}" if file.rate.value >= 10**_DIGITS else f"{file.rate.value:.{_DIGITS}g}",
            *(f"{file.metrics[n].value:.{_DIGITS}g}" if n in file.metrics else "" for n in names),
            *(f"{count:,}" for count in (file.signals, file.files, file.bytes)),
            "" if file.overhead_bytes is None else f"{file.overhead_bytes:,}",
            theory,
        ),
        note=f"The nearest rate at or above ours: {', '.join(times)}" if times else "",
        ours=file.name == NAME,
    )


def files_sections(evaluation: Evaluation) -> list[Section]:
    """The figure of quality against rate of every lossy format, one panel for each metric; none without files."""
    panels = _panels(evaluation)
    if not panels:
        return []
    caption = "Each dot is one setting of a format. Rates include every byte of the files; their axis is logarithmic. "
    caption += _FIGURE_CAPTIONS.get(evaluation.files[0].rate.unit, "")
    title = "Quality against size of files"
    return [Section("files-rate-distortion", title, caption, lambda: panels_figure(panels))]


def _panels(evaluation: Evaluation) -> list[Panel]:
    curves: dict[tuple[str, bool], list[FileFormat]] = {}
    for file in sorted(evaluation.files, key=lambda f: f.rate.value):
        if file.kind == "lossy":
            # Headers of many small files add to the rate; compared with recordings they are negligible.
            one_each = file.files == file.signals > 1 and file.rate.unit == "bit/dim"
            curves.setdefault((file.name, one_each), []).append(file)
    panels = []
    for metric in _DRAWN_METRICS:
        lines = [
            _line(name, [file for file in files if metric in file.metrics], metric, one_each=one_each)
            for (name, one_each), files in sorted(curves.items())
            if any(metric in file.metrics for file in files)
        ]
        if lines:
            title, y_label = AXES[metric]
            panels.append(Panel(title, y_label, lines, x_label=evaluation.files[0].rate.unit, log_x=True))
    return panels


def _line(name: str, files: list[FileFormat], metric: str, *, one_each: bool) -> Line:
    return Line(
        f"{name}, a file each" if one_each else name,
        [file.rate.value for file in files],
        [file.metrics[metric].value for file in files],
        _COLOURS[name.split(",", maxsplit=1)[0]],
        dashed=one_each,
        dots=len(files) == 1,
    )
