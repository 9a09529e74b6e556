"""Which items a person means by a word, a folder, an archive or the name of a data set."""

from collections.abc import Sequence
from pathlib import Path

from codeword.data.cifar10 import BATCHES, BINARY_FOLDER, PYTHON_FOLDER
from codeword.data.files.root import data_root
from codeword.data.librispeech import FOLDER
from codeword.errors import DataError, UsageError
from codeword.media.audio import AUDIO_SUFFIXES
from codeword.media.images import IMAGE_SUFFIXES
from codeword.tokens.files import list_cifar10, list_folder, list_librispeech
from codeword.tokens.hub import HubSplit, list_rows
from codeword.tokens.items import Item, must_be_sound
from codeword.tokens.tar import expand, list_archives

_SUFFIXES = {1: AUDIO_SUFFIXES, 2: IMAGE_SUFFIXES}
_WORDS = {"librispeech": 1, "cifar10": 2}
_HUB = "hf:"


def list_items(
    data: str, *, ndim: int, split: str | None = None, subsets: Sequence[str] = (), limit: int | None = None
) -> list[Item]:
    """The items of `data` for a model of this rank, in an order that is always the same; the first `limit` of them.

    `data` is a folder of files, the root of CIFAR-10 or LibriSpeech or their names (then where $CODEWORD_DATA says),
    tar archives as `shard-{000..003}.tar`, `hf:owner/name`, a .parquet file, or a folder of these or of
    `datasets.save_to_disk`. `split` is for data that has some, `subsets` are for LibriSpeech.

    Raises:
        DataError: it is not there, or holds nothing that the model codes.
        UsageError: a split or a subset is asked for where there are none, or the data is for another kind of model.
    """
    if _WORDS.get(data, ndim) != ndim:
        raise UsageError(f"This model does not code the signals of {data}; give it data of its own medium.")
    kind = _kind(data, ndim)
    if subsets and kind != "librispeech":
        raise UsageError("--subset is for LibriSpeech; leave it out.")
    if split is not None and kind in ("librispeech", "archives"):
        raise UsageError(f"{data} has no splits; leave --split out.")
    place = data_root(None) if data in _WORDS else Path(data.removeprefix(_HUB)).expanduser()
    items: list[Item]
    match kind:
        case "cifar10":
            items = list_cifar10(place, split=split or "train")
        case "librispeech":
            items = list_librispeech(place, subsets=subsets)
        case "archives":
            items = list_archives(expand(str(place)), suffixes=_SUFFIXES[ndim])
        case "rows":
            items = list_rows(HubSplit(str(place), split or "train"), ndim=ndim)
        case _:
            items = list_folder(place, suffixes=_SUFFIXES[ndim], split=split)
    must_be_sound(items, data)
    return items[:limit]


def _kind(data: str, ndim: int) -> str:
    """What `data` is. Raises DataError where it is nothing."""
    place = Path(data).expanduser()
    if data in _WORDS:
        return data
    if data.startswith(_HUB) or place.suffix == ".parquet":
        return "rows"
    if place.suffix == ".tar":
        return "archives"
    if not place.is_dir():
        raise DataError(
            f"There is no folder {data}; give one, or cifar10, librispeech, a .tar, a .parquet or hf:owner/name."
        )
    cifar10 = (BINARY_FOLDER, PYTHON_FOLDER, BATCHES[0], f"{BATCHES[0]}.bin")
    if ndim == 2 and any((place / name).exists() for name in cifar10):
        return "cifar10"
    if ndim == 1 and (place.name == FOLDER or (place / FOLDER).is_dir()):
        return "librispeech"
    # As `datasets` leaves them: its own folders, and the Hub's files.
    saved = any((place / name).is_file() for name in ("dataset_dict.json", "state.json"))
    return "rows" if saved or any(place.glob("*.parquet")) else "folder"
