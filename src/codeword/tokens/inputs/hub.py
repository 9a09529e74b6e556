"""Items of a data set of the Hugging Face Hub or of its files on disk. Codeword decodes the media, not `datasets`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeword.data.files.rows import HubSplit, open_rows
from codeword.errors import DataError
from codeword.media import Medium
from codeword.tokens.inputs.items import Item, ItemContent, as_file

_LABELS = ("label", "speaker_id", "speaker")


@dataclass(frozen=True, kw_only=True)
class RowItem(Item):
    """One row of a split, with its signal in `column`."""

    origin: HubSplit
    column: str
    index: int

    @contextmanager
    def open(self) -> Iterator[ItemContent]:
        rows = open_rows(self.origin)
        try:
            row = rows[self.index]
        except Exception as error:  # Arrow raises many kinds of errors on a damaged file.
            raise DataError(f"{self.source} cannot be read ({error}); fetch it again.") from error
        media = row[self.column] or {}
        if not media.get("bytes"):
            # The path is never opened, because an untrusted data set could name any file on this machine.
            raise DataError(f"{self.source} contains no media, only a path; give the folder of the files instead.")
        name = Path(media.get("path") or "")
        suffix = name.suffix.lower() if name.suffix[1:].isalnum() else ""
        with as_file([media["bytes"]], self.source, suffix=suffix) as path:
            yield ItemContent(path, _label(rows, row))


def list_rows(origin: HubSplit, *, medium: Medium) -> list[Item]:
    """All rows of a split, in its order.

    Raises:
        DataError: the split cannot be opened, or has no column of the medium.
        UsageError: the package `datasets` is missing.
    """
    rows, kind = open_rows(origin), medium.hub_feature
    column = next((name for name, feature in rows.features.items() if type(feature).__name__ == kind), None)
    if column is None:
        raise DataError(
            f"{origin.dataset} has no column of type {kind}, only {', '.join(rows.features)}; give a data set that has "
            f"one, or a model of its medium."
        )
    # The mean size, because reading the size of each row would read all of the data.
    size_bytes = rows.data.nbytes // max(1, len(rows))
    return [
        RowItem(
            id=(name := f"{origin.split}/{i:08}"), source=f"{origin.dataset}:{name}", size_bytes=size_bytes,
            origin=origin, column=column, index=i,
        )
        for i in range(len(rows))
    ]  # fmt: skip


def _label(rows: Any, row: dict[str, Any]) -> str | None:
    """The class name of a row: from the first column of type ClassLabel, else from the first column of `_LABELS`."""
    from datasets import ClassLabel

    for name, feature in rows.features.items():
        if isinstance(feature, ClassLabel):
            return None if row[name] is None or row[name] < 0 else str(feature.int2str(row[name]))
    value = next((row[name] for name in _LABELS if name in row), None)
    return None if value is None else str(value)
