"""LibriSpeech (Panayotov et al. 2015) in its official layout: subset/speaker/chapter/speaker-chapter-number.flac."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import get_args

from codeword.config import LibriSpeechConfig
from codeword.data.base import Split
from codeword.data.files.manifest import recording_lengths
from codeword.data.files.root import data_root
from codeword.data.files.tree import abbreviate, names_below, unreadable
from codeword.data.phones.alignment import Phone, read_alignments
from codeword.data.recordings import Recording, Recordings
from codeword.errors import DataError, RecipeError

FOLDER = "LibriSpeech"
ALIGNMENTS = "trans.phones.txt"


class LibriSpeech(Recordings):
    """One split of LibriSpeech; the name of a recording is that of its utterance, for example 19-198-0000.

    Raises:
        DataError: the folder is missing, a selector of the split matches no recording, or no recording can be read.
        RecipeError: two splits name the same path.
    """

    def __init__(self, config: LibriSpeechConfig, split: Split) -> None:
        self._folder = find_librispeech(data_root(config.root))
        split_of = _splits_by_selector(config)
        training = _select(self._folder, config.train, split_of, "train")
        names = training if split == "train" else _select(self._folder, getattr(config, split), split_of, split)
        lengths = recording_lengths(self._folder, names, sample_rate=config.sample_rate)
        broken = unreadable(names, lengths, root=self._folder, kind="recordings", split=split)
        super().__init__(
            config,
            [Recording(Path(name).stem, self._folder / name, speaker_of(name), n) for name, n in lengths.items()],
            classes=tuple(sorted({speaker_of(name) for name in training}, key=_natural)),
            skipped=[Path(name).stem for name in broken],
        )
        self._alignments_path = config.alignments

    @cached_property
    def _alignments(self) -> Mapping[str, tuple[Phone, ...]]:
        if self._alignments_path is not None:
            return read_alignments(self._alignments_path.expanduser())
        # If the folder is a link, the alignments may also be next to the target of the link.
        for folder in (self._folder, self._folder.parent, self._folder.resolve().parent):
            if (folder / ALIGNMENTS).is_file():
                return read_alignments(folder / ALIGNMENTS)
        return {}


def find_librispeech(root: Path) -> Path:
    """The folder LibriSpeech, which is `root` or in `root`. Raises DataError if it does not exist."""
    folder = root if root.name == FOLDER else root / FOLDER
    if not folder.is_dir():
        raise DataError(
            f"There is no folder {FOLDER} in {root}; run `codeword data fetch librispeech` for the subset "
            f"dev-clean, or set CODEWORD_DATA or data.root to the folder that holds it."
        )
    return folder


def utterances(folder: Path, selector: str) -> list[str]:
    """The sorted .flac files of a subset, speaker, chapter or utterance, as paths below the folder LibriSpeech.

    Raises:
        DataError: there is none; the message lists the names that exist.
    """
    if selector.count("/") == 3:
        name = selector.removesuffix(".flac") + ".flac"
        names = [name] if (folder / name).is_file() else []
    else:
        paths = (f"{selector}/{name}" for name in names_below(folder / selector, {".flac"}))
        names = sorted(path for path in paths if path.count("/") == 3)
    if not names:
        raise DataError(_missing(folder, selector))
    return names


def _splits_by_selector(config: LibriSpeechConfig) -> dict[str, Split]:
    """The split of each selector. Raises RecipeError if two splits have the same selector."""
    split_of: dict[str, Split] = {}
    for split in get_args(Split):
        for selector in getattr(config, split):
            if split_of.setdefault(selector, split) != split:
                raise RecipeError(
                    f"data.{split_of[selector]} and data.{split} both name {selector}; name it in one of them, or "
                    f"a part of it by a longer path."
                )
    return split_of


def _select(folder: Path, selectors: tuple[str, ...], split_of: dict[str, Split], split: Split) -> list[str]:
    """The sorted files of a split: its selectors match them, and no longer selector of another split does.

    `split_of` maps all selectors to their splits. Raises DataError if there is no file.
    """

    def longest_match(name: str) -> Split | None:
        path = PurePosixPath(name.removesuffix(".flac"))
        return next((split_of[str(prefix)] for prefix in (path, *path.parents) if str(prefix) in split_of), None)

    matches = {name for selector in selectors for name in utterances(folder, selector)}
    names = sorted(name for name in matches if longest_match(name) == split)
    if not names:
        raise DataError(
            f"The {split} split ({', '.join(selectors)}) is empty: other splits name all of it by longer paths."
        )
    return names


def _missing(folder: Path, selector: str) -> str:
    """A message that lists the content of the deepest existing folder on the path of a selector."""
    parent = folder / selector
    while not parent.is_dir() or parent == folder / selector:
        parent = parent.parent
    names = sorted({p.stem for p in parent.iterdir() if p.is_dir() or p.suffix == ".flac"}, key=_natural)
    existing = abbreviate(names, most=20) or "nothing"
    fetch = f"; run `codeword data fetch librispeech` for the subset {selector}" if parent == folder else ""
    return f"No recording in {folder} has the path {selector}: in {parent} there is {existing}{fetch}."


def speaker_of(name: str) -> str:
    """The speaker of an utterance, from its path below LibriSpeech/."""
    return name.split("/")[1]


def _natural(name: str) -> tuple[int, str]:
    """Sort key: speakers are numbers, so 26 comes before 103."""
    return (int(name) if name.isdecimal() else 0, name)
