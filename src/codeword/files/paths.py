"""Inputs and outputs of the commands on files: the media files among the inputs, the output paths, and the outcome."""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from codeword.data.files.tree import abbreviate, names_below
from codeword.errors import CodewordError, UnsupportedError, UsageError
from codeword.media import MEDIA, Medium, medium_of_files, medium_of_suffix
from codeword.model import Model
from codeword.pretrained import load, load_pretrained
from codeword.store import check_place, distinct, escape_name, unescape_name
from codeword.tokenizer import Tokenizer

StrPath = str | Path
"""A path; for a model also the name of one in the package, or `owner/name` on the Hugging Face Hub."""

ErrorClasses = type[CodewordError] | tuple[type[CodewordError], ...]


@dataclass
class Outcome:
    """Results by the name of the input, and a message for each input that failed."""

    results: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def record_failure(self, name: object, classes: ErrorClasses = CodewordError) -> Iterator[None]:
        """Catch an error and record its message as the failure of `name`; the caller continues with other inputs."""
        try:
            yield
        except classes as error:
            self.failures[str(name)] = str(error)


def media_files(inputs: Sequence[Path], outcome: Outcome, medium: Medium) -> list[tuple[Path, str]]:
    """Path and name of each file of a medium among files and folders; a file of another medium becomes a failure.

    In folders, only files with the suffixes of the medium are listed, including those of formats that cannot be read,
    so that none is lost in silence; a folder without any becomes a failure, as does a part of it that cannot be listed.
    A file that is given twice is listed once.

    The name of a file is that of the path without its folder, and of a file in a folder the path below this folder. If
    two files then have the same name, all names are paths below the deepest folder that holds all inputs.
    """
    found = dict[str, tuple[Path, str]]()
    for path in inputs:
        if os.path.isdir(path):
            below = sorted(names_below(path, medium.known_suffixes, outcome.failures.__setitem__))
            if not below:
                outcome.failures.setdefault(str(path), f"{path} holds no {medium.plural}.")
            for name in below:
                found.setdefault(os.path.abspath(path / name), (path / name, name))
        elif path.suffix.lower() not in medium.known_suffixes and (other := medium_of_suffix(path)):
            outcome.failures[str(path)] = (
                f"{path} is {other.singular} by its suffix, but this is for {medium.plural}; leave it out."
            )
        else:
            found.setdefault(os.path.abspath(path), (path, path.name))
    if len({name for _, name in found.values()}) < len(found):
        folders = [path if os.path.isdir(path) else path.parent for path in inputs]
        base = os.path.commonpath([os.path.abspath(folder) for folder in folders])
        found = {place: (path, Path(place).relative_to(base).as_posix()) for place, (path, _) in found.items()}
    return [(path, escape_name(name)) for path, name in found.values()]


class Targets:
    """Paths of output files, a different one for each of the different `names`, inside the folder `out`.

    A name gets the suffix of the output instead of its own. Names that differ only in their suffixes keep them, except
    for one that has that of the output: a.jpg and a.png become a.jpg.png and a.png. Those of `kept` keep theirs. With
    `one_file`, the only output is `out` itself.

    Raises:
        UsageError: `out` is no folder, or as `check_outputs`.
    """

    def __init__(
        self,
        out: Path,
        suffix: str,
        names: Iterable[str],
        *,
        inputs: Iterable[Path] = (),
        force: bool = False,
        one_file: bool = False,
        kept: Collection[str] = (),
    ) -> None:
        self.out, self._kept = out, kept
        if one_file:
            self.paths = dict.fromkeys(names, out)
        elif os.path.exists(out) and not os.path.isdir(out):
            raise UsageError(f"{out} is not a folder, but the outputs need one; choose another path.")
        elif out.suffix == suffix and not os.path.isdir(out):
            raise UsageError(f"{out} is the name of a file, but the outputs need a folder; leave out the {suffix}.")
        else:
            self.paths = self._in_folder([name for name in names if _is_inside(unescape_name(name))], suffix)
        check_outputs(self.paths.values(), inputs=inputs, force=force)

    def path(self, name: str) -> Path:
        """The output path for the input of this name. Raises UsageError if the name leads out of the folder."""
        if name not in self.paths:
            raise UsageError(
                f"The name {name!r} is not a path inside {self.out}, so its file was not written; rename it."
            )
        return self.paths[name]

    def _in_folder(self, names: Sequence[str], suffix: str) -> dict[str, Path]:
        paths = (Path(unescape_name(name)) for name in names)
        kept = (name in self._kept for name in names)
        short = [
            (path if keep else path.with_suffix(suffix)).as_posix() for path, keep in zip(paths, kept, strict=True)
        ]
        count = Counter(short)
        unique = (s if count[s] == 1 or s == name else f"{name}{suffix}" for name, s in zip(names, short, strict=True))
        return {name: self.out / target for name, target in zip(names, distinct(unique), strict=True)}


def _is_inside(name: str) -> bool:
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts and bool(path.name) and "\0" not in name


def check_outputs(outputs: Collection[Path], *, inputs: Iterable[Path] = (), force: bool = False) -> None:
    """Raises UsageError if an output would replace one of the `inputs`, a folder or a device, or, without `force`, a
    file; or if it is `-`: a command that writes to standard output gives a temporary file.
    """
    if any(path.parts[:1] == ("-",) for path in outputs):
        raise UsageError("Only `codeword compress` and `codeword decompress` write to standard output; give a path.")
    existing = [path for path in outputs if os.path.exists(path)]
    originals = {_identity(path) for path in inputs if os.path.exists(path)} if existing else set()
    for path in existing:
        if _identity(path) in originals:
            raise UsageError(f"{path} is an input, which would be overwritten; write to another path.")
    for path in outputs:
        check_place(path, replace=force)


def _identity(path: Path) -> tuple[int, int]:
    """Two numbers that are equal for two paths of the same file."""
    status = path.stat()
    return status.st_dev, status.st_ino


def as_model(model: StrPath | Model) -> Model:
    """A model as it is, or the one with this name or path. Raises ModelError."""
    return model if isinstance(model, Model) else load(model)


def load_for(inputs: Sequence[Path], model: StrPath | Model | None) -> Model:
    """Load `model`, unless it is one already, or with None the model in the package for the medium of the `inputs`.

    Raises:
        UsageError: there is no such model, the inputs are of no medium or of several, or their medium has no model in
            the package.
    """
    if model is not None:
        return as_model(model)
    suffixes = frozenset().union(*(medium.known_suffixes for medium in MEDIA.values()))
    # Problems in folders are reported when the files of the medium are listed.
    names = (names_below(path, suffixes, lambda *_: None) if os.path.isdir(path) else [str(path)] for path in inputs)
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


def class_number(tokenizer: Tokenizer, model: StrPath | Model | None, speaker: str) -> int:
    """The class of a speaker, given by name, in the decoder of `model`. Raises UsageError, UnsupportedError."""
    name = str(model) if isinstance(model, str | Path) else "the model"
    names = tokenizer.config.classes
    if not names:
        raise UnsupportedError(
            f"The decoder of {name} is not conditioned on speakers, so none can be chosen; use a model trained with "
            f"tokenizer.conditional=true."
        )
    if speaker not in names:
        raise UsageError(f"{name} has no speaker {speaker!r}; there are {abbreviate(names, most=20)}.")
    return names.index(speaker)
