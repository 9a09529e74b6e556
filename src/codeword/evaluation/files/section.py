"""Section on files: quality against rate of every format."""

from itertools import groupby

from matplotlib.figure import Figure

from codeword.evaluation.files.codeword_files import NAME
from codeword.evaluation.report.figures import BLUE, GREEN, ORANGE, Line, Panel, Section, panels_figure
from codeword.evaluation.results import Evaluation, FileFormat

_PANELS = (
    ("psnr_db", "Fidelity", "PSNR, dB (higher is better)"),
    ("per", "Phone error rate", "% (lower is better)"),
    ("stoi", "Intelligibility", "STOI (higher is better)"),
    ("pesq_wb", "Quality", "PESQ (higher is better)"),
)
_COLOURS = {NAME: BLUE, "JPEG": ORANGE, "WebP": GREEN, "Opus": ORANGE, "MP3": GREEN}

_CAPTIONS = {
    "bit/dim": "Dashed, or hollow: each image in a file of its own, whose header counts; else all images are in one. "
    "PSNR favours the mean of all likely images, which is blurred: look at the pictures too.",
    "bit/s": "The same judges score every decoded file. Other formats begin at the lowest rate of their encoders.",
}


def files_sections(evaluation: Evaluation) -> list[Section]:
    """The section on files, if they were measured."""
    if not any(_panels(evaluation)):
        return []
    caption = "Each dot is one setting of a format, with every byte of its files, on a logarithmic axis. "
    caption += _CAPTIONS.get(evaluation.files[0].rate.unit, "")
    return [
        Section(
            "files-rate-distortion",
            "Quality against size of files",
            caption,
            lambda: rate_distortion_figure(evaluation),
        )
    ]


def rate_distortion_figure(evaluation: Evaluation) -> Figure:
    """Quality against rate of every lossy format, one panel for each measure."""
    return panels_figure(_panels(evaluation))


def _panels(evaluation: Evaluation) -> list[Panel]:
    # A portable file has the same codes, so it is not another point of the curve.
    lossy = [file for file in evaluation.files if file.kind == "lossy" and "portable" not in file.setting]
    panels = []
    for metric, title, y_label in _PANELS:
        known = sorted((f for f in lossy if metric in f.metrics), key=lambda f: (f.name, _apart(f), f.rate.value))
        lines = [
            _line(name, apart, list(files), metric)
            for (name, apart), files in groupby(known, key=lambda f: (f.name, _apart(f)))
        ]
        if lines:
            panels.append(Panel(title, y_label, lines, x_label=known[0].rate.unit, log_x=True))
    return panels


def _apart(file: FileFormat) -> bool:
    """True if headers of many small files add to the rate; compared with recordings they are negligible."""
    return file.files == file.signals > 1 and file.rate.unit == "bit/dim"


def _line(name: str, apart: bool, files: list[FileFormat], metric: str) -> Line:
    return Line(
        f"{name}, a file each" if apart else name,
        [file.rate.value for file in files],
        [file.metrics[metric].value for file in files],
        _COLOURS[name.split(",", maxsplit=1)[0]],
        dashed=apart,
        dots=len(files) == 1,
    )
