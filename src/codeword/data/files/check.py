"""Is the data there, whole, and what it claims to be?"""

import hashlib
from dataclasses import dataclass
from typing import get_args

from codeword.config import AudioConfig, Cifar10Config, DataConfig
from codeword.data.base import Dataset, Split, evaluation_batches, open_dataset
from codeword.data.files.tree import some
from codeword.data.recordings import Recordings
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
        DataError: something is missing, unreadable, or (CIFAR-10) has other pixels than the official images. A
            recording that is broken is no error: it is named in what was verified, as training would skip it.
    """
    splits: dict[Split, Dataset] = {split: open_dataset(config, split) for split in get_args(Split)}
    if isinstance(config, AudioConfig):
        verified = "; ".join(_read_recordings(split, data) for split, data in splits.items())
    else:
        verified = _read_images(config, splits)
    first = splits["train"]
    counts = {split: len(data) for split, data in splits.items()}
    return Checked(**counts, shape=first.shape, classes=first.classes, verified=verified)


def _read_recordings(split: Split, data: Dataset) -> str:
    assert isinstance(data, Recordings)
    broken, told = list(data.skipped), 0
    for i, recording in enumerate(data.recordings):
        try:
            data.read(i)
        except DataError:
            broken.append(recording.name)
        told += data.phones(i) is not None
    hours = sum(r.samples for r in data.recordings) / data.sample_rate / 3600
    trouble = f", {len(broken)} of them broken ({some(broken)})" if broken else ""
    count = len(data.recordings) + len(data.skipped)
    return f"{split}: {count:,} recordings of {hours:.2f} hours{trouble}, phones known of {told:,}"


def _read_images(config: DataConfig, splits: dict[Split, Dataset]) -> str:
    digests = {name: hashlib.sha256() for name in ("train", "test")}
    for split, data in splits.items():
        _hash_pixels(data, digests["test" if split == "test" else "train"])
    if not isinstance(config, Cifar10Config):
        return "every signal was read"
    for name, right in CIFAR10_PIXELS.items():
        if not digests[name].hexdigest().startswith(right):
            raise DataError(
                f"CIFAR-10's {name} pixels have SHA-256 {digests[name].hexdigest()[: len(right)]}... where "
                f"{right}... is right; delete them and run `codeword data fetch cifar10`."
            )
    return "every pixel is the official one"


def _hash_pixels(data: Dataset, digest: "hashlib._Hash") -> None:
    for batch in evaluation_batches(data, _CHUNK):
        digest.update(batch.x.movedim(1, -1).contiguous().numpy().tobytes())
