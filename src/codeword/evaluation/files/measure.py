"""Files of a split in every format: sizes, rates, and the quality of the decoded signals."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from codeword.codec import CompressOptions, Signal
from codeword.config import EvaluationConfig
from codeword.data import Dataset
from codeword.errors import UnsupportedError, UsageError
from codeword.evaluation.files.amounts import Amounts, Progress
from codeword.evaluation.files.codeword_files import NAME, CodewordFiles
from codeword.evaluation.files.images import ImageFiles
from codeword.evaluation.files.speech import RecordingFiles
from codeword.evaluation.files.tokens import TokenFormats
from codeword.evaluation.medium import medium_name
from codeword.evaluation.results import FileFormat
from codeword.model import Model


@dataclass(frozen=True)
class FileMeasures:
    """Results for all file formats, ours first; `left_out` gives the reason for each format that is not measured."""

    files: tuple[FileFormat, ...]
    left_out: dict[str, str] = field(default_factory=dict)


class MediumFiles(Protocol):
    """Files of the first signals of a split of one medium; `others` also fills `left_out`."""

    signals: list[Signal]
    amounts: Amounts
    left_out: dict[str, str]

    def ours(self, files: CodewordFiles) -> Iterator[FileFormat]: ...

    def others(self) -> Iterator[FileFormat]: ...


# By the name of the medium; every other medium has signals of one size and uses the formats of images.
_FILES: dict[str, Callable[..., MediumFiles]] = {"audio": RecordingFiles, "tokens": TokenFormats}


def measure_files(model: Model, data: Dataset, config: EvaluationConfig, *, progress: Progress) -> FileMeasures:
    """Write a split to files in our format and in others, and decode them; on the CPU.

    Raises:
        DataError: a signal cannot be read.
    """
    medium = _FILES.get(medium_name(model.tokenizer.config), ImageFiles)(model, data, config.limit, progress)
    ours = CodewordFiles(model, medium.signals, medium.amounts, progress)
    files, left_out = list(medium.ours(ours)), {}
    try:
        files.append(ours.check(ours.write("one file, lossless", CompressOptions(lossless=True))))
    except (UsageError, UnsupportedError) as error:
        left_out["lossless files"] = str(error)
    files += medium.others()
    return FileMeasures(matched(files), left_out | medium.left_out)


def matched(files: Sequence[FileFormat]) -> tuple[FileFormat, ...]:
    """The same files with `matches` filled in: for each of our lossy settings, the setting of every other lossy
    format with the nearest rate that is not lower.
    """
    matches: dict[int, list[str]] = {}
    lossy = [i for i, file in enumerate(files) if file.kind == "lossy"]
    names = dict.fromkeys(files[i].name for i in lossy if files[i].name != NAME)
    for ours in (files[i] for i in lossy if files[i].name == NAME):
        for name in names:
            candidates = [i for i in lossy if files[i].name == name and files[i].rate.value >= ours.rate.value]
            if candidates:
                nearest = min(candidates, key=lambda i: files[i].rate.value)
                matches.setdefault(nearest, []).append(ours.setting)
    return tuple(file.model_copy(update={"matches": tuple(matches.get(i, ()))}) for i, file in enumerate(files))
