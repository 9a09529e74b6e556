"""Any folder of image files as a data set: broken files are named and skipped, never a crash."""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from codeword.config import ImageFolderConfig
from codeword.data.augment import flip
from codeword.data.base import Batch, Dataset, Split
from codeword.data.files.tree import classes_of, names_below, names_of_split, some
from codeword.errors import DataError
from codeword.media.images import IMAGE_SUFFIXES, fit, read_image, read_image_size

_log = logging.getLogger("codeword")

# Decoding is in C and leaves the interpreter free; more threads than this only queue for the disk.
_THREADS = min(8, os.cpu_count() or 1)


class ImageFolder(Dataset):
    """One split of the images below a folder, each cropped and resized to uint8 (3, size, size).

    The first-level subfolders, sorted, are the classes; where there are none, or where images also lie
    beside them, `classes` is empty and every label is 0. An image's split follows from its relative path
    alone, so it is the same on every machine and stays when files are added. `skipped` names the files
    of this split that cannot be read; one that turns out so only while training is replaced by the next.

    Raises:
        DataError: the folder is missing, or holds no readable image for this split.
    """

    def __init__(self, config: ImageFolderConfig, split: Split) -> None:
        self._config = config
        self._root = config.root.expanduser()
        self.shape = (3, config.size, config.size)
        if not self._root.is_dir():
            raise DataError(f"There is no folder {self._root}; set data.root to the folder that holds the images.")
        names = sorted(names_below(self._root, IMAGE_SUFFIXES))
        if not names:
            raise DataError(
                f"{self._root} holds no images (no file ends in .png, .jpg or another suffix that Pillow "
                f"reads); set data.root to the folder that holds them."
            )
        self.classes = classes_of(self._root, names)
        mine = names_of_split(names, self._root, config, split)
        with ThreadPoolExecutor(_THREADS) as pool:
            readable = list(pool.map(self._has_good_header, mine))
        self._names = [name for name, good in zip(mine, readable, strict=True) if good]
        self.skipped = [name for name, good in zip(mine, readable, strict=True) if not good]
        self._broken: dict[str, str] = {}
        if not self._names:
            raise DataError(
                f"None of the {len(mine):,} images of the {split} split in {self._root} can be read "
                f"({some(self.skipped)}); replace them."
            )
        if self.skipped:
            _log.warning(
                "%d of %d images in %s cannot be read and are skipped: %s.",
                len(self.skipped), len(mine), self._root, some(self.skipped),
            )  # fmt: skip

    def __len__(self) -> int:
        return len(self._names)

    def take(self, indices: Sequence[int], *, generator: torch.Generator | None = None) -> Batch:
        assert all(0 <= index < len(self) for index in indices)
        # Threads finish in any order, so each image gets its own seed before they start.
        seeds: list[int | None] = [None] * len(indices)
        if generator is not None and self._config.crop == "random":
            seeds = torch.randint(1 << 62, (len(indices),), generator=generator).tolist()
        with ThreadPoolExecutor(_THREADS) as pool:
            read = list(pool.map(self._read, indices, seeds))
        x = torch.stack([image for image, _ in read])
        if self._config.flip and generator is not None:
            x = flip(x, generator=generator)
        return Batch(x, torch.tensor([label for _, label in read], dtype=torch.int64))

    def _read(self, index: int, seed: int | None) -> tuple[Tensor, int]:
        """The image at `index`, or the next that can be read, and its label."""
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        for step in range(len(self)):
            name = self._names[(index + step) % len(self)]
            try:
                image = read_image(self._root / name)
            except DataError as error:
                message = str(error)
                if self._broken.setdefault(name, message) is message:  # Atomic: one thread warns, once.
                    self.skipped.append(name)
                    _log.warning("%s The next image takes its place.", message)
                continue
            return fit(image, self._config.size, generator=generator), self._label(name)
        raise DataError(f"None of the images in {self._root} can be read any more; check that the disk is there.")

    def _label(self, name: str) -> int:
        return self.classes.index(name.partition("/")[0]) if self.classes else 0

    def _has_good_header(self, name: str) -> bool:
        try:
            read_image_size(self._root / name)
        except DataError:
            return False
        return True
