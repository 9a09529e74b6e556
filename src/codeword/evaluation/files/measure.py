"""Files of a split in every format: sizes, rates, and the quality of the decoded signals."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from codeword.codec import Signal
from codeword.config import EvaluationConfig
from codeword.data import Dataset
from codeword.errors import UnsupportedError, UsageError
from codeword.evaluation.files.amounts import Amounts, Progress
from codeword.evaluation.files.codeword_files import NAME, CodewordFiles
from codeword.evaluation.files.images import ImageFiles
from codeword.evaluation.files.speech import RecordingFiles
from codeword.evaluation.medium import medium_name
from codeword.evaluation.results import FileFormat
from codeword.model import Model


@dataclass(frozen=True)
class FileMeasures:
    """File formats, ours first; `left_out` gives the reason for each one that could not be measured."""

    files: tuple[FileFormat, ...]
    left_out: dict[str, str] = field(default_factory=dict)


class MediumFiles(Protocol):
    """Files of the first signals of a split of one medium; `others` also fills `left_out`."""

    signals: list[Signal]
    amounts: Amounts
    left_out: dict[str, str]

    def ours(self, files: CodewordFiles) -> Iterator[FileFormat]: ...

    def others(self) -> Iterator[FileFormat]: ...


# By the medium's name; all others have signals of one size, as images do.
_FILES: dict[str, Callable[..., MediumFiles]] = {"audio": RecordingFiles}


def measure_files(model: Model, data: Dataset, config: EvaluationConfig, *, progress: Progress) -> FileMeasures:
    """Write a split as files in our formats and others, and read them back; on the CPU.

    Raises:
        DataError: a signal cannot be read.
    """
    medium = _FILES.get(medium_name(model.tokenizer.config), ImageFiles)(model, data, config.limit, progress)
    ours = CodewordFiles(model, medium.signals, medium.amounts, progress)
    files, left_out = list(medium.ours(ours)), {}
    try:
        files.append(ours.lossless("one file, lossless"))
    except (UsageError, UnsupportedError) as error:
        left_out["lossless files"] = str(error)
    files += medium.others()
    return FileMeasures(matched(files), left_out | medium.left_out)


def matched(files: Sequence[FileFormat]) -> tuple[FileFormat, ...]:
    """The same files, with `matches`: for each of our lossy settings, the setting of every other format with the
    nearest rate that is not lower.
    """
    matches: dict[int, list[str]] = {}
    others: dict[str, list[int]] = {}
    for i, file in enumerate(files):
        if file.kind == "lossy" and file.name != NAME:
            others.setdefault(file.name, []).append(i)
    for ours in files:
        if ours.name != NAME or ours.kind != "lossy":
            continue
        for places in others.values():
            above = [i for i in places if files[i].rate.value >= ours.rate.value]
            if above:
                nearest = min(above, key=lambda i: files[i].rate.value)
                matches.setdefault(nearest, []).append(ours.setting)
    return tuple(file.model_copy(update={"matches": tuple(matches.get(i, ()))}) for i, file in enumerate(files))
