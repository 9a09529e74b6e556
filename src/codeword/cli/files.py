"""Which files a command is given, where what it makes of them goes, and what is said of those that fail."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from codeword.cli.show import Outcome
from codeword.data.files.tree import names_below
from codeword.errors import CodewordError, DataError, UsageError


def files_of(
    inputs: list[Path], done: Outcome, *, suffixes: Collection[str], kind: str, others: Mapping[str, str]
) -> Iterator[tuple[Path, str]]:
    """Path and name of every file of files and folders; the name of one in a folder is its path below that folder.

    In folders only the files with these `suffixes` count; where there are none, that is noted: they hold no `kind`.
    A file given by itself is refused, and that noted, where its suffix is among `others`, with what it is then.
    """
    for path in inputs:
        if path.is_dir():
            names = sorted(names_below(path, suffixes))
            if not names:
                done.failures[str(path)] = f"{path} holds no {kind}."
            yield from ((path / name, name) for name in names)
        elif found := others.get(path.suffix.lower()):
            done.failures[str(path)] = f"{path} is {found} by its suffix, but this is for {kind}; leave it out."
        else:
            yield path, path.name


@contextmanager
def noting(done: Outcome, path: Path, error_class: type[CodewordError] = CodewordError) -> Iterator[None]:
    """Turns an error of ours about one file into a note, so that the others go on."""
    try:
        yield
    except error_class as error:
        done.failures[str(path)] = str(error)


class Targets:
    """Where files go: below one folder, never outside it, no two in one place, none over what it is made of."""

    def __init__(self, out: Path, suffix: str) -> None:
        self.out, self.suffix, self.taken = out, suffix, set[Path]()

    def path(self, name: str, *, source: Path | None = None) -> Path:
        """The place for the file of this name, with our suffix. Raises DataError, UsageError."""
        below = Path(name)
        if below.is_absolute() or ".." in below.parts or not below.name or "\0" in name:
            raise DataError(f"The name {name!r} leads out of {self.out}, or nowhere; it was left out.")
        below = below.with_suffix(self.suffix)
        target = self.out / below
        if below in self.taken:
            raise UsageError(f"{name}: another of the inputs goes to {target} too; give them other names.")
        self.taken.add(below)
        must_not_overwrite(target, source)
        return target


def must_not_overwrite(target: Path, source: Path | None) -> None:
    """Raises UsageError where writing `target` would destroy the input it is made from."""
    if source is not None and target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"{source} would be overwritten by what is made of it; choose another --out.")
