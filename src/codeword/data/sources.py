"""Data sets in tar archives, in Parquet files or on the Hugging Face Hub, read where they are, by index.

Files on the web are downloaded once; nothing is unpacked. Archives are listed once, by their headers; each signal is
then read from its place, so a resumed training goes on with the same signals, and processes read disjoint ones.
"""

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from torch import Tensor

from codeword.config import AudioSourceConfig, ImageSourceConfig, SourceConfig
from codeword.data.base import Split
from codeword.data.files.tree import names_of_split, unreadable
from codeword.data.items import Columns, Item, items_of_medium, kind_of
from codeword.data.items.items import BrokenItem
from codeword.data.pictures import THREADS, Pictures
from codeword.data.recordings import Recording, Recordings
from codeword.errors import DataError
from codeword.media import MEDIA
from codeword.media.audio_files import read_header
from codeword.media.channels import Wave
from codeword.media.images import read_image
from codeword.media.waves import read_wave, resampled_length

_log = logging.getLogger("codeword")


class ImageSource(Pictures):
    """One split of the images of a source; the splits are shares of their names, as those of a folder.

    The classes are the labels of all images, sorted; if an image has none, there are no classes.

    Raises:
        DataError: the source is missing, damaged or cannot be downloaded, or holds too few images.
    """

    def __init__(self, config: ImageSourceConfig, split: Split) -> None:
        items, self._items, skipped = _split(config, split, medium="images")
        labels = {item.id: item.class_name() for item in items}
        self.classes = _classes(labels.values())
        numbers: dict[str | None, int] = {name: i for i, name in enumerate(self.classes)}
        self._numbers = [numbers.get(labels[item.id], 0) for item in self._items]
        super().__init__(config, [item.id for item in self._items], skipped)

    def picture(self, i: int) -> Tensor:
        with self._items[i].open() as content:
            # CIFAR-10 gives pixels, everything else a file.
            return content.data if isinstance(content.data, Tensor) else read_image(content.data)

    def label(self, i: int) -> int:
        return self._numbers[i]


class AudioSource(Recordings):
    """One split of the recordings of a source; the splits are shares of their names, as those of a folder.

    The speakers are the labels; those of the training split are the classes, if every recording has one. Opening it
    reads every recording of the split once, for its length.

    Raises:
        DataError: the source is missing, damaged or cannot be downloaded, or holds too few recordings.
    """

    def __init__(self, config: AudioSourceConfig, split: Split) -> None:
        items, chosen, skipped = _split(config, split, medium="audio")
        with ThreadPoolExecutor(THREADS) as pool:
            lengths = dict(
                zip(chosen, pool.map(partial(_samples, sample_rate=config.sample_rate), chosen), strict=True)
            )
        self._items = [item for item in chosen if lengths[item]]
        readable = {item.id for item in self._items}
        names = [item.id for item in chosen]
        skipped += unreadable(names, readable, root=config.source, kind="recordings", split=split)
        labels = {item.id: item.class_name() for item in items}
        speakers = _classes(labels[item.id] for item in _chosen(items, "train", config))
        super().__init__(
            config,
            [
                Recording(item.id, None, (labels[item.id] if speakers else None) or "", lengths[item])
                for item in self._items
            ],
            classes=speakers,
            skipped=skipped,
        )

    def _wave(self, i: int, start: int, count: int) -> Wave:
        with self._items[i].open() as content:
            assert isinstance(content.data, Path)
            return read_wave(content.data, sample_rate=self.sample_rate, start=start, count=count)


def _split(config: SourceConfig, split: Split, *, medium: str) -> tuple[list[Item], list[Item], list[str]]:
    """All signals of a source, those of one split, and the names of those that could not be listed."""
    columns, of = Columns(config.column, config.label_column), MEDIA[medium]
    split_of_source = config.split if kind_of(config.source, of) == "rows" else None
    listed = items_of_medium(config.source, of, split=split_of_source, columns=columns)
    items = [item for item in listed if not isinstance(item, BrokenItem)]
    broken = [item for item in listed if isinstance(item, BrokenItem)]
    for item in broken:
        _log.warning("%s It is skipped.", item.reason)
    return items, _chosen(items, split, config), [item.id for item in broken]


def _chosen(items: Sequence[Item], split: Split, config: SourceConfig) -> list[Item]:
    """The signals of one split, in the order of their names. Raises DataError if there is none."""
    by_name = {item.id: item for item in items}
    names = names_of_split(list(by_name), split, config, place=config.source, noun="signals")
    return [by_name[name] for name in names]


def _classes(labels: Iterable[str | None]) -> tuple[str, ...]:
    """The labels of signals, sorted, each once; none if a signal has no label."""
    found = set(labels)
    return () if None in found else tuple(sorted(filter(None, found)))


def _samples(item: Item, sample_rate: int) -> int:
    """The length of a recording in samples at `sample_rate`, 0 if it cannot be read."""
    try:
        with item.open() as content:
            assert isinstance(content.data, Path)
            header = read_header(content.data)
    except DataError:
        return 0
    return resampled_length(header.frames, header.sample_rate, sample_rate)
