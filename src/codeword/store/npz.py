"""Codes files: the codes of several signals in one `.npz` file, which numpy can read; and any arrays in such files."""

import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codeword.errors import DataError, UsageError, reason
from codeword.store.files import write_atomically

FORMAT = 2
MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class CodedSignal:
    """Codes (*G, K) int64 of one signal, with its name and its size *S."""

    name: str
    size: tuple[int, ...]
    codes: Tensor


def write_codes(
    path: Path, signals: Sequence[CodedSignal], *, codebook_sizes: tuple[int, ...], replace: bool = True
) -> None:
    """Write the arrays `format`, `names`, `sizes` (N, rank), `codebook_sizes` (K,), `codes_0`, ... (*G, K) int32.

    Raises:
        UsageError: the codes are larger than a codes file may be.
        CodewordError: the path cannot be written to, or a file exists there and `replace` is False.
    """
    arrays = {f"codes_{i}": s.codes.numpy().astype(np.int32) for i, s in enumerate(signals)}
    # Half of the limit is reserved for names and headers.
    if (size_bytes := sum(array.nbytes for array in arrays.values())) > MAX_BYTES // 2:
        raise UsageError(
            f"{path} would hold {size_bytes:,} bytes of codes, more than the {MAX_BYTES // 2:,} that are allowed; "
            f"encode fewer signals at once."
        )
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        format=np.array(FORMAT),
        names=np.array([s.name for s in signals]),
        sizes=np.array([s.size for s in signals], dtype=np.int64),
        codebook_sizes=np.array(codebook_sizes, dtype=np.int64),
        allow_pickle=False,
        **arrays,
    )
    write_atomically(path, buffer.getvalue(), replace=replace)


def read_codes(path: Path, *, codebook_sizes: tuple[int, ...], hop: int, prefix: bool = False) -> list[CodedSignal]:
    """Read a file of `write_codes` for a tokenizer with these `codebook_sizes` and this `hop`.

    With `prefix` the file may hold only leading codes of each cell, for a tokenizer that decodes from fewer codes.

    Raises:
        DataError: the file is missing, damaged, of an earlier format, too large, or made by another tokenizer.
    """
    with _readable(path, "file of codes", "with `codeword encode`"):
        with zipfile.ZipFile(path) as archive:
            # The claimed size of each array is checked before numpy allocates it.
            if (claimed := sum(entry.file_size for entry in archive.infolist())) > MAX_BYTES:
                raise DataError(f"{path} would unpack to {claimed:,} bytes; a codes file has at most {MAX_BYTES:,}.")
            for entry in archive.infolist():
                _stored_array(archive, entry)
        with np.load(path, allow_pickle=False) as file:
            if (stored_format := int(file["format"]) if "format" in file else 1) != FORMAT:
                raise DataError(
                    f"{path} has format {stored_format}, but {FORMAT} is needed; write it again with `codeword encode`."
                )
            # Converted here, because numpy reads names that are no text.
            names = [str(name) for name in file["names"]]
            sizes, stored_sizes = file["sizes"], tuple(int(n) for n in file["codebook_sizes"])
            arrays = [file[f"codes_{i}"] for i in range(len(names))]
    expected = codebook_sizes[: len(stored_sizes)] if prefix and stored_sizes else codebook_sizes
    if stored_sizes != expected:
        raise DataError(
            f"{path} holds codes of codebooks {list(stored_sizes)}, but this tokenizer has {list(codebook_sizes)}; use "
            f"the tokenizer that encoded them."
        )
    if sizes.ndim != 2 or len(sizes) != len(names) or sizes.dtype.kind != "i":
        raise DataError(f"{path}: its sizes {sizes.shape} do not fit its {len(names)} names.")
    return [
        _signal(path, name, tuple(int(n) for n in size), codes, codebook_sizes=stored_sizes, hop=hop)
        for name, size, codes in zip(names, sizes, arrays, strict=True)
    ]


class StoredArray(NamedTuple):
    """An array in an .npz file, from its header: its name, shape and type, and its order, Fortran's or C's."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool

    @property
    def size_bytes(self) -> int:
        return self.dtype.itemsize * prod(self.shape)


def list_arrays(path: Path) -> list[StoredArray]:
    """The arrays in an .npz file, from their headers. Raises DataError."""
    with _readable(path), zipfile.ZipFile(path) as archive:
        return [_stored_array(archive, entry) for entry in archive.infolist()]


def read_array(path: Path, array: StoredArray) -> NDArray[Any]:
    """One of the arrays of `list_arrays`. Raises DataError if it is damaged or too large to be held in memory."""
    if array.size_bytes > MAX_BYTES:
        raise DataError(
            f"{path}: {array.name} would unpack to {array.size_bytes:,} bytes, and at most {MAX_BYTES:,} are held in "
            f"memory; write it as a .npy file."
        )
    with _readable(path), np.load(path, allow_pickle=False) as file:
        found: NDArray[Any] = file[array.name]
        return found


def read_rows(path: Path, array: StoredArray, count: int) -> Iterator[NDArray[Any]]:
    """Consecutive parts (n, ...) of an array in C order, of `count` rows each except the last. Raises DataError."""
    row_bytes = array.size_bytes // array.shape[0]
    with _readable(path), zipfile.ZipFile(path) as archive, archive.open(f"{array.name}.npy") as stream:
        _read_header(stream)
        for start in range(0, array.shape[0], count):
            shape = (min(count, array.shape[0] - start), *array.shape[1:])
            yield np.frombuffer(stream.read(shape[0] * row_bytes), array.dtype).reshape(shape)
        # The checksum of the entry is compared at its end.
        stream.read()


@contextmanager
def _readable(path: Path, noun: str = ".npz file", writer: str = "with numpy.savez") -> Iterator[None]:
    try:
        yield
    except (DataError, GeneratorExit):
        raise
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    except Exception as error:
        # zipfile and numpy raise many kinds of errors on invalid bytes: BadZipFile, zlib.error, KeyError, ...
        raise DataError(f"{path} is not a readable {noun} ({reason(error)}); write it again {writer}.") from error


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and type of the array that begins here."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    return shape, fortran, dtype


def _stored_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> StoredArray:
    with archive.open(entry) as stream:
        shape, fortran, dtype = _read_header(stream)
    array = StoredArray(entry.filename.removesuffix(".npy"), shape, dtype, fortran)
    if dtype.hasobject or array.size_bytes > entry.file_size:
        raise ValueError(f"{entry.filename} claims {array.size_bytes} bytes and holds {entry.file_size}")
    return array


def _signal(
    path: Path, name: str, size: tuple[int, ...], codes: np.ndarray, *, codebook_sizes: tuple[int, ...], hop: int
) -> CodedSignal:
    grid = (*(-(-n // hop) for n in size), len(codebook_sizes))
    if codes.dtype.kind not in "iu" or codes.shape != grid or any(n < 1 for n in size):
        raise DataError(
            f"{path}: the codes of {name} have shape {codes.shape}; a signal of size {size} needs {grid}; "
            f"use the model that encoded it."
        )
    if codes.size and (codes.min() < 0 or (codes.max(axis=tuple(range(codes.ndim - 1))) >= codebook_sizes).any()):
        raise DataError(f"{path}: the codes of {name} go beyond the codebook of {list(codebook_sizes)}.")
    return CodedSignal(name, size, torch.from_numpy(codes.astype(np.int64)))
