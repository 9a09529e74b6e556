"""Items of data sets on disk: any folder of files, LibriSpeech, CIFAR-10."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from codeword.config import Cifar10Config, ImageFolderConfig
from codeword.data import Split
from codeword.data.cifar10 import CLASSES, IMAGE_BYTES, Cifar10
from codeword.data.files.tree import open_folder
from codeword.data.librispeech import find_librispeech, speaker_of, utterances
from codeword.media import Medium
from codeword.tokens.inputs.items import Item, ItemContent, as_text


@dataclass(frozen=True)
class FileItem(Item):
    """A media file."""

    id: str
    path: Path
    label: str | None
    size_bytes: int

    @property
    def source(self) -> str:  # type: ignore[override]
        return as_text(str(self.path))

    @contextmanager
    def open(self) -> Iterator[ItemContent]:
        yield ItemContent(self.path, self.label)


@dataclass(frozen=True)
class Cifar10Item(Item):
    """An image of CIFAR-10, by its index in a split."""

    root: Path
    split: Split
    index: int
    label: str
    size_bytes: int = IMAGE_BYTES

    @property
    def id(self) -> str:  # type: ignore[override]
        return f"{self.split}/{self.index:05}"

    @property
    def source(self) -> str:  # type: ignore[override]
        return f"cifar10/{self.id}"

    @contextmanager
    def open(self) -> Iterator[ItemContent]:
        yield ItemContent(_cifar10(self.root, self.split).take([self.index]).x[0], self.label)


def list_folder(root: Path, *, medium: Medium, split: Split | None) -> list[Item]:
    """All files below a folder, or those of a split as recipes divide it; first-level subfolders are the labels.

    Raises:
        DataError: there is none.
    """
    folder = open_folder(root, medium.suffixes, kind=medium.name)
    names = folder.names if split is None else folder.names_of(split, ImageFolderConfig(root=root))
    return [
        FileItem(as_text(name), root / name, as_text(name.split("/")[0]) if "/" in name else None, _size(root / name))
        for name in names
    ]


def list_librispeech(root: Path, *, subsets: Sequence[str]) -> list[Item]:
    """The utterances of these subsets, by default of all subsets on disk; the labels are the speakers.

    Raises:
        DataError: there is none.
    """
    folder = find_librispeech(root)
    subsets = subsets or sorted(path.name for path in folder.iterdir() if path.is_dir())
    return [
        FileItem(Path(name).stem, folder / name, speaker_of(name), _size(folder / name))
        for subset in subsets
        for name in utterances(folder, subset)
    ]


def list_cifar10(root: Path, *, split: Split) -> list[Item]:
    """The images of one split. Raises DataError."""
    labels = _cifar10(root, split).labels.tolist()
    return [Cifar10Item(root, split, i, CLASSES[label]) for i, label in enumerate(labels)]


def _size(path: Path) -> int:
    """Size in bytes; 0 for a broken link, which is reported when it is read."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


@lru_cache(maxsize=1)
def _cifar10(root: Path, split: Split) -> Cifar10:
    return Cifar10(Cifar10Config(root=root), split)
