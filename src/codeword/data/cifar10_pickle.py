"""CIFAR-10's python layout: pickle files, which are read without running any code from them.

A pickle can call any function. Here it can name only the functions of the official files, and each of them is replaced
by `_Recorded`, which stores its arguments and does nothing else. The stored arguments are validated before numpy uses
them.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),  # Name in files of numpy >= 2.
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}


class _Recorded:
    """Replacement of an allowed function and of its result: stores the arguments and the state."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = ()

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Recorded]:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it calls {module}.{name}, which no CIFAR-10 file needs")
        return _Recorded


def read_pickled_batch(path: Path, *, images: int, image_bytes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels (images, image_bytes) and labels (images,) of one file of the python layout.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is not such a batch; the message is a clause that starts with the path.
    """
    size, pixel_bytes = path.stat().st_size, images * image_bytes
    # In the official files, the label and the file name of an image take about 31 bytes.
    if not pixel_bytes < size < pixel_bytes + 100 * images:
        raise ValueError(f"{path} has {size:,} bytes, not {pixel_bytes:,} to {pixel_bytes + 100 * images:,}")
    try:
        with path.open("rb") as file:
            batch = _Unpickler(file, encoding="bytes").load()
    except OSError:
        raise
    except Exception as error:  # A broken pickle raises any kind of error, from IndexError to MemoryError.
        raise ValueError(f"{path} is not a CIFAR-10 file: {error}") from error
    if not isinstance(batch, dict):
        raise ValueError(f"{path} is not a CIFAR-10 file: it holds no dictionary")
    return _pixels(path, batch.get(b"data"), (images, image_bytes)), _labels(path, batch.get(b"labels"), images)


def _pixels(path: Path, recorded: Any, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Build a byte array from its pickled state: (version, shape, dtype, False for C order, bytes)."""
    match recorded:
        case _Recorded(state=(_, stored_shape, _Recorded(arguments=("u1" | b"u1", *_)), False | 0, bytes() as raw)):
            if stored_shape == shape and len(raw) == shape[0] * shape[1]:
                return np.frombuffer(raw, np.uint8).reshape(shape).copy()  # A writable copy.
    raise ValueError(f"{path} is corrupt: its data are not {shape[0]:,} x {shape[1]:,} bytes")


def _labels(path: Path, labels: Any, images: int) -> NDArray[np.uint8]:
    complete = isinstance(labels, list) and len(labels) == images
    if not complete or not all(type(label) is int and 0 <= label < 10 for label in labels):
        raise ValueError(f"{path} is corrupt: its labels are not {images:,} numbers from 0 to 9")
    return np.array(labels, np.uint8)
