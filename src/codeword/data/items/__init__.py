"""The signals of folders, LibriSpeech, CIFAR-10, tar archives and data sets of the Hugging Face Hub, one by one.

`tokenize` and the training on archives and on the Hub read them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from codeword.config import TokenizerConfig
from codeword.data.base import Split
from codeword.data.cifar10 import find_cifar10
from codeword.data.files.root import data_root
from codeword.data.files.rows import HUB, HubSplit, is_saved
from codeword.data.files.web import is_address, suffix_of
from codeword.data.items.folder import list_cifar10, list_folder, list_librispeech
from codeword.data.items.hub import DEFAULT, Columns, list_rows
from codeword.data.items.items import Item, ItemContent, check_items
from codeword.data.items.tar import expand, list_archives
from codeword.data.librispeech import FOLDER as LIBRISPEECH
from codeword.errors import DataError, UsageError
from codeword.media import Medium, medium_of

__all__ = ["Columns", "Item", "ItemContent", "items_of_medium", "kind_of", "list_items"]

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
    archives such as `shard-{000..003}.tar`, a .parquet file, an http(s) address of either, `hf:owner/name`, or a folder
    with .parquet files or from `datasets.save_to_disk`. `split` is a split of data with splits, `subsets` are subsets
    of LibriSpeech.

    Raises:
        DataError: the data is missing or cannot be downloaded, or contains no signal for this tokenizer.
        UsageError: the data has no splits or subsets, or the tokenizer is for another medium.
    """
    return items_of_medium(data, medium_of(config), split=split, subsets=subsets)[:limit]


def items_of_medium(
    data: str, medium: Medium, *, split: str | None = None, subsets: Sequence[str] = (), columns: Columns = DEFAULT
) -> list[Item]:
    """As `list_items`, for a medium; `columns` are the columns to read of data with columns."""
    if _NAMED.get(data, medium.name) != medium.name:
        raise UsageError(f"This model codes {medium.name}, but {data} holds {_NAMED[data]}; choose other data.")
    kind = kind_of(data, medium)
    if subsets and kind != "librispeech":
        raise UsageError(f"Only LibriSpeech has subsets, but {data} is no LibriSpeech; leave `subsets` out.")
    if split is not None and kind in ("librispeech", "archives"):
        raise UsageError(f"{data} has no splits; leave `split` out.")
    if split not in (None, *get_args(Split)) and kind != "rows":
        raise UsageError(f"There is no split {split!r}; there are {', '.join(get_args(Split))}.")
    path = data_root(None) if data in _NAMED else Path(data.removeprefix(HUB)).expanduser()
    place = data if is_address(data) else str(path)
    items: list[Item]
    match kind:
        case "cifar10":
            items = list_cifar10(path, split=split or "train")  # type: ignore[arg-type]
        case "librispeech":
            items = list_librispeech(path, subsets=subsets)
        case "archives":
            items = list_archives(expand(place), medium=medium)
        case "rows":
            items = list_rows(HubSplit(place, split or "train"), medium=medium, columns=columns)
        case _:
            items = list_folder(path, medium=medium, split=split)  # type: ignore[arg-type]
    check_items(items, data)
    return items


def kind_of(data: str, medium: Medium) -> str:
    """The kind of `data`: "cifar10", "librispeech", "archives", "rows" of tables, or "folder".

    Raises:
        DataError: it does not exist.
    """
    path = Path(data).expanduser()
    if data in _NAMED:
        return data
    suffix = suffix_of(data)
    if data.startswith(HUB) or suffix == ".parquet":
        return "rows"
    if suffix == ".tar":
        return "archives"
    if is_address(data):
        raise DataError(f"{data} is no address of a .tar or a .parquet; give one of these, or a folder.")
    if not path.is_dir():
        raise DataError(
            f"There is no folder {data}; give one, or cifar10, librispeech, a .tar, a .parquet or hf:owner/name."
        )
    if medium.name == _NAMED["cifar10"] and find_cifar10(path):
        return "cifar10"
    if medium.name == _NAMED["librispeech"] and (path.name == LIBRISPEECH or (path / LIBRISPEECH).is_dir()):
        return "librispeech"
    return "rows" if is_saved(path) or any(path.glob("*.parquet")) else "folder"
