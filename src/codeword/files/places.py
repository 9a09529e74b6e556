"""Inputs and outputs of work on files: the files given, the places of the results, and the failures."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codeword.data.files.tree import names_below
from codeword.errors import CodewordError, DataError, UnsupportedError, UsageError
from codeword.media import MEDIA, Medium, medium_of_files
from codeword.model import Model
from codeword.pretrained import load_pretrained
from codeword.tokenizer import Tokenizer

Place = str | Path


@dataclass
class Outcome:
    """Results by name, and one sentence for each input that failed."""

    results: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def noting(self, name: object, error_class: type[CodewordError] = CodewordError) -> Iterator[None]:
        """Turn an error about one file into a failure, so that the work continues with the others."""
        try:
            yield
        except error_class as error:
            self.failures[str(name)] = str(error)


def media_files(inputs: Sequence[Path], done: Outcome, medium: Medium) -> Iterator[tuple[Path, str]]:
    """Path and name of every file of a medium among files and folders; those of other media are noted.

    The name of a file in a folder is its path below that folder. In folders only files with the suffixes of the medium
    count; a folder without any is noted.
    """
    others = {suffix: other.singular for other in MEDIA.values() if other is not medium for suffix in other.suffixes}
    for path in inputs:
        if path.is_dir():
            names = sorted(names_below(path, medium.suffixes))
            if not names:
                done.failures[str(path)] = f"{path} holds no {medium.plural}."
            yield from ((path / name, name) for name in names)
        elif (found := others.get(path.suffix.lower())) and path.suffix.lower() not in medium.suffixes:
            done.failures[str(path)] = (
                f"{path} is {found} by its suffix, but this is for {medium.plural}; leave it out."
            )
        else:
            yield path, path.name


class Targets:
    """Places of written files: below one folder, never outside it, no two files in one place, none over its source."""

    def __init__(self, out: Path, suffix: str) -> None:
        self.out, self.suffix, self.taken = out, suffix, set[Path]()

    def path(self, name: str, *, source: Path | None = None) -> Path:
        """The place for the file of this name, with the suffix of the format. Raises DataError, UsageError."""
        below = Path(name)
        if below.is_absolute() or ".." in below.parts or not below.name or "\0" in name:
            raise DataError(f"The name {name!r} leads out of {self.out}, or nowhere; it was left out.")
        below = below.with_suffix(self.suffix)
        target = self.out / below
        if below in self.taken:
            raise UsageError(f"{name}: another of the inputs goes to {target} too; give them other names.")
        self.taken.add(below)
        check_not_overwritten(target, source)
        return target


def check_not_overwritten(target: Path, source: Path | None) -> None:
    """Raises UsageError where writing `target` would destroy the input it is made from."""
    if source is not None and target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"{source} would be overwritten by its own result; write to another place.")


def default_model(paths: Iterable[Path]) -> Model:
    """The model in the package for the medium of these files. Raises UsageError."""
    medium = medium_of_files(paths)
    if not medium.pretrained:
        raise UsageError(f"No model for {medium.plural} comes with Codeword; name one.")
    return load_pretrained(medium.pretrained)


def files_below(inputs: Sequence[Path]) -> Iterator[Path]:
    suffixes = frozenset().union(*(medium.suffixes for medium in MEDIA.values()))
    for path in inputs:
        yield from (Path(name) for name in names_below(path, suffixes)) if path.is_dir() else [path]


def is_one_file(out: Path, medium: Medium, count: int, format: str | None) -> bool:
    """True if `out` is a file rather than a folder. Raises UsageError where it suits neither medium nor `count`."""
    one = out.suffix.removeprefix(".").lower() if not out.is_dir() else ""
    check_format(medium, one or format or medium.formats[0], out)
    if one and count > 1:
        raise UsageError(f"{out} is one file, but there are {count} {medium.plural}; give a folder.")
    if one and (format or one) != one:
        raise UsageError(f"{out} is not {format}; leave the format out, or change the suffix.")
    return bool(one)


def check_format(medium: Medium, format: str, out: Path | None = None) -> None:
    if format not in medium.formats:
        to = f" to {out}" if out is not None else ""
        raise UsageError(
            f"{medium.plural.capitalize()} are not written as {format!r}{to}; use {' or '.join(medium.formats)}."
        )


def class_number(tokenizer: Tokenizer, model: Place | None, speaker: str) -> int:
    """The class of a speaker in the decoder of `model`. Raises UsageError, UnsupportedError."""
    place = "the model" if model is None else str(model)
    names = tokenizer.config.classes
    if not names:
        raise UnsupportedError(
            f"The decoder of {place} is not conditioned on speakers, so none can be chosen; use a model trained with "
            f"tokenizer.conditional=true."
        )
    if speaker not in names:
        raise UsageError(f"{place} knows no speaker {speaker!r}; there are {listed(names)}.")
    return names.index(speaker)


def listed(names: Sequence[str], *, most: int = 20) -> str:
    """The first `most` names with commas between, and the number of the rest."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")
