"""Which files are measured of which data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from codeword.config import EvaluationConfig
from codeword.data import Dataset
from codeword.data.recordings import Recordings
from codeword.evaluation.files.codeword_files import NAME
from codeword.evaluation.files.images import measure_image_files
from codeword.evaluation.files.speech import measure_recording_files
from codeword.evaluation.results import FileFormat
from codeword.model import Model


@dataclass(frozen=True)
class MeasuredFiles:
    """Ours first; `left_out` says which could not be had, and why."""

    files: tuple[FileFormat, ...]
    left_out: dict[str, str] = field(default_factory=dict)


def measure_files(
    model: Model, data: Dataset, config: EvaluationConfig, *, progress: Callable[[int, int], None]
) -> MeasuredFiles:
    """Write a split as files of ours and of other formats, and read them back; on the CPU.

    Raises:
        DataError: a signal cannot be read.
    """
    if isinstance(data, Recordings):
        files, left_out = measure_recording_files(model, data, config, progress=progress)
    else:
        files, left_out = measure_image_files(model, data, config, progress=progress)
    return MeasuredFiles(matched(files), left_out)


def matched(files: Sequence[FileFormat]) -> tuple[FileFormat, ...]:
    """The same, each format's nearest rate at or above each of ours named; its lowest, where it cannot go as low."""
    matches: dict[int, list[str]] = {}
    rivals: dict[str, list[int]] = {}
    for i, file in enumerate(files):
        if file.kind == "lossy" and file.name != NAME:
            rivals.setdefault(file.name, []).append(i)
    for ours in files:
        if ours.name != NAME or ours.kind != "lossy":
            continue
        for places in rivals.values():
            above = [i for i in places if files[i].rate.value >= ours.rate.value]
            if above:
                nearest = min(above, key=lambda i: files[i].rate.value)
                matches.setdefault(nearest, []).append(ours.setting)
    return tuple(file.model_copy(update={"matches": tuple(matches.get(i, ()))}) for i, file in enumerate(files))
