"""Inputs of `tokenize`: folders, LibriSpeech, CIFAR-10, tar archives and data sets of the Hugging Face Hub."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from codeword.config import TokenizerConfig
from codeword.data import Split
from codeword.data.cifar10 import find_cifar10
from codeword.data.files.root import data_root
from codeword.data.files.rows import HUB, HubSplit, is_saved
from codeword.data.librispeech import FOLDER as LIBRISPEECH
from codeword.errors import DataError, UsageError
from codeword.media import Medium, medium_of
from codeword.tokens.inputs.folder import list_cifar10, list_folder, list_librispeech
from codeword.tokens.inputs.hub import list_rows
from codeword.tokens.inputs.items import Item, ItemContent, check_items
from codeword.tokens.inputs.tar import expand, list_archives

__all__ = ["Item", "ItemContent", "list_items"]

# The medium of each data set that has a name.
_NAMED = {"librispeech": "audio", "cifar10": "images"}


def list_items(
    data: str,
    config: TokenizerConfig,
    *,
    split: str | None = None,
    subsets: Sequence[str] = (),
    limit: int | None = None,
) -> list[Item]:
    """List the first `limit` items of `data` for a tokenizer with this config; the order is always the same.

    `data` is a folder of files, "librispeech" or "cifar10" (below $CODEWORD_DATA) or the folder of one of them, tar
    archives such as `shard-{000..003}.tar`, `hf:owner/name`, a .parquet file, or a folder with .parquet files or from
    `datasets.save_to_disk`. `split` is a split of data with splits, `subsets` are subsets of LibriSpeech.

    Raises:
        DataError: the data is missing, or contains no signal for this tokenizer.
        UsageError: the data has no splits or subsets, or the tokenizer is for another medium.
    """
    medium = medium_of(config)
    if _NAMED.get(data, medium.name) != medium.name:
        raise UsageError(f"This model codes {medium.name}, but {data} holds {_NAMED[data]}; choose other data.")
    kind = _kind(data, medium)
    if subsets and kind != "librispeech":
        raise UsageError(f"Only LibriSpeech has subsets, but {data} is no LibriSpeech; leave `subsets` out.")
    if split is not None and kind in ("librispeech", "archives"):
        raise UsageError(f"{data} has no splits; leave `split` out.")
    if split not in (None, *get_args(Split)) and kind != "rows":
        raise UsageError(f"There is no split {split!r}; there are {', '.join(get_args(Split))}.")
    path = data_root(None) if data in _NAMED else Path(data.removeprefix(HUB)).expanduser()
    items: list[Item]
    match kind:
        case "cifar10":
            items = list_cifar10(path, split=split or "train")  # type: ignore[arg-type]
        case "librispeech":
            items = list_librispeech(path, subsets=subsets)
        case "archives":
            items = list_archives(expand(str(path)), medium=medium)
        case "rows":
            items = list_rows(HubSplit(str(path), split or "train"), medium=medium)
        case _:
            items = list_folder(path, medium=medium, split=split)  # type: ignore[arg-type]
    check_items(items, data)
    return items[:limit]


def _kind(data: str, medium: Medium) -> str:
    """The kind of `data`, as in the `match` of `list_items`. Raises DataError if it does not exist."""
    path = Path(data).expanduser()
    if data in _NAMED:
        return data
    if data.startswith(HUB) or path.suffix == ".parquet":
        return "rows"
    if path.suffix == ".tar":
        return "archives"
    if not path.is_dir():
        raise DataError(
            f"There is no folder {data}; give one, or cifar10, librispeech, a .tar, a .parquet or hf:owner/name."
        )
    if medium.name == _NAMED["cifar10"] and find_cifar10(path):
        return "cifar10"
    if medium.name == _NAMED["librispeech"] and (path.name == LIBRISPEECH or (path / LIBRISPEECH).is_dir()):
        return "librispeech"
    return "rows" if is_saved(path) or any(path.glob("*.parquet")) else "folder"
