"""Is the data there, whole, and what it claims to be?"""

import hashlib
from dataclasses import dataclass
from typing import get_args

from codeword.config import Cifar10Config, DataConfig
from codeword.data.base import Dataset, Split, evaluation_batches, open_dataset
from codeword.errors import DataError

# First half of the SHA-256 over the pixel bytes (N, 32, 32, 3) of all training and all test images, in order.
CIFAR10_PIXELS = {"train": "47af8b02cfcfb6cd", "test": "f9b1e2130bab680d"}
_CHUNK = 1000


@dataclass(frozen=True)
class Checked:
    """What was found: how many signals each split has, their shape, the classes, and what was verified."""

    train: int
    valid: int
    test: int
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    verified: str


def check(config: DataConfig) -> Checked:
    """Open every split of a data set and read all of it.

    Raises:
        DataError: something is missing, unreadable, or (CIFAR-10) has other pixels than the official images.
    """
    splits = {split: open_dataset(config, split) for split in get_args(Split)}
    digests = {name: hashlib.sha256() for name in ("train", "test")}
    for split, data in splits.items():
        _hash_pixels(data, digests["test" if split == "test" else "train"])
    verified = "every signal was read"
    if isinstance(config, Cifar10Config):
        for name, right in CIFAR10_PIXELS.items():
            if not digests[name].hexdigest().startswith(right):
                raise DataError(
                    f"CIFAR-10's {name} pixels have SHA-256 {digests[name].hexdigest()[: len(right)]}... where "
                    f"{right}... is right; delete them and run `codeword data fetch cifar10`."
                )
        verified = "every pixel is the official one"
    first = splits["train"]
    counts = {split: len(data) for split, data in splits.items()}
    return Checked(**counts, shape=first.shape, classes=first.classes, verified=verified)


def _hash_pixels(data: Dataset, digest: "hashlib._Hash") -> None:
    for batch in evaluation_batches(data, _CHUNK):
        digest.update(batch.x.movedim(1, -1).contiguous().numpy().tobytes())
