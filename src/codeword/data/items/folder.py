"""Items of data sets on disk: any folder of files, LibriSpeech, CIFAR-10."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from codeword.config import Cifar10Config, ImageFolderConfig
from codeword.data.base import Split
from codeword.data.cifar10 import CLASSES, IMAGE_BYTES, Cifar10
from codeword.data.files.tree import open_folder
from codeword.data.items.items import Item, ItemContent
from codeword.data.librispeech import find_librispeech, speaker_of, utterances
from codeword.media import Medium
from codeword.store import escape_name


@dataclass(frozen=True, kw_only=True)
class FileItem(Item):
    """A media file."""

    path: Path
    label: str | None

    def class_name(self) -> str | None:
        return self.label

    @contextmanager
    def open(self) -> Iterator[ItemContent]:
        yield ItemContent(self.path, self.label)


@dataclass(frozen=True, kw_only=True)
class Cifar10Item(Item):
    """An image of CIFAR-10, by its index in a split."""

    root: Path
    split: Split
    index: int
    label: str

    def class_name(self) -> str:
        return self.label

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
        _file_item(
            escape_name(name), folder.root / name, label=escape_name(name.split("/")[0]) if "/" in name else None
        )
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
        _file_item(Path(name).stem, folder / name, label=speaker_of(name))
        for subset in subsets
        for name in utterances(folder, subset)
    ]


def list_cifar10(root: Path, *, split: Split) -> list[Item]:
    """The images of one split. Raises DataError."""
    labels = _cifar10(root, split).labels.tolist()
    return [
        Cifar10Item(
            id=(name := f"{split}/{i:05}"), source=f"cifar10/{name}", size_bytes=IMAGE_BYTES,
            root=root, split=split, index=i, label=CLASSES[label],
        )
        for i, label in enumerate(labels)
    ]  # fmt: skip


def _file_item(name: str, path: Path, *, label: str | None) -> FileItem:
    try:
        size_bytes = path.stat().st_size
    except OSError:  # A broken link, which is reported when it is read.
        size_bytes = 0
    return FileItem(id=name, source=escape_name(str(path)), size_bytes=size_bytes, path=path, label=label)


@lru_cache(maxsize=1)
def _cifar10(root: Path, split: Split) -> Cifar10:
    return Cifar10(Cifar10Config(root=root), split)
