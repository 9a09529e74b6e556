"""Items of a data set of the Hugging Face Hub or of its files on disk. Codeword decodes the media, not `datasets`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from codeword.data.files.rows import HubSplit, open_rows
from codeword.data.files.web import public_name
from codeword.data.items.items import Item, ItemContent, as_file
from codeword.errors import DataError
from codeword.media import Medium

_LABELS = ("label", "speaker_id", "speaker")


@dataclass(frozen=True)
class Columns:
    """The columns of the signal and of its label; by default the first of the medium's type, and of a known name."""

    signal: str | None = None
    label: str | None = None


DEFAULT = Columns()


@dataclass(frozen=True, kw_only=True)
class RowItem(Item):
    """One row of a split, with its signal in `column` and its label in `label_column`, if it has one."""

    origin: HubSplit
    column: str
    label_column: str | None
    index: int

    def class_name(self) -> str | None:
        if self.label_column is None:
            return None
        rows = _labels(self.origin, self.label_column)
        return _name(rows.features[self.label_column], rows[self.index][self.label_column])

    @contextmanager
    def open(self) -> Iterator[ItemContent]:
        rows = open_rows(self.origin)
        try:
            row = rows[self.index]
        except Exception as error:  # Arrow raises many kinds of errors on a damaged file.
            raise DataError(f"{self.source} cannot be read ({error}); fetch it again.") from error
        media = row[self.column] or {}
        media = {"bytes": media} if isinstance(media, bytes) else media
        if not media.get("bytes"):
            # The path is never opened, because an untrusted data set could name any file on this machine.
            raise DataError(f"{self.source} contains no media, only a path; give the folder of the files instead.")
        name = Path(media.get("path") or "")
        suffix = name.suffix.lower() if name.suffix[1:].isalnum() else ""
        with as_file([media["bytes"]], self.source, suffix=suffix) as path:
            label = None
            if self.label_column is not None:
                label = _name(rows.features[self.label_column], row[self.label_column])
            yield ItemContent(path, label)


def list_rows(origin: HubSplit, *, medium: Medium, columns: Columns = DEFAULT) -> list[Item]:
    """All rows of a split, in its order.

    Raises:
        DataError: the split cannot be opened, or has no column of the medium.
        UsageError: the package `datasets` is missing.
    """
    rows, kind = open_rows(origin), medium.hub_feature
    found = [name for name, feature in rows.features.items() if type(feature).__name__ == kind] or [
        name for name, feature in rows.features.items() if _holds_files(feature)
    ]
    for wanted, among in ((columns.signal, found), (columns.label, rows.features)):
        if wanted is not None and wanted not in among:
            raise DataError(f"{origin.dataset} has no column {wanted!r} that fits; choose among {', '.join(among)}.")
    column = columns.signal or next(iter(found), None)
    if column is None:
        raise DataError(
            f"{origin.dataset} has no column of type {kind} or of bytes, only {', '.join(rows.features)}; give a data "
            f"set that has one, or a model of its medium."
        )
    label_column = columns.label or _label_column(rows)
    # The mean size, because reading the size of each row would read all of the data.
    size_bytes = rows.data.nbytes // max(1, len(rows))
    place = public_name(origin.dataset)
    return [
        RowItem(
            id=(name := f"{origin.split}/{i:08}"), source=f"{place}:{name}", size_bytes=size_bytes,
            origin=origin, column=column, label_column=label_column, index=i,
        )
        for i in range(len(rows))
    ]  # fmt: skip


def _holds_files(feature: Any) -> bool:
    """True for the bytes of files, alone or with their path, in the tables of programs that know no type of media."""
    if isinstance(feature, dict):
        return "bytes" in feature
    return getattr(feature, "dtype", None) in ("binary", "large_binary")


def _label_column(rows: Any) -> str | None:
    """The first column of type ClassLabel, else the first one with a name of `_LABELS`."""
    from datasets import ClassLabel

    typed = (name for name, feature in rows.features.items() if isinstance(feature, ClassLabel))
    return next(typed, None) or next((name for name in _LABELS if name in rows.features), None)


def _name(feature: Any, value: Any) -> str | None:
    """The name of a class by the value in a column with this feature; None for a row without a class."""
    from datasets import ClassLabel

    if isinstance(feature, ClassLabel):
        return None if value is None or value < 0 else str(feature.int2str(value))
    return None if value is None else str(value)


@lru_cache(maxsize=2)
def _labels(origin: HubSplit, column: str) -> Any:
    """The column of labels alone, so that no signal is read with it."""
    return open_rows(origin).select_columns([column])
