"""LibriSpeech (Panayotov et al. 2015) in its official layout: subset/speaker/chapter/speaker-chapter-number.flac."""

import os
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path

from codeword.config import LibriSpeechConfig
from codeword.data.base import Split
from codeword.data.files.manifest import measure
from codeword.data.files.root import data_root
from codeword.data.files.tree import some
from codeword.data.phones.alignment import Phone, read_alignments
from codeword.data.recordings import Recording, Recordings
from codeword.errors import DataError, RecipeError

FOLDER = "LibriSpeech"
ALIGNMENTS = "trans.phones.txt"


class LibriSpeech(Recordings):
    """One split of LibriSpeech; a recording's name is its utterance's, as in 19-198-0000.

    Raises:
        DataError: the folder is missing, a selector of the split finds nothing, or no file of it can be read.
        RecipeError: two splits name the same path.
    """

    def __init__(self, config: LibriSpeechConfig, split: Split) -> None:
        root = data_root(config.root)
        self._folder = root / FOLDER
        if not self._folder.is_dir():
            raise DataError(
                f"There is no folder {FOLDER} in {root}; run `codeword data fetch librispeech --subset dev-clean`, "
                f"or set CODEWORD_DATA or data.root to the folder that holds it."
            )
        owners = _owners(config)
        training = _select(self._folder, config.train, owners, "train")
        mine = training if split == "train" else _select(self._folder, getattr(config, split), owners, split)
        measured = measure(self._folder, mine, sample_rate=config.sample_rate)
        if not measured.samples:
            raise DataError(
                f"None of the {len(mine):,} recordings of the {split} split in {self._folder} can be read "
                f"({some(measured.skipped)}); fetch them again."
            )
        super().__init__(
            config,
            [
                Recording(Path(name).stem, self._folder / name, _speaker(name), samples)
                for name, samples in measured.samples.items()
            ],
            classes=tuple(sorted({_speaker(name) for name in training}, key=_natural)),
            skipped=[Path(name).stem for name in measured.skipped],
        )
        self._given_alignments = config.alignments

    def transcript(self, i: int) -> str | None:
        """The words of recording `i` in capitals, or None where the chapter's .trans.txt does not have them."""
        recording = self.recordings[i]
        assert recording.path is not None
        return _transcripts(recording.path.parent).get(recording.name)

    def sexes(self) -> dict[str, str]:
        """F or M for each speaker that SPEAKERS.TXT lists; empty where there is no such file."""
        try:
            lines = (self._folder / "SPEAKERS.TXT").read_text("utf-8", "replace").splitlines()
        except OSError:
            return {}
        fields = ([field.strip() for field in line.split("|")] for line in lines if not line.startswith(";"))
        return {row[0]: row[1] for row in fields if len(row) > 1 and row[1] in ("F", "M")}

    def _alignments(self) -> Mapping[str, tuple[Phone, ...]]:
        return self._read_alignments

    @cached_property
    def _read_alignments(self) -> dict[str, tuple[Phone, ...]]:
        if self._given_alignments is not None:
            return read_alignments(self._given_alignments.expanduser())
        # Beside the folder itself, too, where it is a link.
        for folder in (self._folder, self._folder.parent, self._folder.resolve().parent):
            if (folder / ALIGNMENTS).is_file():
                return read_alignments(folder / ALIGNMENTS)
        return {}


def _owners(config: LibriSpeechConfig) -> dict[str, Split]:
    """The split that each selector belongs to."""
    owners: dict[str, Split] = {}
    splits: tuple[Split, ...] = ("train", "valid", "test")
    for split in splits:
        for selector in getattr(config, split):
            if owners.setdefault(selector, split) != split:
                raise RecipeError(
                    f"data.{owners[selector]} and data.{split} both name {selector}; give it to one of them, "
                    f"or part of it by a longer path."
                )
    return owners


def _select(folder: Path, selectors: tuple[str, ...], owners: dict[str, Split], split: Split) -> list[str]:
    """The sorted files that a split's selectors name and no other split names by a longer path."""
    chosen: set[str] = set()
    for selector in selectors:
        found = set(_files(folder, selector))
        if not found:
            raise DataError(_not_there(folder, selector))
        chosen |= {name for name in found if _owner(name, owners) == split}
    if not chosen:
        raise DataError(
            f"The {split} split ({', '.join(selectors)}) is empty: other splits name all of it by longer paths."
        )
    return sorted(chosen)


def _files(folder: Path, selector: str) -> Iterator[str]:
    """The .flac files below, or named by, a selector, relative to `folder`."""
    if selector.count("/") == 3:
        name = selector.removesuffix(".flac") + ".flac"
        if (folder / name).is_file():
            yield name
        return
    for place, subfolders, files in os.walk(folder / selector):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        below = Path(place).relative_to(folder)
        if len(below.parts) == 3:
            yield from ((below / f).as_posix() for f in files if f.endswith(".flac") and not f.startswith("."))


def _owner(name: str, owners: dict[str, Split]) -> Split | None:
    """The split whose selector is the longest prefix of a file's path."""
    path = name.removesuffix(".flac")
    while path:
        if path in owners:
            return owners[path]
        path = path.rpartition("/")[0]
    return None


def _not_there(folder: Path, selector: str) -> str:
    above = folder / selector
    while not above.is_dir() or above == folder / selector:
        above = above.parent
    there = sorted({p.stem for p in above.iterdir() if p.is_dir() or p.suffix == ".flac"}, key=_natural)
    ways = f"there is {', '.join(there[:20])}" + (f" and {len(there) - 20} more" if len(there) > 20 else "")
    fetch = f"; `codeword data fetch librispeech --subset {selector}` gets it" if above == folder else ""
    ways = ways if there else "there is nothing"
    return f"No recording in {folder} is named by {selector}: in {above} {ways}{fetch}."


def _speaker(name: str) -> str:
    return name.split("/")[1]


def _natural(name: str) -> tuple[int, str]:
    """Speakers are numbers: 26 comes before 103."""
    return (int(name) if name.isdecimal() else 0, name)


@lru_cache(maxsize=64)
def _transcripts(chapter: Path) -> dict[str, str]:
    speaker, number = chapter.parent.name, chapter.name
    try:
        text = (chapter / f"{speaker}-{number}.trans.txt").read_text("utf-8", "replace")
    except OSError:
        return {}
    lines = (line.partition(" ") for line in text.splitlines())
    return {name: words.strip() for name, _, words in lines if words.strip()}
