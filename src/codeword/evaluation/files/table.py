"""The table of files, as the terminal and the report print it."""

from dataclasses import dataclass

from codeword.evaluation.files.codeword_files import NAME
from codeword.evaluation.results import Evaluation, FileFormat

_COLUMNS = {
    "psnr_db": "PSNR, dB",
    "per": "PER, %",
    "stoi": "STOI",
    "pesq_wb": "PESQ",
    "log_mel_distance": "Log-mel, Np",
    "bits_per_sample": "bit/sample",
}
_DIGITS = 4
_MOST_ROWS = 24


@dataclass(frozen=True)
class FileRow:
    """One format; unknown cells are empty. `note` names our settings with the nearest lower rate."""

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
    """A column for each figure that some file has; of very many settings, only those that are compared with ours."""
    files = evaluation.files
    shown = files
    if len(files) > _MOST_ROWS:
        shown = tuple(f for f in files if f.name == NAME or f.kind == "lossless" or f.matches)
    names = [name for name in _COLUMNS if any(name in file.metrics for file in files)]
    unit = files[0].rate.unit if files else ""
    ours = {file.setting: file for file in files if file.name == NAME}
    return FileTable(
        columns=(unit, *(_COLUMNS[name] for name in names), "signals", "files", "bytes", "headers", "theory, gap"),
        rows=tuple(_row(file, names, ours) for file in shown),
        caption="Every byte counts, headers too. Theory is what our payload, all but headers, must cost in bytes, and "
        "by how much it is larger; it is smaller where a coder that holds every value possible finds an outlier less "
        "unlikely than the likelihood does. Other formats that write each signal to a file of its own spend most of it "
        "on headers at the lowest rates. Distortion is that of what was read back."
        + (" The other settings are in the figure, and in evaluation.json." if len(shown) < len(files) else ""),
    )


def _row(file: FileFormat, names: list[str], ours: dict[str, FileFormat]) -> FileRow:
    theory = ""
    if file.theory is not None:
        theory = f"{file.theory.bits / 8:,.0f} {file.theory.gap:+.2f} %".replace("-", "−")
    times = [f"{file.rate.value / ours[setting].rate.value:.2f} times “{setting}”" for setting in file.matches]
    note = f"The nearest rate at or above ours: {', '.join(times)}" if times else ""
    return FileRow(
        name=file.name,
        setting=file.setting,
        cells=(
            f"{file.rate.value:,.0f}" if file.rate.value >= 10**_DIGITS else f"{file.rate.value:.{_DIGITS}g}",
            *(f"{file.metrics[n].value:.{_DIGITS}g}" if n in file.metrics else "" for n in names),
            f"{file.signals:,}",
            f"{file.files:,}",
            f"{file.bytes:,}",
            "" if file.overhead_bytes is None else f"{file.overhead_bytes:,}",
            theory,
        ),
        note=note,
        ours=file.name == NAME,
    )
