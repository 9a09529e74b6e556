"""Files below a folder as a data set: which there are, which split each falls into, which class its place tells."""

import hashlib
import logging
import os
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from codeword.config import AudioFolderConfig, ImageFolderConfig
from codeword.data.base import Split
from codeword.errors import DataError

_log = logging.getLogger("codeword")


def split_of(name: str, config: ImageFolderConfig | AudioFolderConfig) -> Split:
    """The split of a file, from its path below the root (with forward slashes) alone."""
    # macOS stores names decomposed, others composed: normalised, the same name hashes the same.
    normal = unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")
    place = int.from_bytes(hashlib.sha256(normal).digest()[:8]) / 2**64
    if place < config.test_fraction:
        return "test"
    return "valid" if place < config.test_fraction + config.valid_fraction else "train"


def names_below(root: Path, suffixes: Collection[str]) -> Iterator[str]:
    """Paths below root, with forward slashes, of all files with these suffixes; hidden ones are left out."""
    seen = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:  # A link that leads back up would never end.
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        below = Path(folder).relative_to(root)
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes:
                yield (below / name).as_posix()


def names_of_split(
    names: Sequence[str], root: Path, config: ImageFolderConfig | AudioFolderConfig, split: Split
) -> list[str]:
    """Those of `names` that fall into a split. Raises DataError where none does."""
    mine = [name for name in names if split_of(name, config) == split]
    if not mine:
        raise DataError(
            f"None of the {len(names):,} files in {root} falls into the {split} split; add files, or change "
            f"data.valid_fraction ({config.valid_fraction}) and data.test_fraction ({config.test_fraction})."
        )
    return mine


def classes_of(root: Path, names: Sequence[str]) -> tuple[str, ...]:
    """The first-level subfolders, sorted; none, with a warning, where files also lie beside them."""
    folders = {name.partition("/")[0] for name in names if "/" in name}
    loose = [name for name in names if "/" not in name]
    if folders and loose:
        _log.warning(
            "Files lie in %s itself (%s) and in its subfolders, so there are no classes; move them into a "
            "subfolder if the subfolders are classes.", root, some(loose),
        )  # fmt: skip
        return ()
    return tuple(sorted(folders))


def some(names: Sequence[str]) -> str:
    """The first three names, and how many more there are."""
    rest = len(names) - 3
    return ", ".join(names[:3]) + (f" and {rest:,} more" if rest > 0 else "")
