"""Data sets of the Hugging Face Hub, or of its files on disk, opened by the package `datasets`."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from codeword.data.files.web import fetch_again, is_address, local_copy, public_name
from codeword.errors import DataError, UsageError, reason

HUB = "hf:"
"""Marks the name of a data set on the Hub, as in `hf:owner/name`."""


@dataclass(frozen=True)
class HubSplit:
    """One split of a data set: owner/name, a .parquet file or its address, or a folder.

    The folder is one of .parquet files or of `save_to_disk`.
    """

    dataset: str
    split: str


def is_saved(path: Path) -> bool:
    """True for a folder that `datasets.save_to_disk` wrote."""
    return any((path / name).is_file() for name in ("dataset_dict.json", "state.json"))


@lru_cache(maxsize=1)
def open_rows(origin: HubSplit) -> Any:
    """The `datasets.Dataset` of a split, without decoding.

    Raises:
        DataError: the split cannot be downloaded or opened.
        UsageError: the package `datasets` is missing.
    """
    try:
        from datasets import Audio, Image, load_dataset, load_from_disk
    except ImportError as error:
        raise UsageError(
            "Data sets of the Hugging Face Hub need the package datasets; run `pip install 'codeword[tokens]'`."
        ) from error
    path = local_copy(origin.dataset)
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
        advice = f"; {fetch_again(origin.dataset)}" if is_address(origin.dataset) else ""
        raise DataError(
            f"{public_name(origin.dataset)} has no split {origin.split} that can be opened ({reason(error)}){advice}."
        ) from error
    for name, feature in rows.features.items():
        if isinstance(feature, Image | Audio):
            rows = rows.cast_column(name, type(feature)(decode=False))
    return rows
