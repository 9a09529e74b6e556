"""A folder of image files as a data set; broken files are listed and skipped."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import compress

import torch
from torch import Tensor

from codeword.config import ImageFolderConfig
from codeword.data.augment import flip
from codeword.data.base import Batch, Dataset, Split
from codeword.data.files.replacement import Replacement
from codeword.data.files.tree import open_folder, unreadable
from codeword.errors import DataError
from codeword.media.images import IMAGE_SUFFIXES, fit, read_image, read_image_size

# Decoding releases the interpreter lock; with more threads than this the disk is the limit.
_THREADS = min(8, os.cpu_count() or 1)


class ImageFolder(Dataset):
    """One split of the images below a folder, each cropped and resized to uint8 (3, size, size).

    The first-level subfolders, sorted, are the classes. Without subfolders, or if the folder itself holds images as
    well, `classes` is empty and every label is 0. The splits depend only on the relative paths, so they are the same on
    every machine; a file that is added may move a few others, but none from train to test. `skipped` lists the files of
    this split that cannot be read. If a file cannot be read during training, the next image is read instead.

    Raises:
        DataError: the folder is missing, or holds no readable image for this split.
    """

    def __init__(self, config: ImageFolderConfig, split: Split) -> None:
        self._config = config
        self.shape = (3, config.size, config.size)
        folder = open_folder(config.root, IMAGE_SUFFIXES, kind="images")
        self._root, self.classes = folder.root, folder.classes()
        names = folder.names_of(split, config)
        with ThreadPoolExecutor(_THREADS) as pool:
            readable = list(pool.map(self._has_good_header, names))
        self._names = list(compress(names, readable))
        self.skipped = unreadable(names, set(self._names), root=folder.root, kind="images", split=split)
        self._replacement = Replacement(self._names, self.skipped)

    def __len__(self) -> int:
        return len(self._names)

    def take(self, indices: Sequence[int], *, generator: torch.Generator | None = None) -> Batch:
        assert all(0 <= index < len(self) for index in indices)
        # Threads finish in any order, so the seed of each image is drawn before they start.
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
        """The image at `index`, or the next readable one, and its label."""
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        i, image = self._replacement.read(index, lambda i: (i, read_image(self._root / self._names[i])))
        return fit(image, self._config.size, generator=generator), self._label(self._names[i])

    def _label(self, name: str) -> int:
        return self.classes.index(name.partition("/")[0]) if self.classes else 0

    def _has_good_header(self, name: str) -> bool:
        try:
            read_image_size(self._root / name)
        except DataError:
            return False
        return True
