"""CIFAR-10 (Krizhevsky 2009) from its official binary or python files; their content is validated."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from codeword.config import Cifar10Config
from codeword.data.augment import flip
from codeword.data.base import Batch, Dataset, Split
from codeword.data.cifar10_pickle import read_pickled_batch
from codeword.data.files.root import data_root
from codeword.errors import DataError

BINARY_FOLDER = "cifar-10-batches-bin"
PYTHON_FOLDER = "cifar-10-batches-py"
BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
BATCH_IMAGES = 10_000
IMAGE_BYTES = 3 * 32 * 32
BINARY_BYTES = BATCH_IMAGES * (1 + IMAGE_BYTES)
"""Size of each binary file: a label byte and the planes R, G, B of each image."""

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# First and last image of each split in the official order of all six files. There is no official validation split;
# the last 5,000 training images serve as one.
_RANGES: dict[Split, tuple[int, int]] = {"train": (0, 45_000), "valid": (45_000, 50_000), "test": (50_000, 60_000)}

# First half of the SHA-256 over the pixel bytes (N, 32, 32, 3) of each split.
_PIXELS: dict[Split, str] = {"train": "7944cb8350d8fe13", "valid": "b0c63b26b82cb076", "test": "f9b1e2130bab680d"}

_ADVICE = "Run `codeword data fetch cifar10`, or set CODEWORD_DATA to the folder that holds it."


class Cifar10(Dataset):
    """One split of CIFAR-10 in memory: uint8 (3, 32, 32) images, 45,000 / 5,000 / 10,000 of them.

    Only the files of the split are opened. With a generator, and `flip` in the config, `take` mirrors half of the
    images. `labels` (N,) int64 are the class numbers.

    Raises:
        DataError: a file is missing, cut short or corrupt.
    """

    shape = (3, 32, 32)
    classes = CLASSES
    in_memory = True

    def __init__(self, config: Cifar10Config, split: Split) -> None:
        self._flip = config.flip
        self._split = split
        root = data_root(config.root)
        folder = find_cifar10(root)
        if folder is None:
            raise DataError(
                f"CIFAR-10 is neither in {root} nor in its subfolder {BINARY_FOLDER} or {PYTHON_FOLDER}. {_ADVICE}"
            )
        first, last = _RANGES[split]
        self._images = torch.empty((last - first, *self.shape), dtype=torch.uint8)
        self.labels = torch.empty(last - first, dtype=torch.int64)
        for number in range(first // BATCH_IMAGES, -(-last // BATCH_IMAGES)):
            pixels, labels = _read_batch(folder, BATCHES[number])
            start = number * BATCH_IMAGES
            rows = slice(max(first - start, 0), min(last - start, BATCH_IMAGES))
            indices = slice(start + rows.start - first, start + rows.stop - first)
            self._images[indices] = torch.from_numpy(pixels[rows].reshape(-1, *self.shape))
            self.labels[indices] = torch.from_numpy(labels[rows].astype(np.int64))

    def __len__(self) -> int:
        return len(self._images)

    def verify(self) -> str:
        """Compare the SHA-256 of all pixels with that of the official files. Raises DataError."""
        pixels = self._images.movedim(1, -1).contiguous().numpy().tobytes()
        digest, expected = hashlib.sha256(pixels).hexdigest(), _PIXELS[self._split]
        if not digest.startswith(expected):
            raise DataError(
                f"CIFAR-10's {self._split} pixels have SHA-256 {digest[: len(expected)]}..., but {expected}... is "
                f"correct; delete the files and run `codeword data fetch cifar10`."
            )
        return "all pixels equal the official ones"

    def take(self, indices: Sequence[int], *, generator: torch.Generator | None = None) -> Batch:
        rows = torch.as_tensor(indices, dtype=torch.int64)
        x = self._images.index_select(0, rows)
        if self._flip and generator is not None:
            x = flip(x, generator=generator)
        return Batch(x, self.labels.index_select(0, rows))


def find_cifar10(root: Path) -> Path | None:
    """The folder with files of CIFAR-10: `root` or its subfolder cifar-10-batches-bin or -py, or None."""
    for folder in (root / BINARY_FOLDER, root / PYTHON_FOLDER, root):
        if any((folder / name).is_file() for batch in BATCHES for name in (batch, f"{batch}.bin")):
            return folder
    return None


def _read_batch(folder: Path, batch: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels (10000, 3072) and labels (10000,) of one file in the binary layout or, without it, the python layout."""
    binary, pickled = folder / f"{batch}.bin", folder / batch
    try:
        if not binary.is_file() and pickled.is_file():
            pixels, labels = read_pickled_batch(pickled, images=BATCH_IMAGES, image_bytes=IMAGE_BYTES)
        else:
            pixels, labels = _read_binary_batch(binary)
    except FileNotFoundError as error:
        raise DataError(f"CIFAR-10 in {folder} lacks {error.filename}. {_ADVICE}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{error}; delete it and run `codeword data fetch cifar10`.") from error
    return pixels, labels


def _read_binary_batch(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    size = path.stat().st_size
    if size != BINARY_BYTES:
        raise ValueError(f"{path} has {size:,} bytes, but {BINARY_BYTES:,} are correct")
    rows = np.fromfile(path, np.uint8).reshape(BATCH_IMAGES, 1 + IMAGE_BYTES)
    labels = rows[:, 0]
    if labels.max() >= len(CLASSES):
        raise ValueError(f"{path} is corrupt: its label {labels.max()} is not from 0 to {len(CLASSES) - 1}")
    return rows[:, 1:], labels
