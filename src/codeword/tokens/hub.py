"""Items in a data set of the Hugging Face Hub, or in its files on this disk: only bytes are taken, decoded by us."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from codeword.errors import DataError, UsageError
from codeword.tokens.items import Item, Signal, as_file

_LABELS = ("label", "speaker_id", "speaker")


@dataclass(frozen=True)
class HubSplit:
    """One split of a data set: `place` is owner/name, a .parquet file, or a folder of those or of `save_to_disk`."""

    place: str
    split: str


@dataclass(frozen=True)
class RowItem(Item):
    """One row; `column` holds its signal."""

    of: HubSplit
    column: str
    index: int
    size_bytes: int

    @property
    def id(self) -> str:  # type: ignore[override]
        return f"{self.of.split}/{self.index:08}"

    @property
    def source(self) -> str:  # type: ignore[override]
        return f"{self.of.place}:{self.id}"

    @contextmanager
    def open(self) -> Iterator[Signal]:
        rows = _rows(self.of)
        try:
            row = rows[self.index]
        except Exception as error:  # Whatever Arrow says of a damaged file.
            raise DataError(f"{self.source} cannot be read ({error}); fetch it again.") from error
        found = row[self.column] or {}
        if not found.get("bytes"):
            # The path may lead anywhere on this machine: whoever made the data set wrote it.
            raise DataError(
                f"{self.source} holds no bytes of its own, only a path; give the folder of the files instead."
            )
        name = Path(found.get("path") or "")
        suffix = name.suffix.lower() if name.suffix[1:].isalnum() else ""
        with as_file(io.BytesIO(found["bytes"]), self.source, suffix=suffix) as path:
            yield Signal(path, _label(rows, row))


def list_rows(of: HubSplit, *, ndim: int) -> list[Item]:
    """All rows of a split, in its order.

    Raises:
        DataError: it cannot be opened, or has no column of images (ndim 2) or of audio (1).
        UsageError: the package `datasets` is missing.
    """
    rows = _rows(of)
    kind = {1: "Audio", 2: "Image"}[ndim]
    column = next((name for name, f in rows.features.items() if type(f).__name__ == kind), None)
    if column is None:
        raise DataError(
            f"{of.place} has no column of type {kind}, only {', '.join(rows.features)}; give one that has, or a model "
            f"of its medium."
        )
    # The mean stands for each: to ask every row would be to read all.
    size_bytes = rows.data.nbytes // max(1, len(rows))
    return [RowItem(of, column, i, size_bytes) for i in range(len(rows))]


@lru_cache(maxsize=1)
def _rows(of: HubSplit) -> Any:
    """The `datasets.Dataset` of a split, which decodes nothing."""
    try:
        from datasets import Audio, Image, load_dataset, load_from_disk
    except ImportError as error:
        raise UsageError(
            "Data sets of the Hugging Face Hub need the package datasets; pip install 'codeword[tokens]'."
        ) from error
    place = Path(of.place)
    try:
        if place.suffix == ".parquet" or any(place.glob("*.parquet")):
            files = [str(path) for path in (sorted(place.glob("*.parquet")) if place.is_dir() else [place])]
            rows = load_dataset("parquet", data_files={of.split: files}, split=of.split)
        elif place.is_dir():
            rows = load_from_disk(of.place)
            rows = rows[of.split] if isinstance(rows, dict) else rows
        else:
            rows = load_dataset(of.place, split=of.split)
    except Exception as error:  # Its own errors, those of the network, and whatever damaged files lead to.
        raise DataError(
            f"{of.place} has no split {of.split} that can be opened ({' '.join(str(error).split()):.200})."
        ) from error
    for name, feature in rows.features.items():
        if isinstance(feature, Image | Audio):
            rows = rows.cast_column(name, type(feature)(decode=False))
    return rows


def _label(rows: Any, row: dict[str, Any]) -> str | None:
    """The name of the row's class: of the first column of classes, or of one that is called so."""
    from datasets import ClassLabel

    for name, feature in rows.features.items():
        if isinstance(feature, ClassLabel):
            return None if row[name] is None or row[name] < 0 else str(feature.int2str(row[name]))
    value = next((row[name] for name in _LABELS if name in row), None)
    return None if value is None else str(value)
