"""LibriSpeech (Panayotov et al. 2015) in its official layout: subset/speaker/chapter/speaker-chapter-number.flac."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath

from codeword.config import LibriSpeechConfig
from codeword.data.base import Split
from codeword.data.files.manifest import recording_lengths
from codeword.data.files.root import data_root
from codeword.data.files.tree import names_below, unreadable
from codeword.data.phones.alignment import Phone, read_alignments
from codeword.data.recordings import Recording, Recordings
from codeword.errors import DataError, RecipeError

FOLDER = "LibriSpeech"
ALIGNMENTS = "trans.phones.txt"


class LibriSpeech(Recordings):
    """One split of LibriSpeech; the name of a recording is that of its utterance, for example 19-198-0000.

    Raises:
        DataError: the folder is missing, a selector of the split finds nothing, or no file of it can be read.
        RecipeError: two splits name the same path.
    """

    def __init__(self, config: LibriSpeechConfig, split: Split) -> None:
        self._folder = find_librispeech(data_root(config.root))
        owners = _owners(config)
        training = _select(self._folder, config.train, owners, "train")
        names = training if split == "train" else _select(self._folder, getattr(config, split), owners, split)
        lengths = recording_lengths(self._folder, names, sample_rate=config.sample_rate)
        broken = unreadable(names, lengths, root=self._folder, kind="recordings", split=split)
        super().__init__(
            config,
            [Recording(Path(name).stem, self._folder / name, speaker_of(name), n) for name, n in lengths.items()],
            classes=tuple(sorted({speaker_of(name) for name in training}, key=_natural)),
            skipped=[Path(name).stem for name in broken],
        )
        self._given_alignments = config.alignments

    def _alignments(self) -> Mapping[str, tuple[Phone, ...]]:
        return self._read_alignments

    @cached_property
    def _read_alignments(self) -> dict[str, tuple[Phone, ...]]:
        if self._given_alignments is not None:
            return read_alignments(self._given_alignments.expanduser())
        # If the folder is a link, the alignments may also be next to the folder that it points to.
        for folder in (self._folder, self._folder.parent, self._folder.resolve().parent):
            if (folder / ALIGNMENTS).is_file():
                return read_alignments(folder / ALIGNMENTS)
        return {}


def find_librispeech(root: Path) -> Path:
    """The folder LibriSpeech: `root` itself or the one in it. Raises DataError if there is none."""
    folder = root if root.name == FOLDER else root / FOLDER
    if not folder.is_dir():
        raise DataError(
            f"There is no folder {FOLDER} in {root}; run `codeword data fetch librispeech --subset dev-clean`, "
            f"or set CODEWORD_DATA or data.root to the folder that holds it."
        )
    return folder


def utterances(folder: Path, selector: str) -> list[str]:
    """The sorted .flac files of a subset, speaker, chapter or utterance, as paths below the folder LibriSpeech.

    Raises:
        DataError: there is none; the message says which names exist.
    """
    if selector.count("/") == 3:
        name = selector.removesuffix(".flac") + ".flac"
        names = [name] if (folder / name).is_file() else []
    else:
        found = (f"{selector}/{name}" for name in names_below(folder / selector, {".flac"}))
        names = sorted(name for name in found if name.count("/") == 3)
    if not names:
        raise DataError(_not_there(folder, selector))
    return names


def _owners(config: LibriSpeechConfig) -> dict[str, Split]:
    """The split that each selector belongs to."""
    owners: dict[str, Split] = {}
    splits: tuple[Split, ...] = ("train", "valid", "test")
    for split in splits:
        for selector in getattr(config, split):
            if owners.setdefault(selector, split) != split:
                raise RecipeError(
                    f"data.{owners[selector]} and data.{split} both name {selector}; name it in one of them, or "
                    f"a part of it by a longer path."
                )
    return owners


def _select(folder: Path, selectors: tuple[str, ...], owners: dict[str, Split], split: Split) -> list[str]:
    """The sorted files that the selectors of a split name, and that no other split names by a longer path."""
    found = (name for selector in selectors for name in utterances(folder, selector))
    chosen = {name for name in found if _owner(name, owners) == split}
    if not chosen:
        raise DataError(
            f"The {split} split ({', '.join(selectors)}) is empty: other splits name all of it by longer paths."
        )
    return sorted(chosen)


def _owner(name: str, owners: dict[str, Split]) -> Split | None:
    """The split whose selector is the longest prefix of a file's path."""
    path = PurePosixPath(name.removesuffix(".flac"))
    return next((owners[str(prefix)] for prefix in (path, *path.parents) if str(prefix) in owners), None)


def _not_there(folder: Path, selector: str) -> str:
    above = folder / selector
    while not above.is_dir() or above == folder / selector:
        above = above.parent
    there = sorted({p.stem for p in above.iterdir() if p.is_dir() or p.suffix == ".flac"}, key=_natural)
    names = ", ".join(there[:20]) + (f" and {len(there) - 20} more" if len(there) > 20 else "")
    fetch = f"; `codeword data fetch librispeech --subset {selector}` gets it" if above == folder else ""
    return f"No recording in {folder} is named by {selector}: in {above} there is {names or 'nothing'}{fetch}."


def speaker_of(name: str) -> str:
    """The speaker of an utterance, from its path below LibriSpeech/."""
    return name.split("/")[1]


def _natural(name: str) -> tuple[int, str]:
    """Sort key: speakers are numbers, so 26 comes before 103."""
    return (int(name) if name.isdecimal() else 0, name)
