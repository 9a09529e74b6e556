"""Items that are files of their own: below any folder, in LibriSpeech's layout, or inside CIFAR-10."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import get_args

from codeword.config import Cifar10Config, ImageFolderConfig
from codeword.data.base import Split, evaluation_batches
from codeword.data.cifar10 import CLASSES, IMAGE_BYTES, Cifar10
from codeword.data.files.tree import names_below, split_of
from codeword.data.librispeech import FOLDER
from codeword.errors import DataError, UsageError
from codeword.tokens.items import Item, Signal, as_text


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
    def open(self) -> Iterator[Signal]:
        yield Signal(self.path, self.label)


@dataclass(frozen=True)
class Cifar10Item(Item):
    """An image of CIFAR-10, by its place in a split."""

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
    def open(self) -> Iterator[Signal]:
        yield Signal(_cifar10(self.root, self.split).take([self.index]).x[0], self.label)


def list_folder(root: Path, *, suffixes: Collection[str], split: str | None) -> list[Item]:
    """All files below a folder, sorted, or those of a split as recipes divide it; first-level subfolders are labels.

    Raises:
        DataError: there is none.
    """
    names = sorted(names_below(root, suffixes))
    if split is not None:
        config = ImageFolderConfig(root=root)
        names = [name for name in names if split_of(name, config) == split_named(split)]
    if not names:
        kinds = ", ".join(sorted(suffixes)[:3])
        raise DataError(
            f"{root} holds no file that this model codes ({kinds}, ...){f' in the {split} split' if split else ''}; "
            f"check the folder."
        )
    return [
        FileItem(as_text(name), root / name, as_text(name.split("/")[0]) if "/" in name else None, size)
        for name, size in zip(names, _sizes(root, names), strict=True)
    ]


def list_librispeech(root: Path, *, subsets: Sequence[str]) -> list[Item]:
    """The utterances of these subsets, or of all that are there; labels are speakers.

    Raises:
        DataError: there is none.
    """
    folder = root if root.name == FOLDER else root / FOLDER
    there = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    names = []
    for subset in subsets or there:
        found = [f"{subset}/{name}" for name in sorted(names_below(folder / subset, {".flac"})) if name.count("/") == 2]
        if not found:
            raise DataError(
                f"{folder / subset} holds no utterances; there is {', '.join(there) or 'nothing'}, and "
                f"`codeword data fetch librispeech --subset {subset}` gets another."
            )
        names += found
    if not names:
        raise DataError(
            f"{folder} holds no LibriSpeech; fetch some with `codeword data fetch librispeech --subset dev-clean`."
        )
    return [
        FileItem(Path(name).stem, folder / name, name.split("/")[1], size)
        for name, size in zip(names, _sizes(folder, names), strict=True)
    ]


def list_cifar10(root: Path, *, split: str) -> list[Item]:
    """One split. Raises DataError, UsageError."""
    images = _cifar10(root, split_named(split))
    labels = [int(label) for batch in evaluation_batches(images, 1000) for label in batch.label]
    return [Cifar10Item(root, split_named(split), i, CLASSES[label]) for i, label in enumerate(labels)]


def split_named(split: str) -> Split:
    """Raises UsageError where there is none of that name."""
    if split not in get_args(Split):
        raise UsageError(f"There is no split {split!r}; there are {', '.join(get_args(Split))}.")
    return split  # type: ignore[return-value]


def _sizes(root: Path, names: Sequence[str]) -> Iterator[int]:
    """Sizes in bytes; a link to nothing has none, and is found out when it is read."""
    for name in names:
        try:
            yield (root / name).stat().st_size
        except OSError:
            yield 0


@lru_cache(maxsize=1)
def _cifar10(root: Path, split: Split) -> Cifar10:
    return Cifar10(Cifar10Config(root=root), split)
