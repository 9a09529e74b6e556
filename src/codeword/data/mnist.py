"""MNIST (LeCun et al. 1998) from its official files; their content is validated."""

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from codeword.config import MnistConfig
from codeword.data.base import Batch, Dataset, Split
from codeword.data.files.root import data_root
from codeword.errors import DataError

FOLDERS = ("", "mnist", "digits/mnist")
SIZE, CLASSES = 28, tuple("0123456789")
# IDX: two zeros, 8 for bytes, and the number of axes; then the size of each axis.
_MAGIC = {"images-idx3": b"\0\0\x08\x03", "labels-idx1": b"\0\0\x08\x01"}
_MOST_IMAGES = 60_000


class Mnist(Dataset):
    """One split of MNIST in memory: uint8 (3, 28, 28) images of three equal channels; `take` does not augment.

    Raises:
        DataError: a file is missing or damaged, or has fewer images than the split.
    """

    shape = (3, SIZE, SIZE)
    classes = CLASSES
    in_memory = True

    def __init__(self, config: MnistConfig, split: Split) -> None:
        root = data_root(config.root)
        images = _read(root, f"{config.files}-images-idx3", SIZE * SIZE).reshape(-1, SIZE, SIZE)
        labels = _read(root, f"{config.files}-labels-idx1", 1)
        first, last = getattr(config, split)
        if len(images) != len(labels) or last > len(images) or labels.max(initial=0) >= len(CLASSES):
            raise DataError(
                f"The files {config.files}-* of MNIST in {root} hold {len(images)} images and {len(labels)} labels of "
                f"digits; {last} are needed, so fetch them again or change data.{split}."
            )
        self._images = torch.from_numpy(images[first:last].copy())
        self._labels = torch.from_numpy(labels[first:last].astype(np.int64))

    def __len__(self) -> int:
        return len(self._images)

    def take(self, indices: Sequence[int], *, generator: torch.Generator | None = None) -> Batch:
        rows = torch.as_tensor(indices, dtype=torch.int64)
        images = self._images.index_select(0, rows)[:, None].expand(-1, *self.shape)
        return Batch(images, self._labels.index_select(0, rows))


def _read(root: Path, name: str, item_bytes: int) -> NDArray[np.uint8]:
    """The bytes of all items of a file. Raises DataError."""
    names = (f"{name}-ubyte", f"{name}-ubyte.gz")
    path = next((p for folder in FOLDERS for n in names if (p := root / folder / n).is_file()), None)
    if path is None:
        raise DataError(
            f"MNIST is not in {root}: neither {names[1]} nor {names[0]} is there; put its files into {root / 'mnist'}, "
            f"or set CODEWORD_DATA or data.root."
        )
    most = 16 + _MOST_IMAGES * item_bytes
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}); fetch it again.") from error
    magic = _MAGIC[name.split("-", 1)[1]]
    head = 4 * (1 + magic[3])
    count = int.from_bytes(content[4:8], "big")
    if content[:4] != magic or len(content) != head + count * item_bytes:
        raise DataError(f"{path} is not a complete file of MNIST; fetch it again.")
    return np.frombuffer(content, np.uint8, offset=head)
