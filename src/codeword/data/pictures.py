"""Data sets of picture files of any size, which are read, cropped and resized by several threads."""

import os
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from codeword.config import ImageFolderConfig, ImageSourceConfig
from codeword.data.augment import flip
from codeword.data.base import Batch, Dataset
from codeword.data.files.replacement import Replacement
from codeword.media.images import fit

# Decoding releases the interpreter lock; with more threads than this the disk is the limit.
THREADS = min(8, os.cpu_count() or 1)


class Pictures(Dataset):
    """One split of pictures, each cropped and resized to uint8 (3, size, size).

    `skipped` lists the files of this split that cannot be read. If a file cannot be read during training, the next
    picture is read instead.
    """

    def __init__(self, config: ImageFolderConfig | ImageSourceConfig, names: Sequence[str], skipped: list[str]) -> None:
        """`names` are those of the pictures in messages, and their number that of the data set."""
        self._config, self._names, self.skipped = config, names, skipped
        self.shape = (3, config.size, config.size)
        self._replacement = Replacement(names, skipped)

    def __len__(self) -> int:
        return len(self._names)

    @abstractmethod
    def picture(self, i: int) -> Tensor:
        """Picture `i`, uint8 (3, H, W). Raises DataError."""

    @abstractmethod
    def label(self, i: int) -> int:
        """The class of picture `i`; 0 if there are no classes."""

    def take(self, indices: Sequence[int], *, generator: torch.Generator | None = None) -> Batch:
        assert all(0 <= index < len(self) for index in indices)
        # Threads finish in any order, so the seed of each image is drawn before they start.
        seeds: list[int | None] = [None] * len(indices)
        if generator is not None and self._config.crop == "random":
            seeds = torch.randint(1 << 62, (len(indices),), generator=generator).tolist()
        with ThreadPoolExecutor(THREADS) as pool:
            read = list(pool.map(self._read, indices, seeds))
        x = torch.stack([image for image, _ in read])
        if self._config.flip and generator is not None:
            x = flip(x, generator=generator)
        return Batch(x, torch.tensor([label for _, label in read], dtype=torch.int64))

    def _read(self, index: int, seed: int | None) -> tuple[Tensor, int]:
        """The image at `index`, or the next readable one, and its label."""
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        i, image = self._replacement.read(index, lambda i: (i, self.picture(i)))
        return fit(image, self._config.size, generator=generator), self.label(i)
