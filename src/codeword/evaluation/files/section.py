"""The figure of files: what each format's bits buy."""

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
    "PSNR asks for the mean of all that may have been, which is blurred: look at the pictures too.",
    "bit/s": "What was read back is heard by the same judges. Other formats begin where their encoders go no lower.",
}


def files_sections(evaluation: Evaluation) -> list[Section]:
    """What the report shows of files, where they were measured."""
    if not any(_panels(evaluation)):
        return []
    caption = "Each dot is one setting of a format, with every byte of its files, on a logarithmic axis. "
    caption += _CAPTIONS.get(evaluation.files[0].rate.unit, "")
    return [
        Section(
            "files-rate-distortion", "What the bytes of files buy", caption, lambda: rate_distortion_figure(evaluation)
        )
    ]


def rate_distortion_figure(evaluation: Evaluation) -> Figure:
    """Distortion against rate of every format that loses, one panel for each judge."""
    return panels_figure(_panels(evaluation))


def _panels(evaluation: Evaluation) -> list[Panel]:
    # A portable file holds the same codes: it is no other point of the curve.
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
    """Whether headers of many small files weigh on the rate; beside those of recordings they are light."""
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
