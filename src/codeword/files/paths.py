"""Inputs and outputs of the commands on files: the media files among the inputs, the output paths, and the outcome."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from codeword.data.files.tree import abbreviate, names_below
from codeword.errors import CodewordError, DataError, UnsupportedError, UsageError
from codeword.media import MEDIA, Medium, medium_of_files
from codeword.model import Model
from codeword.pretrained import load, load_pretrained
from codeword.tokenizer import Tokenizer

StrPath = str | Path
"""A path; for a model also the name of one in the package, or `owner/name` on the Hugging Face Hub."""


@dataclass
class Outcome:
    """Results by the name of the input, and a message for each input that failed."""

    results: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def record_failure(self, name: object, error_class: type[CodewordError] = CodewordError) -> Iterator[None]:
        """Catch an error and record its message as the failure of `name`; the caller continues with other inputs."""
        try:
            yield
        except error_class as error:
            self.failures[str(name)] = str(error)


def media_files(inputs: Sequence[Path], outcome: Outcome, medium: Medium) -> Iterator[tuple[Path, str]]:
    """Path and name of each file of a medium among files and folders; a file of another medium becomes a failure.

    The name of a file in a folder is its path relative to that folder. In folders, only files with the suffixes of the
    medium are listed; a folder without any becomes a failure.
    """
    other_media = {
        suffix: other.singular for other in MEDIA.values() if other is not medium for suffix in other.suffixes
    }
    for path in inputs:
        if path.is_dir():
            names = sorted(names_below(path, medium.suffixes))
            if not names:
                outcome.failures[str(path)] = f"{path} holds no {medium.plural}."
            yield from ((path / name, name) for name in names)
        elif (noun := other_media.get(path.suffix.lower())) and path.suffix.lower() not in medium.suffixes:
            outcome.failures[str(path)] = (
                f"{path} is {noun} by its suffix, but this is for {medium.plural}; leave it out."
            )
        else:
            yield path, path.name


class Targets:
    """Paths of output files. All are inside the folder `out`, all are different, and none is that of its own input."""

    def __init__(self, out: Path, suffix: str) -> None:
        self.out, self.suffix, self.used = out, suffix, set[Path]()

    def path(self, name: str, *, source: Path | None = None) -> Path:
        """The output path for the input of this name. Raises DataError, UsageError.

        The suffix of the name is replaced by that of the format; `source` is the path of the input.
        """
        relative = Path(name)
        if relative.is_absolute() or ".." in relative.parts or not relative.name or "\0" in name:
            raise DataError(
                f"The name {name!r} is not a path inside {self.out}, so its file was not written; rename it."
            )
        relative = relative.with_suffix(self.suffix)
        target = self.out / relative
        if relative in self.used:
            raise UsageError(f"{name}: the output of another input is {target} too; rename one of them.")
        self.used.add(relative)
        check_not_overwritten(target, source)
        return target


def check_not_overwritten(target: Path, source: Path | None) -> None:
    """Raises UsageError if `source` and `target` are the same file."""
    if source is not None and target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"{source} would be overwritten by its own output; write to another path.")


def load_for(inputs: Sequence[Path], model: str | Path | None) -> Model:
    """Load `model`, or with None the model in the package for the medium of the first media file in `inputs`.

    Raises:
        UsageError: there is no such model, no input is a media file, or its medium has no model in the package.
    """
    if model is not None:
        return load(model)
    suffixes = frozenset().union(*(medium.suffixes for medium in MEDIA.values()))
    names = (names_below(path, suffixes) if path.is_dir() else [str(path)] for path in inputs)
    medium = medium_of_files(map(Path, chain.from_iterable(names)))
    if not medium.pretrained:
        raise UsageError(f"No model for {medium.plural} comes with Codeword; give a model.")
    return load_pretrained(medium.pretrained)


def is_one_file(out: Path, medium: Medium, count: int, format: str | None) -> bool:
    """True if `out` is a file and False if it is a folder, for `count` signals.

    Raises UsageError if `out` is a file, and `count` is above 1 or its suffix contradicts the medium or the `format`.
    """
    suffix = out.suffix.removeprefix(".").lower() if not out.is_dir() else ""
    check_format(medium, suffix or format or medium.formats[0], out)
    if suffix and count > 1:
        raise UsageError(f"{out} is one file, but there are {count} {medium.plural}; give a folder.")
    if suffix and (format or suffix) != suffix:
        raise UsageError(f"{out} is not {format}; leave the format out, or change the suffix.")
    return bool(suffix)


def check_format(medium: Medium, format: str, out: Path | None = None) -> None:
    """Raises UsageError if files of this medium are not written in this format."""
    if format not in medium.formats:
        to = f" to {out}" if out is not None else ""
        raise UsageError(
            f"{medium.plural.capitalize()} are not written as {format!r}{to}; use {' or '.join(medium.formats)}."
        )


def class_number(tokenizer: Tokenizer, model: StrPath | None, speaker: str) -> int:
    """The class of a speaker, given by name, in the decoder of `model`. Raises UsageError, UnsupportedError."""
    name = "the model" if model is None else str(model)
    names = tokenizer.config.classes
    if not names:
        raise UnsupportedError(
            f"The decoder of {name} is not conditioned on speakers, so none can be chosen; use a model trained with "
            f"tokenizer.conditional=true."
        )
    if speaker not in names:
        raise UsageError(f"{name} has no speaker {speaker!r}; there are {abbreviate(names, most=20)}.")
    return names.index(speaker)
