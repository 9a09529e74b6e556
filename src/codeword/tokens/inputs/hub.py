"""Items of a data set of the Hugging Face Hub or of its files on disk. Codeword decodes the media, not `datasets`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from codeword.errors import DataError, UsageError, reason
from codeword.media import Medium
from codeword.tokens.inputs.items import Item, ItemContent, as_file

_LABELS = ("label", "speaker_id", "speaker")


@dataclass(frozen=True)
class HubSplit:
    """One split of a data set: owner/name, a .parquet file, or a folder of .parquet files or of `save_to_disk`."""

    dataset: str
    split: str


@dataclass(frozen=True, kw_only=True)
class RowItem(Item):
    """One row of a split, with its signal in `column`."""

    origin: HubSplit
    column: str
    index: int

    @contextmanager
    def open(self) -> Iterator[ItemContent]:
        rows = _rows(self.origin)
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
    rows, kind = _rows(origin), medium.hub_feature
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


@lru_cache(maxsize=1)
def _rows(origin: HubSplit) -> Any:
    """The `datasets.Dataset` of a split, without decoding."""
    try:
        from datasets import Audio, Image, load_dataset, load_from_disk
    except ImportError as error:
        raise UsageError(
            "Data sets of the Hugging Face Hub need the package datasets; run `pip install 'codeword[tokens]'`."
        ) from error
    path = Path(origin.dataset)
    try:
        if path.suffix == ".parquet" or any(path.glob("*.parquet")):
            files = [str(file) for file in (sorted(path.glob("*.parquet")) if path.is_dir() else [path])]
            rows = load_dataset("parquet", data_files={origin.split: files}, split=origin.split)
        elif path.is_dir():
            rows = load_from_disk(origin.dataset)
            rows = rows[origin.split] if isinstance(rows, dict) else rows
        else:
            rows = load_dataset(origin.dataset, split=origin.split)
    except Exception as error:  # Errors of `datasets`, of the network, and of damaged files.
        raise DataError(
            f"{origin.dataset} has no split {origin.split} that can be opened ({reason(error)})."
        ) from error
    for name, feature in rows.features.items():
        if isinstance(feature, Image | Audio):
            rows = rows.cast_column(name, type(feature)(decode=False))
    return rows


def _label(rows: Any, row: dict[str, Any]) -> str | None:
    """The class name of a row: from the first column of type ClassLabel, else from the first column of `_LABELS`."""
    from datasets import ClassLabel

    for name, feature in rows.features.items():
        if isinstance(feature, ClassLabel):
            return None if row[name] is None or row[name] < 0 else str(feature.int2str(row[name]))
    value = next((row[name] for name in _LABELS if name in row), None)
    return None if value is None else str(value)
