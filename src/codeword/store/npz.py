"""Codes files: the codes of several signals in one `.npz` file, which numpy can read."""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
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
    try:
        with zipfile.ZipFile(path) as archive:
            # The claimed size of each array is checked before numpy allocates it.
            if (claimed := sum(entry.file_size for entry in archive.infolist())) > MAX_BYTES:
                raise DataError(f"{path} would unpack to {claimed:,} bytes; a codes file has at most {MAX_BYTES:,}.")
            for entry in archive.infolist():
                _check_header(archive, entry)
        with np.load(path, allow_pickle=False) as file:
            if (stored_format := int(file["format"]) if "format" in file else 1) != FORMAT:
                raise DataError(
                    f"{path} has format {stored_format}, but {FORMAT} is needed; write it again with `codeword encode`."
                )
            # Converted here, because numpy reads names that are no text.
            names = [str(name) for name in file["names"]]
            sizes, stored_sizes = file["sizes"], tuple(int(n) for n in file["codebook_sizes"])
            arrays = [file[f"codes_{i}"] for i in range(len(names))]
    except DataError:
        raise
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    except Exception as error:
        # zipfile and numpy raise many kinds of errors on invalid bytes: BadZipFile, zlib.error, KeyError, ...
        raise DataError(
            f"{path} is not a readable file of codes ({reason(error)}); write it again with `codeword encode`."
        ) from error
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


def _check_header(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    with archive.open(entry) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
        bytes_needed = dtype.itemsize
        for n in shape:
            bytes_needed *= n
        if dtype.hasobject or bytes_needed > entry.file_size:
            raise ValueError(f"{entry.filename} claims {bytes_needed} bytes and holds {entry.file_size}")


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
