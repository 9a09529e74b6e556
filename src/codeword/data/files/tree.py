"""Folders of media files as data sets: the files, the split of each, and the classes that the subfolders name."""

import hashlib
import logging
import os
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from codeword.config import AudioFolderConfig, ImageFolderConfig, SourceConfig, TokensConfig
from codeword.data.base import Split
from codeword.errors import DataError

_log = logging.getLogger("codeword")


@dataclass(frozen=True)
class Folder:
    """The media files below `root`: `names` are their sorted paths relative to `root`, with forward slashes."""

    root: Path
    names: tuple[str, ...]

    def names_of(self, split: Split, config: ImageFolderConfig | AudioFolderConfig) -> list[str]:
        """The files of one split, sorted, as `names_of_split` divides them. Raises DataError if there is none."""
        return names_of_split(self.names, split, config, place=str(self.root), noun="files")

    def classes(self) -> tuple[str, ...]:
        """The first-level subfolders, sorted; empty, with a warning, if `root` itself holds files as well."""
        subfolders = {name.partition("/")[0] for name in self.names if "/" in name}
        files_of_root = [name for name in self.names if "/" not in name]
        if subfolders and files_of_root:
            _log.warning(
                "%s holds files of its own (%s) besides its subfolders, so there are no classes; move the files into "
                "a subfolder if the subfolders are classes.", self.root, abbreviate(files_of_root),
            )  # fmt: skip
            return ()
        return tuple(sorted(subfolders))


def names_of_split(
    names: Sequence[str],
    split: Split,
    config: ImageFolderConfig | AudioFolderConfig | SourceConfig | TokensConfig,
    *,
    place: str,
    noun: str,
) -> list[str]:
    """The names of one split, sorted; `place` and `noun` say in messages where they are and what they name.

    The splits are shares of the names in the order of their hashes: test, valid, train. Each has a name if there are
    three. An added name moves one or two names over each cut, but none from train to test.

    Raises:
        DataError: the split is empty.
    """
    count = len(names)
    # Fractions are below one half, so that train keeps at least one name.
    valid = max(1, int(count * config.valid_fraction)) if count > 1 else 0
    test = max(1, int(count * config.test_fraction)) if count > 2 else 0
    order = sorted(names, key=_hash)
    chosen = {"test": order[:test], "valid": order[test : test + valid], "train": order[test + valid :]}[split]
    if not chosen:
        raise DataError(
            f"{place} holds too few {noun} ({count}) for a {split} split; add {noun} until there are three."
        )
    return sorted(chosen)


def open_folder(root: Path, suffixes: Collection[str], *, kind: str) -> Folder:
    """List the media files below `root`; `kind` is a noun for them in messages.

    Raises:
        DataError: the folder is missing or holds no such file.
    """
    root = root.expanduser()
    advice = f"give the folder that holds the {kind} (data.root in a recipe)."
    if not root.is_dir():
        raise DataError(f"There is no folder {root}; {advice}")
    names = tuple(sorted(names_below(root, suffixes)))
    if not names:
        raise DataError(
            f"{root} holds no {kind} (no file name ends in {', '.join(sorted(suffixes)[:3])}, ...); {advice}"
        )
    return Folder(root, names)


def _hash(name: str) -> bytes:
    """A hash of the path below the root, with forward slashes, which is the same on every machine."""
    # macOS stores names in Unicode form NFD, other systems in NFC; both must give the same hash.
    return hashlib.sha256(unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")).digest()


def _log_problem(path: str, message: str) -> None:
    _log.warning("%s", message)


def names_below(
    root: Path, suffixes: Collection[str], report: Callable[[str, str], object] = _log_problem
) -> Iterator[str]:
    """Paths relative to `root`, with forward slashes, of all files with these suffixes, except hidden ones.

    Links to folders are followed, except to a folder that the link is in. `report` receives the path and a message for
    each folder that cannot be listed, and for each link that leads nowhere.
    """
    # Folders to visit, each with the real paths of those that it was reached through.
    folders: list[tuple[str, tuple[str, ...]]] = [("", ())]
    while folders:
        below, above = folders.pop()
        path = os.path.join(root, below)
        if (real := os.path.realpath(path)) in above:
            continue
        try:
            with os.scandir(path) as listing:
                entries = [entry for entry in listing if not entry.name.startswith(".")]
        except FileNotFoundError:  # `root` does not exist, which the caller notices.
            continue
        except OSError as error:
            report(path, f"{path} cannot be listed ({error.strerror}), so its files are left out.")
            continue
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            if _is_folder(entry):
                folders.append((name, (*above, real)))
            elif Path(name).suffix.lower() in suffixes:
                yield name
            elif entry.is_symlink() and not os.path.exists(entry.path):
                report(entry.path, f"{entry.path} is a link that leads nowhere; remove it, or restore its target.")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link to itself.
        return False


def unreadable(
    names: Sequence[str], readable: Collection[str], *, root: Path | str, kind: str, split: Split
) -> list[str]:
    """Return the names that are not in `readable`, and log one warning that lists them.

    Raises:
        DataError: no file is readable.
    """
    broken = [name for name in names if name not in readable]
    if len(broken) == len(names):
        raise DataError(
            f"None of the {len(names):,} {kind} of the {split} split in {root} can be read ({abbreviate(broken)}); "
            f"replace them."
        )
    if broken:
        _log.warning(
            "%d of %d %s in %s cannot be read and are skipped: %s.",
            len(broken),
            len(names),
            kind,
            root,
            abbreviate(broken),
        )
    return broken


def abbreviate(names: Sequence[str], *, most: int = 3) -> str:
    """The first `most` names, separated by commas, and the number of the others."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")
